#include <algorithm>

#include "api/training/loss_functions.h"

namespace kiln::losses {

using graph::Value;
using internal::Fields;

namespace {

Value positive_part(Value x) {
  return graph::maximum(x, graph::scalar(x, 0));
}

// ---- margins ----------------------------------------------------------------------------------------------

/// Whether targets are 0 and 1 or -1 and 1 is known from all of a batch only.
Value signs(Value y) {
  const Value one = graph::scalar(y, 1), zero = graph::scalar(y, 0);
  const Value is_zero = graph::compare(y, zero, "eq");
  const Value is_bit = graph::bit_or(is_zero, graph::compare(y, one, "eq"));
  const Value all_bits = graph::reduce_min(graph::convert(is_bit, y.dtype()));
  const Value are_bits = graph::compare(all_bits, graph::scalar(all_bits, 1), "eq");
  return graph::select(are_bits, y * 2.0 - 1.0, y);
}

struct HingeKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "Hinge", *name = "hinge";
  static Value values(const Args&, Value y, Value p) { return mean_last(positive_part(1.0 - signs(y) * p)); }
};
struct SquaredHingeKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "SquaredHinge", *name = "squared_hinge";
  static Value values(const Args&, Value y, Value p) {
    const Value missing = positive_part(1.0 - signs(y) * p);
    return mean_last(missing * missing);
  }
};
struct CategoricalHingeKind {
  using Args = LossArgs;
  static constexpr const char *class_name = "CategoricalHinge", *name = "categorical_hinge";
  static Value values(const Args&, Value y, Value p) {
    const graph::Ints last = {p.rank() - 1};
    const Value wanted = graph::reduce_sum(y * p, last);
    const Value others = graph::reduce_max((1.0 - y) * p, last);
    return positive_part(others - wanted + 1.0);
  }
};

// ---- overlaps ---------------------------------------------------------------------------------------------

Value sum_over(const char* loss, Value x, const std::optional<Axes>& axis) {
  return axis ? graph::reduce_sum(x, axis->of_rank(loss, x.rank())) : graph::reduce_sum(x);
}

struct DiceKind {
  using Args = DiceArgs;
  static constexpr const char *class_name = "Dice", *name = "dice";
  static void fields(Fields& f, Args& args) { f("axis", args.axis); }
  static Value values(const Args& args, Value y, Value p) {
    const Value both = sum_over(class_name, y * p, args.axis);
    const Value targets = sum_over(class_name, y, args.axis);
    const Value all = targets + sum_over(class_name, p, args.axis) + epsilon;
    return 1.0 - both * 2.0 / all;
  }
};

struct TverskyKind {
  using Args = TverskyArgs;
  static constexpr const char *class_name = "Tversky", *name = "tversky";
  static void fields(Fields& f, Args& args) { f("alpha", args.alpha)("beta", args.beta)("axis", args.axis); }
  static void check(const Args& args) {
    check_not_negative(class_name, "alpha", args.alpha);
    check_not_negative(class_name, "beta", args.beta);
  }
  static Value values(const Args& args, Value y, Value p) {
    const Value both = sum_over(class_name, y * p, args.axis);
    const Value missed = sum_over(class_name, y * (1.0 - p), args.axis);
    const Value added = sum_over(class_name, (1.0 - y) * p, args.axis);
    const Value wrong = missed * args.alpha;
    const Value all = both + wrong;
    return 1.0 - both / (added * args.beta + all + epsilon);
  }
};

/// Without axes they are one number for the whole batch.
template <class Kind>
class OverlapLoss final : public LossOf<Kind> {
 public:
  using LossOf<Kind>::LossOf;
  bool of_whole_batch() const override { return !this->args_.axis; }
};

}  // namespace

Loss Hinge(LossArgs args) {
  return loss_of<HingeKind>(std::move(args));
}
Loss SquaredHinge(LossArgs args) {
  return loss_of<SquaredHingeKind>(std::move(args));
}
Loss CategoricalHinge(LossArgs args) {
  return loss_of<CategoricalHingeKind>(std::move(args));
}
Loss Dice(DiceArgs args) {
  return Loss(std::make_shared<OverlapLoss<DiceKind>>(std::move(args)));
}
Loss Tversky(TverskyArgs args) {
  return Loss(std::make_shared<OverlapLoss<TverskyKind>>(std::move(args)));
}

void add_margin_losses(LossRegistry& r) {
  r.add({"Hinge", "hinge"}, from_fields<LossOf<HingeKind>>);
  r.add({"SquaredHinge", "squared_hinge"}, from_fields<LossOf<SquaredHingeKind>>);
  r.add({"CategoricalHinge", "categorical_hinge"}, from_fields<LossOf<CategoricalHingeKind>>);
  r.add({"Dice", "dice"}, from_fields<OverlapLoss<DiceKind>>);
  r.add({"Tversky", "tversky"}, from_fields<OverlapLoss<TverskyKind>>);
}

}  // namespace kiln::losses
