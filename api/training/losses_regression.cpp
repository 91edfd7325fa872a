#include <limits>

#include "api/support/unit_vectors.h"
#include "api/training/loss_functions.h"

namespace kiln::losses {

using graph::Value;
using internal::Fields;

namespace {

struct SquaredErrorKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "MeanSquaredError", *name = "mean_squared_error";
  static Value values(const Args&, Value y, Value p) {
    const Value difference = y - p;
    return mean_last(difference * difference);
  }
};
struct AbsoluteErrorKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "MeanAbsoluteError", *name = "mean_absolute_error";
  static Value values(const Args&, Value y, Value p) { return mean_last(graph::abs(y - p)); }
};

struct PercentageErrorKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "MeanAbsolutePercentageError",
                              *name = "mean_absolute_percentage_error";
  static Value values(const Args&, Value y, Value p) {
    const Value size = graph::abs(y);
    const Value least = graph::maximum(size, graph::scalar(size, epsilon));
    return mean_last(graph::abs((y - p) / least)) * 100.0;
  }
};

struct LogarithmicErrorKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "MeanSquaredLogarithmicError",
                              *name = "mean_squared_logarithmic_error";
  static Value logarithm(Value x) { return graph::log1p(graph::maximum(x, graph::scalar(x, epsilon))); }
  static Value values(const Args&, Value y, Value p) {
    const Value of_p = logarithm(p);
    const Value difference = of_p - logarithm(y);
    return mean_last(difference * difference);
  }
};

struct LogCoshKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "LogCosh", *name = "log_cosh";
  // Far from 0 it is a + log(1 + exp(-2 a)) - log(2), a being |x|. Near 0, where that is the small difference
  // of numbers near 1, cosh(x) - 1 = expm1(-a)^2 exp(a) / 2 has all its digits.
  static Value values(const Args&, Value y, Value p) {
    const Value a = graph::abs(p - y), one = graph::scalar(a, 1);
    const Value is_near = graph::compare(a, one, "lt");
    const Value near_a = graph::select(is_near, a, one);
    const Value root = graph::expm1(-near_a);
    const Value square = root * root;
    const Value near = graph::log1p(square * graph::exp(near_a) * 0.5);
    const Value far = a + graph::log1p(graph::exp(a * -2.0)) - std::log(2.0);
    return mean_last(graph::select(is_near, near, far));
  }
};

struct HuberKind {
  using Args = HuberArgs;
  static constexpr const char *class_name = "Huber", *name = "huber_loss";
  static void fields(Fields& f, Args& args) { forgotten_by_keras(f, "delta", args.delta, 1.0); }
  static void check(const Args& args) {
    if (!(args.delta > 0) || !std::isfinite(args.delta))
      throw ValueError(fmt::format("Huber: delta must be a positive number, but it is {}", args.delta));
  }
  // With c = min(d, delta), c (d - c / 2) is both of its parts.
  static Value values(const Args& args, Value y, Value p) {
    const Value distance = graph::abs(p - y);
    const Value near = graph::minimum(distance, graph::scalar(distance, args.delta));
    return mean_last(near * (distance - near * 0.5));
  }
};

struct CosineKind {
  using Args = CosineSimilarityArgs;
  static constexpr const char *class_name = "CosineSimilarity", *name = "cosine_similarity";
  static void fields(Fields& f, Args& args) { forgotten_by_keras(f, "axis", args.axis, -1); }
  static Value values(const Args& args, Value y, Value p) {
    const int axis = normalize_axis(args.axis, p.rank(), class_name);
    const Value unit_y = internal::unit_vectors(y, {axis}, epsilon);
    const Value unit_p = internal::unit_vectors(p, {axis}, epsilon);
    return -graph::reduce_sum(unit_y * unit_p, {axis});
  }
};

// ---- norms ------------------------------------------------------------------------------------------------

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
  const Value norm = root * scale;
  return graph::squeeze(graph::select(is_zero, graph::scalar(norm, 0), norm), axes);
}

struct PNormArgs : LossArgs {
  double p = 2;
};
struct PNormKind {
  using Args = PNormArgs;
  static constexpr const char *class_name = "PNorm", *name = "p_norm";
  // JSON has no infinity.
  static void fields(Fields& f, Args& args) {
    Config p = std::isinf(args.p) ? Config("infinity") : Config(args.p);
    f("p", p);
    args.p = p == Config("infinity") ? infinity : p.as_number();
  }
  static void check(const Args& args) {
    if (args.p != 1 && args.p != 2 && args.p != infinity)
      throw ValueError(fmt::format("PNorm: p must be 1, 2 or losses::infinity, but it is {}", args.p));
  }
  static Value values(const Args& args, Value y, Value p) {
    const Value e = p - y;
    graph::Ints axes;
    for (int axis = 1; axis < e.rank(); axis++) axes.push_back(axis);
    if (axes.empty()) return graph::abs(e);
    return args.p == 1 ? absolute_norm(e, axes) : args.p == 2 ? euclidean_norm(e, axes) : largest(e, axes);
  }
};

}  // namespace

Loss MeanSquaredError(LossArgs args) {
  return loss_of<SquaredErrorKind>(std::move(args));
}
Loss MeanAbsoluteError(LossArgs args) {
  return loss_of<AbsoluteErrorKind>(std::move(args));
}
Loss MeanAbsolutePercentageError(LossArgs args) {
  return loss_of<PercentageErrorKind>(std::move(args));
}
Loss MeanSquaredLogarithmicError(LossArgs args) {
  return loss_of<LogarithmicErrorKind>(std::move(args));
}
Loss LogCosh(LossArgs args) {
  return loss_of<LogCoshKind>(std::move(args));
}
Loss Huber(HuberArgs args) {
  return loss_of<HuberKind>(std::move(args));
}
Loss CosineSimilarity(CosineSimilarityArgs args) {
  return loss_of<CosineKind>(std::move(args));
}
Loss PNorm(double p, LossArgs args) {
  return loss_of<PNormKind>({std::move(args), p});
}

void add_regression_losses(LossRegistry& r) {
  r.add({"MeanSquaredError", "mean_squared_error", "mse", "MSE"}, from_fields<LossOf<SquaredErrorKind>>);
  r.add({"MeanAbsoluteError", "mean_absolute_error", "mae", "MAE"}, from_fields<LossOf<AbsoluteErrorKind>>);
  r.add({"MeanAbsolutePercentageError", "mean_absolute_percentage_error", "mape", "MAPE"},
        from_fields<LossOf<PercentageErrorKind>>);
  r.add({"MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "msle", "MSLE"},
        from_fields<LossOf<LogarithmicErrorKind>>);
  r.add({"LogCosh", "log_cosh"}, from_fields<LossOf<LogCoshKind>>);
  r.add({"Huber", "huber"}, from_fields<LossOf<HuberKind>>);
  r.add({"CosineSimilarity", "cosine_similarity"}, from_fields<LossOf<CosineKind>>);
  r.add({"PNorm", "p_norm"}, from_fields<LossOf<PNormKind>>);
}

}  // namespace kiln::losses
