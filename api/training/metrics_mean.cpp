// Means, sums, and losses as metrics.
#include "api/training/loss_reduction.h"
#include "api/training/metric_functions.h"
#include "kiln/losses.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

struct MeanKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "Mean", *name = "mean";
};
class MeanImpl final : public KerasMetric<MeanKind, MeanMetricImpl> {
 public:
  using KerasMetric::KerasMetric;
  bool compares() const override { return false; }
  Value values(Value, Value p) const override { return p; }
};

struct SumKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "Sum", *name = "sum";
};
class SumImpl final : public KerasMetric<SumKind> {
 public:
  using KerasMetric::KerasMetric;
  bool compares() const override { return false; }
  std::vector<Tensor> initial_state() const override { return {Tensor::scalar(0, DType::f64)}; }
  std::vector<Value> update(std::span<const Value> state, Value, Value p, Value weights) const override {
    if (weights) p = p * internal::spread_weights(name(), weights, p);
    return {state[0] + graph::convert(graph::reduce_sum(p), DType::f64)};
  }
  double result(std::span<const Tensor> state) const override { return state[0].item(); }
};

// ---- losses without arguments -----------------------------------------------------------------------------

template <class Names, Loss (*make)(losses::LossArgs)>
struct LossKind : Names {
  using Args = MetricArgs;
  static constexpr bool larger_is_better = false;
  static Value values(const Args&, Value y, Value p) { return values_of_loss(make({}), y, p); }
};

struct SquaredErrorNames {
  static constexpr const char *class_name = "MeanSquaredError", *name = "mean_squared_error";
};
struct AbsoluteErrorNames {
  static constexpr const char *class_name = "MeanAbsoluteError", *name = "mean_absolute_error";
};
struct PercentageErrorNames {
  static constexpr const char *class_name = "MeanAbsolutePercentageError",
                              *name = "mean_absolute_percentage_error";
};
struct LogarithmicErrorNames {
  static constexpr const char *class_name = "MeanSquaredLogarithmicError",
                              *name = "mean_squared_logarithmic_error";
};
struct LogCoshNames {
  static constexpr const char *class_name = "LogCoshError", *name = "logcosh";
};
struct HingeNames {
  static constexpr const char *class_name = "Hinge", *name = "hinge";
};
struct SquaredHingeNames {
  static constexpr const char *class_name = "SquaredHinge", *name = "squared_hinge";
};
struct CategoricalHingeNames {
  static constexpr const char *class_name = "CategoricalHinge", *name = "categorical_hinge";
};
struct DivergenceNames {
  static constexpr const char *class_name = "KLDivergence", *name = "kl_divergence";
};
struct PoissonNames {
  static constexpr const char *class_name = "Poisson", *name = "poisson";
};

using SquaredError = KerasMean<LossKind<SquaredErrorNames, losses::MeanSquaredError>>;
using AbsoluteError = KerasMean<LossKind<AbsoluteErrorNames, losses::MeanAbsoluteError>>;
using PercentageError = KerasMean<LossKind<PercentageErrorNames, losses::MeanAbsolutePercentageError>>;
using LogarithmicError = KerasMean<LossKind<LogarithmicErrorNames, losses::MeanSquaredLogarithmicError>>;
using LogCoshImpl = KerasMean<LossKind<LogCoshNames, losses::LogCosh>>;
using HingeImpl = KerasMean<LossKind<HingeNames, losses::Hinge>>;
using SquaredHingeImpl = KerasMean<LossKind<SquaredHingeNames, losses::SquaredHinge>>;
using CategoricalHingeImpl = KerasMean<LossKind<CategoricalHingeNames, losses::CategoricalHinge>>;
using DivergenceImpl = KerasMean<LossKind<DivergenceNames, losses::KLDivergence>>;
using PoissonImpl = KerasMean<LossKind<PoissonNames, losses::Poisson>>;

// ---- crossentropies ---------------------------------------------------------------------------------------

struct BinaryKind {
  using Args = BinaryCrossentropyArgs;
  static constexpr const char *class_name = "BinaryCrossentropy", *name = "binary_crossentropy";
  static constexpr bool larger_is_better = false;
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("label_smoothing", args.label_smoothing);
  }
  static Loss loss(const Args& args) {
    return losses::BinaryCrossentropy(
        {.from_logits = args.from_logits, .label_smoothing = args.label_smoothing});
  }
  static void check(const Args& args) { loss(args); }
  static Value values(const Args& args, Value y, Value p) { return values_of_loss(loss(args), y, p); }
};

struct CategoricalKind {
  using Args = CategoricalCrossentropyArgs;
  static constexpr const char *class_name = "CategoricalCrossentropy", *name = "categorical_crossentropy";
  static constexpr bool larger_is_better = false;
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("label_smoothing", args.label_smoothing)("axis", args.axis);
  }
  static Loss loss(const Args& args) {
    return losses::CategoricalCrossentropy(
        {.from_logits = args.from_logits, .label_smoothing = args.label_smoothing, .axis = args.axis});
  }
  static void check(const Args& args) { loss(args); }
  static Value values(const Args& args, Value y, Value p) { return values_of_loss(loss(args), y, p); }
};

