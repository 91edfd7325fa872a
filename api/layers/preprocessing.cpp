#include "kiln/layers/preprocessing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/layers/adapting.h"
#include "api/layers/configured.h"
#include "api/layers/encoding.h"
#include "api/layers/whole_numbers.h"
#include "api/support/handles.h"
#include "kiln/axes.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;
using internal::one_by_one;

/// Throws ValueError for NaN, which would get into all that adapt finds.
void check_no_nan(const std::string& layer, const Tensor& data) {
  const std::vector<double> values = data.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); i++)
    if (std::isnan(values[i]))
      throw ValueError(
          fmt::format("layer \"{}\": adapt got NaN, as element {} of data of shape {}; leave such values "
                      "out, or fill them",
                      layer, i, data.shape().to_string()));
}

// ---- Normalization ----------------------------------------------------------------------------------------

struct NormalizationSpec : NormalizationArgs {
  void fields(Fields& f) {
    // As Keras, which knows several axes: a list.
    std::vector<std::int64_t> axes;
    if (axis) axes = {*axis};
    Config given_axes = internal::to_config(axes);
    f("axis", given_axes)("invert", invert);
    if (f.reads()) {
      axes.clear();
      if (given_axes.is_number()) axes = {given_axes.as_int()};
      if (given_axes.is_list()) internal::from_config(given_axes, axes);
      if (axes.size() > 1)
        throw ValueError("Normalization: several axes aren't supported; give one, or none for all");
      axis = axes.empty() ? std::nullopt : std::optional(axes[0]);
    }
    // A number, or a list that may be nested, as Keras has it for several axes; null if `adapt` sets them.
    for (auto& [key, values] : {std::pair{"mean", &mean}, std::pair{"variance", &variance}}) {
      Config given = values->empty() ? Config() : internal::to_config(*values);
      f(key, given);
      if (!f.reads()) continue;
      values->clear();
      collect(given, *values);
    }
  }

 private:
  static void collect(const Config& given, std::vector<double>& values) {
    if (given.is_number()) values.push_back(given.as_number());
    if (given.is_list())
      for (const Config& item : given.as_list()) collect(item, values);
  }
};

class NormalizationImpl final : public ConfiguredLayer<NormalizationSpec> {
 public:
  explicit NormalizationImpl(NormalizationSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (spec_.mean.empty() != spec_.variance.empty())
      throw ValueError("Normalization: mean and variance must be given both, or none and set by adapt");
    for (double v : spec_.variance)
      if (!(v >= 0)) throw ValueError(fmt::format("Normalization: a variance can't be {}", v));
  }
  std::string class_name() const override { return "Normalization"; }
  void build(const Shape& input) override {
    const std::int64_t features = features_of(input);
    if (!spec_.mean.empty()) {
      for (const auto* given : {&spec_.mean, &spec_.variance})
        if (given->size() != 1 && static_cast<std::int64_t>(given->size()) != features)
          throw ShapeError(
              fmt::format("layer \"{}\" (Normalization): {} means or variances were given, but the input of "
                          "shape {} has {} features",
                          name(), given->size(), input.to_string(), features));
      return;
    }
    mean_ = add_weight({.name = "mean", .shape = {features}, .initializer = "zeros", .trainable = false});
    variance_ =
        add_weight({.name = "variance", .shape = {features}, .initializer = "ones", .trainable = false});
  }
  Value call(Call& context, Value x) override {
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
    if (spec_.axis) shape[static_cast<std::size_t>(axis(x.shape()))] = features_of(x.shape());
    const Value mean = mean_.defined() ? graph::reshape(context(mean_), shape) : given(x, spec_.mean, shape);
    const Value variance =
        variance_.defined() ? graph::reshape(context(variance_), shape) : given(x, spec_.variance, shape);
    const Value root = graph::sqrt(variance);
    const Value deviation = graph::maximum(root, graph::scalar(root, 1e-7));
    return spec_.invert ? x * deviation + mean : (x - mean) / deviation;
  }

