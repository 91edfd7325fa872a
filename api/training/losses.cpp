#include "kiln/losses.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/support/handles.h"
#include "api/support/names.h"
#include "api/training/loss_reduction.h"
#include "api/training/targets.h"

namespace kiln {

using graph::Value;

LossImpl::LossImpl(std::string name, std::string reduction)
    : name_(std::move(name)), reduction_(std::move(reduction)) {
  static constexpr std::array<std::string_view, 4> known = {"sum_over_batch_size", "mean", "sum",
                                                            "mean_with_sample_weight"};
  if (std::find(known.begin(), known.end(), reduction_) == known.end())
    internal::unknown_name(fmt::format("loss \"{}\": reduction", name_), reduction_, known);
}
LossImpl::~LossImpl() = default;

Value LossImpl::arrange(Value y_true, Value y_pred) const {
  return internal::same_shape(name_, y_true, y_pred);
}

namespace losses {
namespace {

// Keras's backend.epsilon(): probabilities are kept this far from 0 and 1.
constexpr double epsilon = 1e-7;

Value clip(Value x, double low, double high) {
  return graph::minimum(graph::maximum(x, graph::scalar(x, low)), graph::scalar(x, high));
}
Value mean_last(Value x) {
  return x.rank() < 2 ? x : graph::reduce_mean(x, {x.rank() - 1});
}

void check_smoothing(const char* loss, double smoothing) {
  if (!(smoothing >= 0 && smoothing <= 1))
    throw ValueError(fmt::format("{}: label_smoothing must be in [0, 1], but it is {}", loss, smoothing));
}

std::string name_or(const std::string& name, const char* standard) {
  return name.empty() ? standard : name;
}

class FunctionLoss final : public LossImpl {
 public:
  FunctionLoss(std::string name, std::string reduction, std::function<Value(Value, Value)> values)
      : LossImpl(std::move(name), std::move(reduction)), values_(std::move(values)) {}
  Value values(Value y_true, Value y_pred) const override { return values_(y_true, y_pred); }

 private:
  std::function<Value(Value, Value)> values_;
};

Value absolute_norm(Value e, const graph::Ints& axes) {
  return graph::reduce_sum(graph::abs(e), axes);
}
Value largest(Value e, const graph::Ints& axes) {
  return graph::reduce_max(graph::abs(e), axes);
}

// scale * sqrt(sum((e / scale)^2)) with the largest |e| as scale: the squares neither overflow nor vanish.
// Where all errors are zero, scale and sum are replaced by 1, so that no infinite slope of the root gets into
// the gradient.
Value euclidean_norm(Value e, const graph::Ints& axes) {
  const Value peak = graph::reduce_max(graph::abs(e), axes, true);
  const Value is_zero = graph::compare(peak, graph::scalar(peak, 0), "eq");
  const Value scale = graph::stop_gradient(graph::select(is_zero, graph::scalar(peak, 1), peak));
  const Value scaled = e / scale;
  const Value sum = graph::reduce_sum(scaled * scaled, axes, true);
  const Value root = graph::sqrt(graph::select(is_zero, graph::scalar(sum, 1), sum));
  return graph::squeeze(graph::select(is_zero, graph::scalar(root, 0), root * scale), axes);
}

Value p_norm(double p, Value e) {
  graph::Ints axes;
  for (int axis = 1; axis < e.rank(); axis++) axes.push_back(axis);
  if (axes.empty()) return graph::abs(e);
  return p == 1 ? absolute_norm(e, axes) : p == 2 ? euclidean_norm(e, axes) : largest(e, axes);
}

class BinaryCrossentropyImpl final : public LossImpl {
 public:
  explicit BinaryCrossentropyImpl(const BinaryCrossentropyArgs& args)
      : LossImpl(name_or(args.name, "binary_crossentropy"), args.reduction), args_(args) {
    check_smoothing("BinaryCrossentropy", args.label_smoothing);
  }
  Value values(Value y, Value p) const override {
    if (args_.label_smoothing != 0) y = y * (1 - args_.label_smoothing) + 0.5 * args_.label_smoothing;
    if (args_.from_logits) {
      // max(z, 0) - z y + log(1 + exp(-|z|)), with z factored out of the first two terms: of three parts of a
      // gradient, added in the wrong order, the smallest would be lost where the others are 1 and -1.
      const Value z = p, rises = graph::compare(z, graph::scalar(z, 0), "ge");
      return mean_last(z * (graph::convert(rises, z.dtype()) - y) +
                       graph::log1p(graph::exp(graph::select(rises, -z, z))));
    }
    p = clip(p, epsilon, 1 - epsilon);
    return mean_last(-(y * graph::log(p) + (1.0 - y) * graph::log(1.0 - p)));
  }

 private:
  BinaryCrossentropyArgs args_;
};

class CategoricalCrossentropyImpl final : public LossImpl {
 public:
  explicit CategoricalCrossentropyImpl(const CategoricalCrossentropyArgs& args)
      : LossImpl(name_or(args.name, "categorical_crossentropy"), args.reduction), args_(args) {
    check_smoothing("CategoricalCrossentropy", args.label_smoothing);
  }
  Value values(Value y, Value p) const override {
    const int axis = normalize_axis(args_.axis, p.rank(), "CategoricalCrossentropy");
    if (args_.label_smoothing != 0)
      y = y * (1 - args_.label_smoothing) + args_.label_smoothing / static_cast<double>(y.shape().dim(axis));
    Value log_p;
    if (args_.from_logits)
      log_p = activations::log_softmax(p, {.axis = axis});
    else
      log_p = graph::log(clip(p / graph::reduce_sum(p, {axis}, true), epsilon, 1 - epsilon));
    return -graph::reduce_sum(y * log_p, {axis});
  }

