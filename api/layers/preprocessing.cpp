#include "kiln/layers/preprocessing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/layers/configured.h"
#include "api/layers/whole_numbers.h"
#include "api/support/handles.h"
#include "api/support/names.h"
#include "api/training/targets.h"
#include "kiln/axes.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

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

  void adapt(const Tensor& data) {
    if (!spec_.mean.empty())
      throw StateError(fmt::format(
          "layer \"{}\" (Normalization): adapt has nothing to set, as mean and variance were given", name()));
    if (data.shape().rank() < 1 || data.size() == 0)
      throw ShapeError(fmt::format("layer \"{}\" (Normalization): adapt needs rows of data, but got shape {}",
                                   name(), data.shape().to_string()));
    Shape input = data.shape();
    input[0] = None;
    ensure_built({&input, 1});
    const std::int64_t features = features_of(input);
    if (mean_.shape()[0] != features)
      throw ShapeError(
          fmt::format("layer \"{}\" (Normalization): the layer has {} features, but the data of shape {} "
                      "have {}",
                      name(), mean_.shape()[0], data.shape().to_string(), features));
    // In double, the mean first: the squares of what is far from 0 would cancel.
    const std::vector<double> values = data.to_vector<double>();
    std::int64_t behind = 1;  // elements of one feature side by side
    if (spec_.axis)
      for (int i = axis(input) + 1; i < input.rank(); i++) behind *= input.dim(i);
    const auto feature = [&](std::size_t i) {
      return static_cast<std::size_t>(spec_.axis ? static_cast<std::int64_t>(i) / behind % features : 0);
    };
    const double count = static_cast<double>(data.size()) / static_cast<double>(features);
    std::vector<double> mean(static_cast<std::size_t>(features), 0), variance = mean;
    for (std::size_t i = 0; i < values.size(); i++) mean[feature(i)] += values[i] / count;
    for (std::size_t i = 0; i < values.size(); i++) {
      const double off = values[i] - mean[feature(i)];
      variance[feature(i)] += off * off / count;
    }
    mean_.assign(Tensor(mean, {features}));
    variance_.assign(Tensor(variance, {features}));
  }

 private:
  int axis(const Shape& x) const {
    return static_cast<int>(
        Axes(*spec_.axis).of_rank(fmt::format("layer \"{}\" (Normalization)", name()), x.rank())[0]);
  }
  std::int64_t features_of(const Shape& x) const {
    if (!spec_.axis) return 1;
    const std::int64_t features = x.dim(axis(x));
    if (features == None)
      throw ShapeError(
          fmt::format("layer \"{}\" (Normalization): the size along axis {} must be known, but the input has "
                      "shape {}",
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

// ---- encoding ---------------------------------------------------------------------------------------------

/// Whole numbers, i32, as ones among zeros; see CategoryEncoding.
Value encoded(Value numbers, std::int64_t depth, const std::string& mode, DType dtype) {
  if (mode == "int") return numbers;
  if (mode == "one_hot" && numbers.rank() > 1 && numbers.shape().back() == 1)
    numbers = graph::squeeze(numbers, {numbers.rank() - 1});
  const Value hot = graph::convert(internal::one_hot(numbers, depth), dtype);
  if (mode == "one_hot") return hot;
  const int axis = numbers.rank() > 1 ? numbers.rank() - 1 : 0;
  return mode == "count" ? graph::reduce_sum(hot, {axis}) : graph::reduce_max(hot, {axis});
}

void check_mode(const char* class_name, const std::string& mode, bool whole_numbers) {
  static constexpr std::array<std::string_view, 4> modes = {"one_hot", "multi_hot", "count", "int"};
  const std::span<const std::string_view> known = std::span(modes).first(whole_numbers ? 4 : 3);
  if (std::find(known.begin(), known.end(), mode) == known.end())
    internal::unknown_name(std::string(class_name) + ": output_mode", mode, known);
}

struct DiscretizationSpec : DiscretizationArgs {
  std::vector<double> bin_boundaries = {};
  void fields(Fields& f) {
    f.required("bin_boundaries", bin_boundaries)("output_mode", output_mode);
    f.only("sparse", false);
    if (f.reads()) f.only("epsilon", 0.01);
  }
};
class DiscretizationImpl final : public ConfiguredLayer<DiscretizationSpec> {
 public:
  explicit DiscretizationImpl(DiscretizationSpec spec) : ConfiguredLayer(std::move(spec)) {
    check_mode("Discretization", spec_.output_mode, true);
    const std::vector<double>& b = spec_.bin_boundaries;
    for (std::size_t i = 0; i + 1 < b.size(); i++)
      if (!(b[i] < b[i + 1]))
        throw ValueError(fmt::format("Discretization: bin_boundaries must ascend, but {} is followed by {}",
                                     b[i], b[i + 1]));
  }
  Value call(Call&, Value x) override {
    Value bin = graph::full(x.graph(), {DType::i32, x.shape()}, 0);
    for (double boundary : spec_.bin_boundaries) {
      const Value above = graph::compare(x, graph::scalar(x, boundary), "ge");
      bin = bin + graph::convert(above, DType::i32);
    }
    return encoded(bin, static_cast<std::int64_t>(spec_.bin_boundaries.size()) + 1, spec_.output_mode,
                   dtype());
  }
};

struct CategoryEncodingSpec : CategoryEncodingArgs {
  std::int64_t num_tokens = 0;
  void fields(Fields& f) { f.required("num_tokens", num_tokens)("output_mode", output_mode); }
};
class CategoryEncodingImpl final : public ConfiguredLayer<CategoryEncodingSpec> {
 public:
  explicit CategoryEncodingImpl(CategoryEncodingSpec spec) : ConfiguredLayer(std::move(spec)) {
    check_mode("CategoryEncoding", spec_.output_mode, false);
    if (spec_.num_tokens < 1)
      throw ValueError(
          fmt::format("CategoryEncoding: num_tokens must be positive, not {}", spec_.num_tokens));
  }
  bool converts_input() const override { return false; }
  Value call(Call&, Value x) override {
    const Value numbers = internal::whole_numbers_below(
        fmt::format("layer \"{}\" (CategoryEncoding)", name()), x, spec_.num_tokens);
    return encoded(numbers, spec_.num_tokens, spec_.output_mode, dtype());
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
void NormalizationLayer::adapt(const Tensor& data) {
  auto* normalization = dynamic_cast<NormalizationImpl*>(&impl());
  if (normalization == nullptr)
    throw StateError(
        fmt::format("layer \"{}\" ({}) is no Normalization: it can't adapt", name(), class_name()));
  normalization->adapt(data);
}
Layer Discretization(std::vector<double> bin_boundaries, DiscretizationArgs args) {
  return make_layer<DiscretizationImpl>(DiscretizationSpec{std::move(args), std::move(bin_boundaries)});
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
