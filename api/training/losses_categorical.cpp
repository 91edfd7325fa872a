#include <algorithm>

#include "api/training/loss_functions.h"
#include "api/training/targets.h"

namespace kiln::losses {

using graph::Value;
using internal::Fields;

namespace {

Value smooth(Value y, double smoothing, int axis) {
  return smoothing == 0 ? y : y * (1 - smoothing) + smoothing / static_cast<double>(y.shape().dim(axis));
}
/// Of what is to be probabilities: divided by their sum, and kept from 0 and 1.
Value shares(Value p, int axis) {
  return clip(p / graph::reduce_sum(p, {axis}, true), epsilon, 1 - epsilon);
}

struct CategoricalKind {
  using Args = CategoricalCrossentropyArgs;
  static constexpr const char *class_name = "CategoricalCrossentropy", *name = "categorical_crossentropy";
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("label_smoothing", args.label_smoothing)("axis", args.axis);
  }
  static void check(const Args& args) { check_share(class_name, "label_smoothing", args.label_smoothing); }
  static Value values(const Args& args, Value y, Value p) {
    const int axis = normalize_axis(args.axis, p.rank(), class_name);
    y = smooth(y, args.label_smoothing, axis);
    const Value log_p =
        args.from_logits ? activations::log_softmax(p, {.axis = axis}) : graph::log(shares(p, axis));
    return -graph::reduce_sum(y * log_p, {axis});
  }
};

struct CategoricalFocalKind {
  using Args = CategoricalFocalCrossentropyArgs;
  static constexpr const char *class_name = "CategoricalFocalCrossentropy",
                              *name = "categorical_focal_crossentropy";
  static void fields(Fields& f, Args& args) {
    f("alpha", args.alpha)("gamma", args.gamma)("from_logits", args.from_logits);
    f("label_smoothing", args.label_smoothing)("axis", args.axis);
  }
  static void check(const Args& args) {
    for (double factor : args.alpha.values()) check_not_negative(class_name, "alpha", factor);
    check_not_negative(class_name, "gamma", args.gamma);
    check_share(class_name, "label_smoothing", args.label_smoothing);
  }
  static Value values(const Args& args, Value y, Value p) {
    const int axis = normalize_axis(args.axis, p.rank(), class_name);
    y = smooth(y, args.label_smoothing, axis);
    if (args.from_logits) p = activations::softmax(p, {.axis = axis});
    const Value share = shares(p, axis);
    const Value factor = focal_factor(1.0 - share, args.gamma);
    const Value each = factor * (y * graph::log(share));
    return -graph::reduce_sum(weighed(args, each, axis), {axis});
  }
  static Value weighed(const Args& args, Value each, int axis) {
    const std::vector<double>& factors = args.alpha.values();
    if (!args.alpha.is_list()) return each * factors[0];
    const std::int64_t classes = each.shape().dim(axis);
    if (static_cast<std::int64_t>(factors.size()) != classes)
      throw ShapeError(fmt::format("{}: alpha has {} factors, but there are {} classes; give one for each",
                                   class_name, factors.size(), classes));
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(each.rank()), 1));
    shape[static_cast<std::size_t>(axis)] = classes;
    Tensor list({classes}, DType::f64);
    std::copy(factors.begin(), factors.end(), list.data<double>());
    const Value constant = graph::constant(each.graph(), list.astype(each.dtype()));
    return each * graph::reshape(constant, shape);
  }
};

// ---- labels -----------------------------------------------------------------------------------------------

struct SparseKind {
  using Args = SparseCategoricalCrossentropyArgs;
  static constexpr const char *class_name = "SparseCategoricalCrossentropy",
                              *name = "sparse_categorical_crossentropy";
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("ignore_class", args.ignore_class);
    forgotten_by_keras(f, "axis", args.axis, -1);
  }
  // The label's element is picked by a sum over its one-hot row, not by a gather: that is one loop over the
  // scores, and so is its gradient. It is selected, not multiplied: another class's infinite logarithm must
  // not count.
  static Value values(const Args& args, Value labels, Value p) {
    const int axis = p.rank() - 1;
    const Value hot = internal::one_hot(labels, p.shape().back());
    const Value zero = graph::scalar(p, 0);
    if (args.from_logits) {
      const Value peak = graph::stop_gradient(graph::reduce_max(p, {axis}, true));
      const Value shifted = p - peak;
      const Value log_sum = graph::log(graph::reduce_sum(graph::exp(shifted), {axis}));
      return log_sum - graph::reduce_sum(graph::select(hot, shifted, zero), {axis});
    }
    return -graph::reduce_sum(graph::select(hot, graph::log(shares(p, axis)), zero), {axis});
  }
};

/// Labels that don't count are -1 from `arrange` on.
class SparseLoss final : public LossOf<SparseKind> {
 public:
  using LossOf::LossOf;