  void adapt(const std::function<std::optional<Tensor>()>& next) {
    if (!spec_.mean.empty())
      throw StateError(fmt::format(
          "layer \"{}\" (Normalization): adapt has nothing to set, as mean and variance were given", name()));
    Moments all;
    while (const std::optional<Tensor> data = next()) {
      if (data->shape().rank() < 1 || data->size() == 0)
        throw ShapeError(
            fmt::format("layer \"{}\" (Normalization): adapt needs rows of data, but got shape {}", name(),
                        data->shape().to_string()));
      check_no_nan(name(), *data);
      Shape input = data->shape();
      input[0] = None;
      ensure_built({&input, 1});
      const std::int64_t features = features_of(input);
      if (mean_.shape()[0] != features)
        throw ShapeError(fmt::format(
            "layer \"{}\" (Normalization): the layer has {} features, but the data of shape {} have {}",
            name(), mean_.shape()[0], data->shape().to_string(), features));
      all.merge(moments_of(*data, features));
    }
    if (all.count == 0)
      throw ShapeError(fmt::format("layer \"{}\" (Normalization): adapt needs data, but got none", name()));
    std::vector<double> variance;
    for (double squares : all.squares) variance.push_back(squares / all.count);
    mean_.assign(Tensor(all.mean));
    variance_.assign(Tensor(variance));
  }

 private:
  /// Of the values of each feature: how many, their mean, and the sum of squares of their distance from it.
  struct Moments {
    double count = 0;
    std::vector<double> mean, squares;

    /// As of all values together (Chan, Golub and LeVeque 1979).
    void merge(const Moments& other) {
      mean.resize(other.mean.size());
      squares.resize(other.mean.size());
      const double both = count + other.count;
      for (std::size_t f = 0; f < mean.size(); f++) {
        const double apart = other.mean[f] - mean[f];
        mean[f] += apart * other.count / both;
        squares[f] += other.squares[f] + apart * apart * count * other.count / both;
      }
      count = both;
    }
  };
  /// In double, the mean first: the squares of what is far from 0 would cancel.
  Moments moments_of(const Tensor& data, std::int64_t features) const {
    const std::vector<double> values = data.to_vector<double>();
    std::int64_t behind = 1;  // elements of one feature side by side
    if (spec_.axis)
      for (int i = axis(data.shape()) + 1; i < data.rank(); i++) behind *= data.dim(i);
    const auto feature = [&](std::size_t i) {
      return static_cast<std::size_t>(spec_.axis ? static_cast<std::int64_t>(i) / behind % features : 0);
    };
    Moments m{.count = static_cast<double>(data.size()) / static_cast<double>(features),
              .mean = std::vector<double>(static_cast<std::size_t>(features), 0),
              .squares = std::vector<double>(static_cast<std::size_t>(features), 0)};
    for (std::size_t i = 0; i < values.size(); i++) m.mean[feature(i)] += values[i] / m.count;
    for (std::size_t i = 0; i < values.size(); i++) {
      const double off = values[i] - m.mean[feature(i)];
      m.squares[feature(i)] += off * off;
    }
    return m;
  }

  int axis(const Shape& x) const {
    return static_cast<int>(
        Axes(*spec_.axis).of_rank(fmt::format("layer \"{}\" (Normalization)", name()), x.rank())[0]);
  }
  std::int64_t features_of(const Shape& x) const {
    if (!spec_.axis) return 1;
    const std::int64_t features = x.dim(axis(x));
    if (features == None)
      throw ShapeError(fmt::format(
          "layer \"{}\" (Normalization): the size along axis {} must be known, but the input has shape {}",
          name(), *spec_.axis, x.to_string()));
    return features;
  }
  static Value given(Value x, const std::vector<double>& values, const Shape& shape) {
    const Tensor table(values, {static_cast<std::int64_t>(values.size())});
    const Value constant = graph::constant(x.graph(), table.astype(x.dtype()));
    return values.size() == 1
               ? graph::reshape(constant, Shape(std::vector<std::int64_t>(shape.sizes().size(), 1)))
               : graph::reshape(constant, shape);
  }

  Variable mean_, variance_;
};

// ---- Discretization, CategoryEncoding -------------------------------------------------------------------

/// A sample of sorted values and how many each stands for, from which quantiles are estimated.
struct Summary {
  std::vector<float> values, weights;
};

/// numpy's interp: the value at x of the line through the points (xs, ys), whose xs ascend.
double interpolated(double x, const std::vector<double>& xs, const std::vector<double>& ys) {
  const auto after = std::upper_bound(xs.begin(), xs.end(), x);
  if (after == xs.begin()) return ys.front();
  if (after == xs.end()) return ys.back();
  const auto i = static_cast<std::size_t>(after - xs.begin());
  return ys[i - 1] + (ys[i] - ys[i - 1]) / (xs[i] - xs[i - 1]) * (x - xs[i - 1]);
}

