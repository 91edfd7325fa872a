#include <numeric>

#include "api/training/loss_reduction.h"
#include "api/training/metric_functions.h"

namespace kiln::metrics {

using graph::Value;
using internal::Fields;

namespace {

constexpr double epsilon = 1e-7;

/// What all five have; each of Keras's classes has some of it as arguments.
struct IoUSpec {
  std::string name;
  int num_classes = 0;
  std::vector<int> target_class_ids = {};
  std::optional<std::int64_t> ignore_class = {};
  bool sparse_y_true = true, sparse_y_pred = true;
  int axis = -1;
  std::optional<double> threshold = {};  ///< BinaryIoU's
};

void all_classes(IoUSpec& spec) {
  spec.target_class_ids.resize(static_cast<std::size_t>(std::max(spec.num_classes, 0)));
  std::iota(spec.target_class_ids.begin(), spec.target_class_ids.end(), 0);
}
void common_fields(Fields& f, IoUSpec& spec) {
  f("ignore_class", spec.ignore_class)("sparse_y_pred", spec.sparse_y_pred)("axis", spec.axis);
}

struct IoUKind {
  static constexpr const char *class_name = "IoU", *name = "io_u";
  static void fields(Fields& f, IoUSpec& spec) {
    f.required("num_classes", spec.num_classes).required("target_class_ids", spec.target_class_ids);
    f("sparse_y_true", spec.sparse_y_true);
    common_fields(f, spec);
  }
};
struct MeanIoUKind {
  static constexpr const char *class_name = "MeanIoU", *name = "mean_io_u";
  static void fields(Fields& f, IoUSpec& spec) {
    f.required("num_classes", spec.num_classes)("sparse_y_true", spec.sparse_y_true);
    common_fields(f, spec);
    all_classes(spec);
  }
};
struct BinaryIoUKind {
  static constexpr const char *class_name = "BinaryIoU", *name = "binary_io_u";
  static void fields(Fields& f, IoUSpec& spec) {
    if (f.reads()) {
      spec.num_classes = 2;
      spec.target_class_ids = {0, 1};
      spec.threshold = 0.5;
    }
    f("target_class_ids", spec.target_class_ids)("threshold", spec.threshold);
  }
};
struct OneHotIoUKind {
  static constexpr const char *class_name = "OneHotIoU", *name = "one_hot_io_u";
  static void fields(Fields& f, IoUSpec& spec) {
    if (f.reads()) spec.sparse_y_true = spec.sparse_y_pred = false;
    f.required("num_classes", spec.num_classes).required("target_class_ids", spec.target_class_ids);
    common_fields(f, spec);
  }
};
struct OneHotMeanIoUKind {
  static constexpr const char *class_name = "OneHotMeanIoU", *name = "one_hot_mean_io_u";
  static void fields(Fields& f, IoUSpec& spec) {
    if (f.reads()) spec.sparse_y_true = spec.sparse_y_pred = false;
    f.required("num_classes", spec.num_classes);
    common_fields(f, spec);
    all_classes(spec);
  }
};

template <class Which>
struct Kind : Which {
  using Args = IoUSpec;
  static constexpr bool larger_is_better = true;
  static constexpr const char* dtype = "int32";
  static void check(const IoUSpec& spec) {
    if (spec.num_classes < 1)
      throw ValueError(
          fmt::format("{}: num_classes must be positive, but it is {}", Which::class_name, spec.num_classes));
    if (spec.target_class_ids.empty())
      throw ValueError(
          fmt::format("{}: target_class_ids is empty; give the classes to look at", Which::class_name));
    for (int id : spec.target_class_ids)
      if (id < 0 || id >= spec.num_classes)
        throw ValueError(fmt::format("{}: target_class_ids has {}, but the classes are 0 to {}",
                                     Which::class_name, id, spec.num_classes - 1));
  }
};

/// State: the weights of the elements of each target class (row) and predicted class (column).
template <class Which>
class IoUImpl final : public KerasMetric<Kind<Which>> {
 public:
  using KerasMetric<Kind<Which>>::KerasMetric;