  Value arrange(Value y_true, Value y_pred) const override {
    const Value scores = classes_last(y_pred);
    if (!args_.ignore_class) return internal::class_labels(name(), y_true, scores);
    // Of bytes, -1 could be none.
    if (y_true.dtype() == DType::u8 || y_true.dtype() == DType::bool_)
      y_true = graph::convert(y_true, DType::i32);
    const Value ignored =
        graph::compare(y_true, graph::scalar(y_true, static_cast<double>(*args_.ignore_class)), "eq");
    const Value known = graph::select(ignored, graph::scalar(y_true, 0), y_true);
    const Value labels = internal::class_labels(name(), known, scores);
    const Value mask = graph::reshape(ignored, labels.shape());
    return graph::select(mask, graph::scalar(labels, -1), labels);
  }
  graph::Type label_type(const graph::Type& y_pred) const override {
    Shape shape;
    const int axis = args_.axis < 0 ? args_.axis + y_pred.shape.rank() : args_.axis;
    for (int i = 0; i < y_pred.shape.rank(); i++)
      if (i == 0 || i != axis) shape.push_back(y_pred.shape.dim(i));
    return {DType::i32, shape};
  }
  // What doesn't count mustn't bring NaN into the others' gradients: its scores are replaced.
  Value values(Value labels, Value y_pred) const override {
    Value scores = classes_last(y_pred);
    if (!args_.ignore_class) return SparseKind::values(args_, labels, scores);
    const Value counts = counted(labels, y_pred);
    const Value rows = graph::expand_dims(counts, counts.rank());
    scores = graph::select(rows, scores, graph::scalar(scores, 1));
    const Value each = SparseKind::values(args_, labels, scores);
    return graph::select(counts, each, graph::scalar(each, 0));
  }
  Value counted(Value labels, Value) const override {
    if (!args_.ignore_class) return {};
    return graph::compare(labels, graph::scalar(labels, 0), "ge");
  }

 private:
  Value classes_last(Value y_pred) const {
    const int rank = y_pred.rank(), axis = normalize_axis(args_.axis, rank, SparseKind::class_name);
    if (axis == rank - 1) return y_pred;
    graph::Ints order;
    for (int i = 0; i < rank; i++)
      if (i != axis) order.push_back(i);
    order.push_back(axis);
    return graph::transpose(y_pred, order);
  }
};

struct GeneralizedKind {
  using Args = CategoricalGeneralizedCrossEntropyArgs;
  static constexpr const char *class_name = "CategoricalGeneralizedCrossEntropy",
                              *name = "categorical_generalized_cross_entropy";
  static void fields(Fields& f, Args& args) { f("q", args.q); }
  static void check(const Args& args) {
    if (!(args.q > 0 && args.q < 1))
      throw ValueError(
          fmt::format("{}: q must be between 0 and 1, both excluded, but it is {}", class_name, args.q));
  }
  // At p = 0, where the power's slope is infinite, the gradient is 0.
  static Value values(const Args& args, Value labels, Value p) {
    const Value hot = internal::one_hot(labels, p.shape().back());
    const Value picked = graph::reduce_sum(graph::select(hot, p, graph::scalar(p, 0)), {p.rank() - 1});
    const Value zero = graph::scalar(picked, 0), is_zero = graph::compare(picked, zero, "eq");
    const Value base = graph::select(is_zero, graph::scalar(picked, 1), picked);
    const Value power = graph::pow(base, graph::scalar(base, args.q));
    return (1.0 - graph::select(is_zero, zero, power)) / args.q;
  }
};

class GeneralizedLoss final : public LossOf<GeneralizedKind> {
 public:
  using LossOf::LossOf;
  Value arrange(Value y_true, Value y_pred) const override {
    return internal::class_labels(name(), y_true, y_pred);
  }
  graph::Type label_type(const graph::Type& y_pred) const override {
    return {DType::i32, y_pred.shape.slice(0, std::max(1, y_pred.shape.rank() - 1))};
  }
};

}  // namespace

Loss CategoricalCrossentropy(CategoricalCrossentropyArgs args) {
  return loss_of<CategoricalKind>(std::move(args));
}
Loss CategoricalFocalCrossentropy(CategoricalFocalCrossentropyArgs args) {
  return loss_of<CategoricalFocalKind>(std::move(args));
}
Loss SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args) {
  return Loss(std::make_shared<SparseLoss>(std::move(args)));
}
Loss CategoricalGeneralizedCrossEntropy(CategoricalGeneralizedCrossEntropyArgs args) {
  return Loss(std::make_shared<GeneralizedLoss>(std::move(args)));
}

void add_categorical_losses(LossRegistry& r) {
  r.add({"CategoricalCrossentropy", "categorical_crossentropy"}, from_fields<LossOf<CategoricalKind>>);
  r.add({"CategoricalFocalCrossentropy", "categorical_focal_crossentropy"},
        from_fields<LossOf<CategoricalFocalKind>>);
  r.add({"SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"}, from_fields<SparseLoss>);
  r.add({"CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"},
        from_fields<GeneralizedLoss>);
}

}  // namespace kiln::losses
