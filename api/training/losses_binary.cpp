#include "api/training/loss_functions.h"

namespace kiln::losses {

using graph::Value;
using internal::Fields;

namespace {

Value smooth(Value y, double smoothing) {
  return smoothing == 0 ? y : y * (1 - smoothing) + 0.5 * smoothing;
}

Value within_bounds(Value p) {
  return clip(p, epsilon, 1 - epsilon);
}
/// `p` and `rest`, 1 - p, are within bounds.
Value crossentropy(Value y, Value p, Value rest) {
  const Value of_ones = y * graph::log(p);
  const Value log_rest = graph::log(rest);
  return -(of_ones + (1.0 - y) * log_rest);
}

struct BinaryKind {
  using Args = BinaryCrossentropyArgs;
  static constexpr const char *class_name = "BinaryCrossentropy", *name = "binary_crossentropy";
  static void fields(Fields& f, Args& args) {
    f("from_logits", args.from_logits)("label_smoothing", args.label_smoothing)("axis", args.axis);
  }
  static void check(const Args& args) { check_share(class_name, "label_smoothing", args.label_smoothing); }
  static Value values(const Args& args, Value y, Value p) {
    y = smooth(y, args.label_smoothing);
    if (!args.from_logits) {
      p = within_bounds(p);
      return mean_over(class_name, crossentropy(y, p, 1.0 - p), args.axis);
    }
    // max(z, 0) - z y + log(1 + exp(-|z|)), with z factored out of the first two terms: of three parts of a
    // gradient, added in the wrong order, the smallest would be lost where the others are 1 and -1.
    const Value z = p, rises = graph::compare(z, graph::scalar(z, 0), "ge");
    const Value linear = z * (graph::convert(rises, z.dtype()) - y);
    const Value tail = graph::log1p(graph::exp(graph::select(rises, -z, z)));
    return mean_over(class_name, linear + tail, args.axis);
  }
};

struct BinaryFocalKind {
  using Args = BinaryFocalCrossentropyArgs;
  static constexpr const char *class_name = "BinaryFocalCrossentropy", *name = "binary_focal_crossentropy";
  static void fields(Fields& f, Args& args) {
    f("apply_class_balancing", args.apply_class_balancing)("alpha", args.alpha)("gamma", args.gamma);
    f("from_logits", args.from_logits)("label_smoothing", args.label_smoothing)("axis", args.axis);
  }
  static void check(const Args& args) {
    check_share(class_name, "alpha", args.alpha);
    check_not_negative(class_name, "gamma", args.gamma);
    check_share(class_name, "label_smoothing", args.label_smoothing);
  }
  static Value values(const Args& args, Value y, Value p) {
    y = smooth(y, args.label_smoothing);
    // Of a large logit, 1 - p has no digits left: it is the sigmoid of the negative one.
    const Value rest = args.from_logits ? graph::sigmoid(-p) : 1.0 - p;
    if (args.from_logits) p = graph::sigmoid(p);
    const Value wrong_ones = y * rest;
    const Value wrong = wrong_ones + (1.0 - y) * p;
    const Value factor = focal_factor(wrong, args.gamma);
    const Value bounded = within_bounds(p);
    const Value bounded_rest = args.from_logits ? within_bounds(rest) : 1.0 - bounded;
    Value focal = factor * crossentropy(y, bounded, bounded_rest);
    if (args.apply_class_balancing) focal = (y * (2 * args.alpha - 1) + (1 - args.alpha)) * focal;
    return mean_over(class_name, focal, args.axis);
  }
};

struct DivergenceKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "KLDivergence", *name = "kl_divergence";
  static Value values(const Args&, Value y, Value p) {
    y = clip(y, epsilon, 1);
    const Value each = y * graph::log(y / clip(p, epsilon, 1));
    return each.rank() < 2 ? each : graph::reduce_sum(each, {each.rank() - 1});
  }
};

struct PoissonKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "Poisson", *name = "poisson";
  static Value values(const Args&, Value y, Value p) { return mean_last(p - y * graph::log(p + epsilon)); }
};

}  // namespace

// The slope of x^gamma, gamma below 1, is infinite at 0: there the base is kept from it.
Value focal_factor(Value wrong, double gamma) {
  if (gamma == 0) return graph::ones_like(wrong);
  if (gamma == 1) return wrong;
  if (gamma == 2) return wrong * wrong;
  if (gamma < 1) wrong = graph::maximum(wrong, graph::scalar(wrong, epsilon));
  return graph::pow(wrong, graph::scalar(wrong, gamma));
}

Loss BinaryCrossentropy(BinaryCrossentropyArgs args) {
  return loss_of<BinaryKind>(std::move(args));
}
Loss BinaryFocalCrossentropy(BinaryFocalCrossentropyArgs args) {
  return loss_of<BinaryFocalKind>(std::move(args));
}
Loss KLDivergence(LossArgs args) {
  return loss_of<DivergenceKind>(std::move(args));
}
Loss Poisson(LossArgs args) {
  return loss_of<PoissonKind>(std::move(args));
}

void add_binary_losses(LossRegistry& r) {
  r.add({"BinaryCrossentropy", "binary_crossentropy", "bce", "BCE"}, from_fields<LossOf<BinaryKind>>);
  r.add({"BinaryFocalCrossentropy", "binary_focal_crossentropy"}, from_fields<LossOf<BinaryFocalKind>>);
  r.add({"KLDivergence", "kl_divergence", "kld", "KLD"}, from_fields<LossOf<DivergenceKind>>);
  r.add({"Poisson", "poisson"}, from_fields<LossOf<PoissonKind>>);
}

}  // namespace kiln::losses