  std::vector<Tensor> initial_state() const override {
    return {Tensor::zeros({classes() * classes()}, DType::f64)};
  }
  std::vector<Value> update(std::span<const Value> state, Value y, Value p, Value weights) const override {
    const IoUSpec& spec = this->args_;
    y = numbers(y, spec.sparse_y_true);
    if (spec.threshold)
      p = graph::convert(graph::compare(p, graph::scalar(p, *spec.threshold), "ge"), DType::i64);
    else
      p = numbers(p, spec.sparse_y_pred);
    if (y.shape().elements() != p.shape().elements())
      throw ShapeError(
          fmt::format("{}: there are target classes of shape {}, but predicted classes of shape {}; "
                      "sparse_y_true and sparse_y_pred say whether class numbers or scores are given",
                      Which::class_name, y.shape().to_string(), p.shape().to_string()));
    const graph::Type type = {DType::f64, y.shape()};
    weights = weights ? graph::convert(
                            internal::spread_weights(this->name(), weights, graph::convert(y, DType::f64)),
                            DType::f64)
                      : graph::full(y.graph(), type, 1);
    const Shape flat = {y.shape().elements()};
    y = graph::reshape(y, flat);
    p = graph::reshape(p, flat);
    Value counts = is_class(y);
    counts = graph::bit_and(counts, is_class(p));
    if (spec.ignore_class) {
      const Value ignored = graph::scalar(y, static_cast<double>(*spec.ignore_class));
      counts = graph::bit_and(counts, graph::compare(y, ignored, "ne"));
    }
    // What doesn't count has a place outside, where nothing is added.
    Value place = y * static_cast<double>(classes()) + p;
    place = graph::select(counts, place, graph::scalar(place, -1));
    return {graph::scatter_add(state[0], place, graph::reshape(weights, flat), 0)};
  }
  double result(std::span<const Tensor> state) const override {
    double sum = 0, present = 0;
    for (int id : this->args_.target_class_ids) {
      double either = 0;
      for (std::int64_t i = 0; i < classes(); i++)
        either += state[0](id * classes() + i) + state[0](i * classes() + id);
      const double both = state[0](id * classes() + id);
      either -= both;
      if (either <= 1e-9) continue;
      sum += both / (either + epsilon);
      present++;
    }
    return sum / (present + epsilon);
  }

 private:
  std::int64_t classes() const { return this->args_.num_classes; }
  Value numbers(Value x, bool sparse) const {
    if (!sparse) x = graph::argmax(x, normalize_axis(this->args_.axis, x.rank(), Which::class_name));
    return graph::convert(x, DType::i64);
  }
  Value is_class(Value x) const {
    const Value from_first = graph::compare(x, graph::scalar(x, 0), "ge");
    const Value last = graph::scalar(x, static_cast<double>(classes()));
    return graph::bit_and(from_first, graph::compare(x, last, "lt"));
  }
};

}  // namespace

Metric IoU(int num_classes, std::vector<int> target_class_ids, IoUArgs args) {
  return make_metric_of<IoUImpl<IoUKind>>({.name = std::move(args.name),
                                           .num_classes = num_classes,
                                           .target_class_ids = std::move(target_class_ids),
                                           .ignore_class = args.ignore_class,
                                           .sparse_y_true = args.sparse_y_true,
                                           .sparse_y_pred = args.sparse_y_pred,
                                           .axis = args.axis});
}
Metric MeanIoU(int num_classes, IoUArgs args) {
  IoUSpec spec{.name = std::move(args.name),
               .num_classes = num_classes,
               .ignore_class = args.ignore_class,
               .sparse_y_true = args.sparse_y_true,
               .sparse_y_pred = args.sparse_y_pred,
               .axis = args.axis};
  all_classes(spec);
  return make_metric_of<IoUImpl<MeanIoUKind>>(std::move(spec));
}
Metric BinaryIoU(BinaryIoUArgs args) {
  return make_metric_of<IoUImpl<BinaryIoUKind>>({.name = std::move(args.name),
                                                 .num_classes = 2,
                                                 .target_class_ids = std::move(args.target_class_ids),
                                                 .threshold = args.threshold});
}
Metric OneHotIoU(int num_classes, std::vector<int> target_class_ids, OneHotIoUArgs args) {
  return make_metric_of<IoUImpl<OneHotIoUKind>>({.name = std::move(args.name),
                                                 .num_classes = num_classes,
                                                 .target_class_ids = std::move(target_class_ids),
                                                 .ignore_class = args.ignore_class,
                                                 .sparse_y_true = false,
                                                 .sparse_y_pred = args.sparse_y_pred,
                                                 .axis = args.axis});
}
Metric OneHotMeanIoU(int num_classes, OneHotIoUArgs args) {
  IoUSpec spec{.name = std::move(args.name),
               .num_classes = num_classes,
               .ignore_class = args.ignore_class,
               .sparse_y_true = false,
               .sparse_y_pred = args.sparse_y_pred,
               .axis = args.axis};
  all_classes(spec);
  return make_metric_of<IoUImpl<OneHotMeanIoUKind>>(std::move(spec));
}

void add_iou_metrics(MetricRegistry& r) {
  r.add({"IoU", "io_u"}, from_fields<IoUImpl<IoUKind>>);
  r.add({"MeanIoU", "mean_io_u"}, from_fields<IoUImpl<MeanIoUKind>>);
  r.add({"BinaryIoU", "binary_io_u"}, from_fields<IoUImpl<BinaryIoUKind>>);
  r.add({"OneHotIoU", "one_hot_io_u"}, from_fields<IoUImpl<OneHotIoUKind>>);
  r.add({"OneHotMeanIoU", "one_hot_mean_io_u"}, from_fields<IoUImpl<OneHotMeanIoUKind>>);
}

}  // namespace kiln::metrics
