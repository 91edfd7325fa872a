#include "api/training/metric_functions.h"
#include "api/training/targets.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

Value equal(Value a, Value b) {
  return graph::convert(graph::compare(a, b, "eq"), DType::f32);
}

struct AccuracyKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "Accuracy", *name = "accuracy";
  static constexpr bool larger_is_better = true;
  static Value values(const Args&, Value y, Value p) { return equal(internal::same_shape(name, y, p), p); }
};

struct BinaryKind {
  using Args = BinaryAccuracyArgs;
  static constexpr const char *class_name = "BinaryAccuracy", *name = "binary_accuracy";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) { f("threshold", args.threshold); }
  static Value values(const Args& args, Value y, Value p) {
    const Value guess = graph::convert(graph::compare(p, graph::scalar(p, args.threshold), "gt"), p.dtype());
    const Value hit = equal(internal::same_shape(name, y, p), guess);
    return hit.rank() < 2 ? hit : graph::reduce_mean(hit, {hit.rank() - 1});
  }
};

struct CategoricalKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "CategoricalAccuracy", *name = "categorical_accuracy";
  static constexpr bool larger_is_better = true;
  static Value values(const Args&, Value y, Value p) {
    y = internal::same_shape(name, y, p);
    const Value wanted = graph::argmax(y, y.rank() - 1);
    return equal(wanted, graph::argmax(p, p.rank() - 1));
  }
};

struct SparseKind {
  using Args = MetricArgs;
  static constexpr const char *class_name = "SparseCategoricalAccuracy",
                              *name = "sparse_categorical_accuracy";
  static constexpr bool larger_is_better = true;
  static Value values(const Args&, Value y, Value p) {
    const Value labels = internal::class_labels(name, y, p);
    return equal(labels, graph::argmax(p, p.rank() - 1));
  }
};

// ---- among the k best -------------------------------------------------------------------------------------

void check_k(const char* metric, int k) {
  if (k < 1) throw ValueError(fmt::format("{}: k must be positive, not {}", metric, k));
}

/// 1 where fewer than k scores are larger than the label's. NaN is never among the best.
Value is_in_top_k(Value labels, Value p, int k) {
  const int last = p.rank() - 1;
  const Value hot = internal::one_hot(labels, p.shape().back());
  const Value own = graph::reduce_sum(graph::select(hot, p, graph::scalar(p, 0)), {last}, /*keepdims=*/true);
  const Value larger = graph::convert(graph::compare(p, own, "gt"), DType::f32);
  const Value rank = graph::reduce_sum(larger, {last});
  const Value near = graph::compare(rank, graph::scalar(rank, k), "lt");
  const Value number = graph::squeeze(graph::compare(own, own, "eq"), {last});
  return graph::convert(graph::bit_and(near, number), DType::f32);
}

struct TopKKind {
  using Args = TopKCategoricalAccuracyArgs;
  static constexpr const char *class_name = "TopKCategoricalAccuracy", *name = "top_k_categorical_accuracy";
  static constexpr bool larger_is_better = true;
  static void fields(Fields& f, Args& args) { f("k", args.k); }
  static void check(const Args& args) { check_k(class_name, args.k); }
  static Value values(const Args& args, Value y, Value p) {
    y = internal::same_shape(name, y, p);
    return is_in_top_k(graph::argmax(y, y.rank() - 1), p, args.k);
  }
};

struct SparseTopKKind {
  using Args = SparseTopKCategoricalAccuracyArgs;
  static constexpr const char *class_name = "SparseTopKCategoricalAccuracy",
                              *name = "sparse_top_k_categorical_accuracy";
  static constexpr bool larger_is_better = true;
  // As Keras: the flag stands in the configuration only if it is set.
  static void fields(Fields& f, Args& args) {
    f("k", args.k);
    if (f.reads() || args.from_sorted_ids) f("from_sorted_ids", args.from_sorted_ids);
  }
  static void check(const Args& args) { check_k(class_name, args.k); }
  static Value values(const Args& args, Value y, Value p) {
    if (!args.from_sorted_ids) return is_in_top_k(internal::class_labels(name, y, p), p, args.k);
    const int last = p.rank() - 1;
    if (last < 1)
      throw ShapeError(fmt::format("{}: the predictions must be rows of class numbers", class_name));
    graph::Ints start(static_cast<std::size_t>(p.rank()), 0);
    graph::Ints limit(p.shape().begin(), p.shape().end());
    limit.back() = std::min<std::int64_t>(args.k, limit.back());
    const Value best = graph::slice(p, start, limit);
    Shape column = p.shape().slice(0, last);
    column.push_back(1);
    // One label for each row, of the predictions' type.
    const Value one_each = graph::slice(p, start, graph::Ints(column.begin(), column.end()));
    const Value labels = internal::same_shape(name, y, one_each);
    return graph::reduce_max(equal(graph::broadcast_to(labels, best.shape()), best), {last});
  }
};

}  // namespace

Metric Accuracy(MetricArgs args) {
  return make_metric_of<KerasMean<AccuracyKind>>(std::move(args));
}
Metric BinaryAccuracy(BinaryAccuracyArgs args) {
  return make_metric_of<KerasMean<BinaryKind>>(std::move(args));
}
Metric CategoricalAccuracy(MetricArgs args) {
  return make_metric_of<KerasMean<CategoricalKind>>(std::move(args));
}
Metric SparseCategoricalAccuracy(MetricArgs args) {
  return make_metric_of<KerasMean<SparseKind>>(std::move(args));
}
Metric TopKCategoricalAccuracy(TopKCategoricalAccuracyArgs args) {
  return make_metric_of<KerasMean<TopKKind>>(std::move(args));
}
Metric SparseTopKCategoricalAccuracy(SparseTopKCategoricalAccuracyArgs args) {
  return make_metric_of<KerasMean<SparseTopKKind>>(std::move(args));
}

void add_accuracy_metrics(MetricRegistry& r) {
  r.add({"Accuracy"}, from_fields<KerasMean<AccuracyKind>>);
  r.add({"BinaryAccuracy", "binary_accuracy"}, from_fields<KerasMean<BinaryKind>>);
  r.add({"CategoricalAccuracy", "categorical_accuracy"}, from_fields<KerasMean<CategoricalKind>>);
  r.add({"SparseCategoricalAccuracy", "sparse_categorical_accuracy"}, from_fields<KerasMean<SparseKind>>);
  r.add({"TopKCategoricalAccuracy", "top_k_categorical_accuracy"}, from_fields<KerasMean<TopKKind>>);
  r.add({"SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy"},
        from_fields<KerasMean<SparseTopKKind>>);
}

}  // namespace kiln::metrics