/// Fewer values, at the quantiles epsilon, 2 epsilon, ...
Summary compressed(const Summary& summary, double epsilon) {
  if (static_cast<double>(summary.values.size()) * epsilon < 1) return summary;
  std::vector<double> sums, shares;
  float sum = 0;
  for (float weight : summary.weights) sums.push_back(sum += weight);
  for (double s : sums) shares.push_back(static_cast<float>(s) / sum);
  const std::vector<double> values(summary.values.begin(), summary.values.end());
  Summary result;
  const auto count = static_cast<std::int64_t>(std::ceil(1 / epsilon));
  double before = 0;
  for (std::int64_t i = 0; i < count; i++) {
    const double share = epsilon + static_cast<double>(i) * epsilon;
    const double up_to = interpolated(share, shares, sums);
    result.values.push_back(static_cast<float>(interpolated(share, shares, values)));
    result.weights.push_back(static_cast<float>(up_to - before));
    before = up_to;
  }
  return result;
}

Summary summary_of(const Tensor& data, double epsilon) {
  std::vector<float> values = data.to_vector<float>();
  std::sort(values.begin(), values.end());
  const double step = std::max(static_cast<double>(values.size()) / (1 / epsilon), 1.0);
  Summary summary;
  for (auto i = static_cast<std::size_t>(step - 1); i < values.size(); i += static_cast<std::size_t>(step)) {
    summary.values.push_back(values[i]);
    summary.weights.push_back(static_cast<float>(step));
  }
  return summary;
}

/// Two samples as one.
Summary merged(const Summary& a, const Summary& b, double epsilon) {
  Summary all;
  for (std::size_t i = 0, j = 0; i < a.values.size() || j < b.values.size();) {
    const bool first = j == b.values.size() || (i < a.values.size() && a.values[i] <= b.values[j]);
    all.values.push_back(first ? a.values[i] : b.values[j]);
    all.weights.push_back(first ? a.weights[i++] : b.weights[j++]);
  }
  return compressed(all, epsilon);
}

struct DiscretizationSpec : DiscretizationArgs {
  std::vector<double> bin_boundaries = {};
  void fields(Fields& f) {
    std::optional<std::vector<double>> boundaries;
    if (!bin_boundaries.empty()) boundaries = bin_boundaries;
    f("bin_boundaries", boundaries)("num_bins", num_bins)("epsilon", epsilon)("output_mode", output_mode);
    f.only("sparse", false);
    bin_boundaries = boundaries.value_or(std::vector<double>());
  }
};
class DiscretizationImpl final : public ConfiguredLayer<DiscretizationSpec> {
 public:
  explicit DiscretizationImpl(DiscretizationSpec spec) : ConfiguredLayer(std::move(spec)) {
    internal::check_encoding("Discretization", spec_.output_mode, true);
    const std::vector<double>& b = spec_.bin_boundaries;
    if (b.empty() && !spec_.num_bins)
      throw ValueError("Discretization: give bin_boundaries, or num_bins for adapt to find them");
    if (spec_.num_bins && *spec_.num_bins < 2)
      throw ValueError(fmt::format("Discretization: num_bins must be 2 or more, not {}", *spec_.num_bins));
    if (!(spec_.epsilon > 0 && spec_.epsilon < 1))
      throw ValueError(fmt::format("Discretization: epsilon must be in (0, 1), but it is {}", spec_.epsilon));
    // Quantiles of many equal values may be equal.
    for (std::size_t i = 0; i + 1 < b.size(); i++)
      if (!(b[i] < b[i + 1] || (spec_.num_bins && b[i] == b[i + 1])))
        throw ValueError(fmt::format("Discretization: bin_boundaries must ascend, but {} is followed by {}",
                                     b[i], b[i + 1]));
  }
  Config get_config() const override { return internal::without_trainable(ConfiguredLayer::get_config()); }
  Value call(Call&, Value x) override {
    if (spec_.bin_boundaries.empty())
      throw StateError(
          fmt::format("layer \"{}\" (Discretization) has no bin_boundaries yet: call adapt with data, before "
                      "the layer is used",
                      name()));
    used_ = true;
    Value bin = graph::full(x.graph(), {DType::i32, x.shape()}, 0);
    for (double boundary : spec_.bin_boundaries) {
      const Value above = graph::compare(x, graph::scalar(x, boundary), "ge");
      bin = bin + graph::convert(above, DType::i32);
    }
    return internal::encoded(bin, static_cast<std::int64_t>(spec_.bin_boundaries.size()) + 1,
                             spec_.output_mode, dtype());
  }