struct SparseKind {
  using Args = SparseCategoricalCrossentropyArgs;
  static constexpr const char *class_name = "SparseCategoricalCrossentropy",
                              *name = "sparse_categorical_crossentropy";
  static constexpr bool larger_is_better = false;
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("ignore_class", args.ignore_class)("axis", args.axis);
  }
};
class SparseImpl final : public KerasMetric<SparseKind, MeanMetricImpl> {
 public:
  using KerasMetric::KerasMetric;
  Value values(Value y, Value p) const override { return values_of_loss(loss(), y, p); }
  // As Keras: the mask that says which labels are ignored takes part in the weights, if there are any.
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    if (!weights || !args_.ignore_class) return MeanMetricImpl::update(state, y, p, weights);
    const Loss of_values = loss();
    const Value labels = of_values.impl().arrange(y, p);
    const Value each = of_values.impl().values(labels, p);
    const Value counted = graph::convert(of_values.impl().counted(labels, p), each.dtype());
    weights = internal::spread_weights(name(), weights, each);
    return add_to_mean(state, each, weights * counted);
  }

 private:
  Loss loss() const {
    return losses::SparseCategoricalCrossentropy({.from_logits = args_.from_logits,
                                                  .ignore_class = args_.ignore_class,
                                                  .axis = args_.axis,
                                                  .name = name()});
  }
};

}  // namespace

Metric Mean(MetricArgs args) {
  return make_metric_of<MeanImpl>(std::move(args));
}
Metric Sum(MetricArgs args) {
  return make_metric_of<SumImpl>(std::move(args));
}
Metric MeanSquaredError(MetricArgs args) {
  return make_metric_of<SquaredError>(std::move(args));
}
Metric MeanAbsoluteError(MetricArgs args) {
  return make_metric_of<AbsoluteError>(std::move(args));
}
Metric MeanAbsolutePercentageError(MetricArgs args) {
  return make_metric_of<PercentageError>(std::move(args));
}
Metric MeanSquaredLogarithmicError(MetricArgs args) {
  return make_metric_of<LogarithmicError>(std::move(args));
}
Metric LogCoshError(MetricArgs args) {
  return make_metric_of<LogCoshImpl>(std::move(args));
}
Metric Hinge(MetricArgs args) {
  return make_metric_of<HingeImpl>(std::move(args));
}
Metric SquaredHinge(MetricArgs args) {
  return make_metric_of<SquaredHingeImpl>(std::move(args));
}
Metric CategoricalHinge(MetricArgs args) {
  return make_metric_of<CategoricalHingeImpl>(std::move(args));
}
Metric KLDivergence(MetricArgs args) {
  return make_metric_of<DivergenceImpl>(std::move(args));
}
Metric Poisson(MetricArgs args) {
  return make_metric_of<PoissonImpl>(std::move(args));
}
Metric BinaryCrossentropy(BinaryCrossentropyArgs args) {
  return make_metric_of<KerasMean<BinaryKind>>(std::move(args));
}
Metric CategoricalCrossentropy(CategoricalCrossentropyArgs args) {
  return make_metric_of<KerasMean<CategoricalKind>>(std::move(args));
}
Metric SparseCategoricalCrossentropy(SparseCategoricalCrossentropyArgs args) {
  return make_metric_of<SparseImpl>(std::move(args));
}

void add_mean_metrics(MetricRegistry& r) {
  r.add({"Mean", "mean"}, from_fields<MeanImpl>);
  r.add({"Sum", "sum"}, from_fields<SumImpl>);
  r.add({"MeanSquaredError", "mean_squared_error", "mse", "MSE"}, from_fields<SquaredError>);
  r.add({"MeanAbsoluteError", "mean_absolute_error", "mae", "MAE"}, from_fields<AbsoluteError>);
  r.add({"MeanAbsolutePercentageError", "mean_absolute_percentage_error", "mape", "MAPE"},
        from_fields<PercentageError>);
  r.add({"MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "msle", "MSLE"},
        from_fields<LogarithmicError>);
  r.add({"LogCoshError", "log_cosh_error", "logcosh"}, from_fields<LogCoshImpl>);
  r.add({"Hinge", "hinge"}, from_fields<HingeImpl>);
  r.add({"SquaredHinge", "squared_hinge"}, from_fields<SquaredHingeImpl>);
  r.add({"CategoricalHinge", "categorical_hinge"}, from_fields<CategoricalHingeImpl>);
  r.add({"KLDivergence", "kl_divergence"}, from_fields<DivergenceImpl>);
  r.add({"Poisson", "poisson"}, from_fields<PoissonImpl>);
  r.add({"BinaryCrossentropy", "binary_crossentropy", "bce", "BCE"}, from_fields<KerasMean<BinaryKind>>);
  r.add({"CategoricalCrossentropy", "categorical_crossentropy"}, from_fields<KerasMean<CategoricalKind>>);
  r.add({"SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"}, from_fields<SparseImpl>);
}

}  // namespace kiln::metrics