 private:
  CategoricalCrossentropyArgs args_;
};

class SparseCategoricalCrossentropyImpl final : public LossImpl {
 public:
  explicit SparseCategoricalCrossentropyImpl(const SparseCategoricalCrossentropyArgs& args)
      : LossImpl(name_or(args.name, "sparse_categorical_crossentropy"), args.reduction),
        from_logits_(args.from_logits) {}

  Value arrange(Value y_true, Value y_pred) const override {
    return internal::class_labels(name(), y_true, y_pred);
  }
  graph::Type label_type(const graph::Type& y_pred) const override {
    return {DType::i32, y_pred.shape.slice(0, std::max(1, y_pred.shape.rank() - 1))};
  }

  // The label's element is picked by a sum over its one-hot row, not by a gather: that is one loop over the
  // scores, and so is its gradient. It is selected, not multiplied: another class's infinite logarithm must
  // not count.
  Value values(Value labels, Value p) const override {
    const int axis = p.rank() - 1;
    const Value hot = internal::one_hot(labels, p.shape().back());
    const Value zero = graph::scalar(p, 0);
    if (from_logits_) {
      const Value peak = graph::stop_gradient(graph::reduce_max(p, {axis}, true));
      const Value shifted = p - peak;
      const Value log_sum = graph::log(graph::reduce_sum(graph::exp(shifted), {axis}));
      return log_sum - graph::reduce_sum(graph::select(hot, shifted, zero), {axis});
    }
    const Value share = clip(p / graph::reduce_sum(p, {axis}, true), epsilon, 1 - epsilon);
    return -graph::reduce_sum(graph::select(hot, graph::log(share), zero), {axis});
  }

 private:
  bool from_logits_;
};

}  // namespace

Loss make_loss(std::string name, std::function<Value(Value, Value)> values, LossArgs args) {
  return Loss(std::make_shared<FunctionLoss>(
      name_or(args.name, name.c_str()), args.reduction,
      internal::not_empty_function(std::move(values), fmt::format("make_loss(\"{}\")", name))));
}
Loss MeanSquaredError(LossArgs args) {
  return make_loss("mean_squared_error", [](Value y, Value p) { return mean_last((y - p) * (y - p)); }, args);
}
Loss MeanAbsoluteError(LossArgs args) {
  return make_loss(
      "mean_absolute_error", [](Value y, Value p) { return mean_last(graph::abs(y - p)); }, args);
}
Loss PNorm(double p, LossArgs args) {
  if (p != 1 && p != 2 && p != infinity)
    throw ValueError(fmt::format("PNorm: p must be 1, 2 or losses::infinity, but it is {}", p));
  return make_loss("p_norm", [p](Value y, Value y_pred) { return p_norm(p, y_pred - y); }, args);
}
Loss BinaryCrossentropy(BinaryCrossentropyArgs args) {
  return Loss(std::make_shared<BinaryCrossentropyImpl>(args));
}
Loss CategoricalCrossentropy(CategoricalCrossentropyArgs args) {
  return Loss(std::make_shared<CategoricalCrossentropyImpl>(args));
}
Loss SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args) {
  return Loss(std::make_shared<SparseCategoricalCrossentropyImpl>(args));
}

namespace {

struct Named {
  std::string_view name;
  Loss (*make)();
};

constexpr std::array<Named, 16> by_name = {{
    {"mean_squared_error", [] { return MeanSquaredError(); }},
    {"mse", [] { return MeanSquaredError(); }},
    {"MSE", [] { return MeanSquaredError(); }},
    {"MeanSquaredError", [] { return MeanSquaredError(); }},
    {"mean_absolute_error", [] { return MeanAbsoluteError(); }},
    {"mae", [] { return MeanAbsoluteError(); }},
    {"MAE", [] { return MeanAbsoluteError(); }},
    {"MeanAbsoluteError", [] { return MeanAbsoluteError(); }},
    {"binary_crossentropy", [] { return BinaryCrossentropy(); }},
    {"bce", [] { return BinaryCrossentropy(); }},
    {"BCE", [] { return BinaryCrossentropy(); }},
    {"BinaryCrossentropy", [] { return BinaryCrossentropy(); }},
    {"categorical_crossentropy", [] { return CategoricalCrossentropy(); }},
    {"CategoricalCrossentropy", [] { return CategoricalCrossentropy(); }},
    {"sparse_categorical_crossentropy", [] { return SparseCategoricalCrossentropy(); }},
    {"SparseCategoricalCrossentropy", [] { return SparseCategoricalCrossentropy(); }},
}};

}  // namespace
}  // namespace losses

Loss::Loss(const std::string& name) {
  std::vector<std::string_view> known;
  for (const auto& entry : losses::by_name) {
    if (entry.name == name) {
      *this = entry.make();
      return;
    }
    known.push_back(entry.name);
  }
  internal::unknown_name("loss", name, known);
}
Loss::Loss(const char* name) : Loss(internal::given_name("loss", name)) {}

const LossImpl& Loss::impl() const {
  return internal::used(impl_, "Loss");
}

}  // namespace kiln