  void adapt(const std::function<std::optional<Tensor>()>& next) {
    if (!spec_.num_bins)
      throw StateError(
          fmt::format("layer \"{}\" (Discretization): adapt has nothing to find, as bin_boundaries were "
                      "given; make the layer with num_bins",
                      name()));
    if (used_)
      throw StateError(
          fmt::format("layer \"{}\" (Discretization): adapt comes too late, as models hold the present "
                      "bin_boundaries; call "
                      "it on a new layer, before it is used in a model",
                      name()));
    Summary all;
    while (const std::optional<Tensor> data = next()) {
      check_no_nan(name(), *data);
      all = merged(summary_of(*data, spec_.epsilon), all, spec_.epsilon);
    }
    if (all.values.empty())
      throw ShapeError(
          fmt::format("layer \"{}\" (Discretization): adapt needs data, but got no element", name()));
    const Summary bins = compressed(all, 1 / static_cast<double>(*spec_.num_bins));
    if (bins.values.size() < 2)
      throw ShapeError(fmt::format(
          "layer \"{}\" (Discretization): adapt needs two elements or more to find a boundary, but got one",
          name()));
    spec_.bin_boundaries.assign(bins.values.begin(), bins.values.end() - 1);
  }
  const std::vector<double>& boundaries() const { return spec_.bin_boundaries; }

 private:
  bool used_ = false;
};

struct CategoryEncodingSpec : CategoryEncodingArgs {
  std::int64_t num_tokens = 0;
  void fields(Fields& f) { f.required("num_tokens", num_tokens)("output_mode", output_mode); }
};
class CategoryEncodingImpl final : public ConfiguredLayer<CategoryEncodingSpec> {
 public:
  explicit CategoryEncodingImpl(CategoryEncodingSpec spec) : ConfiguredLayer(std::move(spec)) {
    internal::check_encoding("CategoryEncoding", spec_.output_mode, false);
    if (spec_.num_tokens < 1)
      throw ValueError(
          fmt::format("CategoryEncoding: num_tokens must be positive, not {}", spec_.num_tokens));
  }
  bool converts_input() const override { return false; }
  Value call(Call&, Value x) override {
    const Value numbers = internal::whole_numbers_below(
        fmt::format("layer \"{}\" (CategoryEncoding)", name()), x, spec_.num_tokens);
    return internal::encoded(numbers, spec_.num_tokens, spec_.output_mode, dtype());
  }
};

// ---- Lambda -----------------------------------------------------------------------------------------------

class LambdaImpl final : public LayerImpl {
 public:
  LambdaImpl(std::function<Value(Value)> function, const LambdaArgs& args)
      : LayerImpl({.dtype = args.dtype, .name = args.name}),
        function_(internal::not_empty_function(std::move(function), "Lambda")) {}
  Value call(Call&, Value x) override { return function_(x); }

 private:
  std::function<Value(Value)> function_;
};

}  // namespace

NormalizationLayer Normalization(NormalizationArgs args) {
  return NormalizationLayer(make_layer<NormalizationImpl>(NormalizationSpec{std::move(args)}).shared());
}
void NormalizationLayer::adapt(const Tensors& data) {
  adapt(one_by_one(data));
}
void NormalizationLayer::adapt(const std::function<std::optional<Tensor>()>& next) {
  internal::impl_as<NormalizationImpl>(*this, "Normalization").adapt(next);
}

DiscretizationLayer Discretization(std::vector<double> bin_boundaries, DiscretizationArgs args) {
  if (!bin_boundaries.empty() && args.num_bins)
    throw ValueError("Discretization: give bin_boundaries or num_bins, not both");
  return DiscretizationLayer(
      make_layer<DiscretizationImpl>(DiscretizationSpec{std::move(args), std::move(bin_boundaries)})
          .shared());
}
void DiscretizationLayer::adapt(const Tensors& data) {
  adapt(one_by_one(data));
}
void DiscretizationLayer::adapt(const std::function<std::optional<Tensor>()>& next) {
  internal::impl_as<DiscretizationImpl>(*this, "Discretization").adapt(next);
}
const std::vector<double>& DiscretizationLayer::bin_boundaries() const {
  return internal::impl_as<DiscretizationImpl>(*this, "Discretization").boundaries();
}

Layer CategoryEncoding(std::int64_t num_tokens, CategoryEncodingArgs args) {
  return make_layer<CategoryEncodingImpl>(CategoryEncodingSpec{std::move(args), num_tokens});
}
Layer Lambda(std::function<graph::Value(graph::Value)> function, LambdaArgs args) {
  return make_layer<LambdaImpl>(std::move(function), args);
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_preprocessing_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<NormalizationImpl>("Normalization");
  registry.add<DiscretizationImpl>("Discretization");
  registry.add<CategoryEncodingImpl>("CategoryEncoding");
}

}  // namespace kiln::internal
