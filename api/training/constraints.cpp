#include "kiln/constraints.h"

#include <fmt/format.h>

#include <cmath>

#include "api/support/handles.h"
#include "api/support/registry.h"
#include "kiln/graph/ops.h"

namespace kiln {

using graph::Value;

ConstraintImpl::~ConstraintImpl() = default;
std::string ConstraintImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config ConstraintImpl::get_config() const {
  internal::not_serializable("constraint", class_name());
}

namespace constraints {
namespace {

using internal::Fields;

/// As Keras: the norm isn't quite 0 where a weight is divided by it.
constexpr double epsilon = 1e-7;

Value norms(Value w, const Axes& axes) {
  return graph::sqrt(graph::reduce_sum(w * w, axes.of_rank("a constraint", w.rank()), /*keepdims=*/true));
}

class MaxNormImpl final : public ConstraintImpl {
 public:
  MaxNormImpl(double max_value, MaxNormArgs args) : max_value_(max_value), args_(std::move(args)) {
    if (!(max_value >= 0))
      throw ValueError(fmt::format("MaxNorm: max_value must not be negative, but it is {}", max_value));
  }
  Value operator()(Value w) const override {
    const Value norm = norms(w, args_.axis);
    return w * (graph::minimum(norm, graph::scalar(norm, max_value_)) / (norm + epsilon));
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { f("max_value", max_value_)("axis", args_.axis); }

 private:
  double max_value_;
  MaxNormArgs args_;
};

class MinMaxNormImpl final : public ConstraintImpl {
 public:
  explicit MinMaxNormImpl(MinMaxNormArgs args) : args_(std::move(args)) {
    if (!(args_.min_value >= 0 && args_.max_value >= args_.min_value && std::isfinite(args_.rate)))
      throw ValueError(fmt::format(
          "MinMaxNorm: 0 <= min_value <= max_value must hold, and rate must be finite, but min_value = "
          "{}, max_value = {}, rate = {}",
          args_.min_value, args_.max_value, args_.rate));
  }
  Value operator()(Value w) const override {
    const Value norm = norms(w, args_.axis);
    const Value clipped = graph::minimum(graph::maximum(norm, graph::scalar(norm, args_.min_value)),
                                         graph::scalar(norm, args_.max_value));
    return w * ((clipped * args_.rate + norm * (1 - args_.rate)) / (norm + epsilon));
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { arguments(f, args_); }
  static void arguments(Fields& f, MinMaxNormArgs& a) {
    f("min_value", a.min_value)("max_value", a.max_value)("rate", a.rate)("axis", a.axis);
  }

 private:
  MinMaxNormArgs args_;
};

class NonNegImpl final : public ConstraintImpl {
 public:
  Value operator()(Value w) const override { return graph::maximum(w, graph::scalar(w, 0)); }
  Config get_config() const override { return Config::Dict(); }
};

class UnitNormImpl final : public ConstraintImpl {
 public:
  explicit UnitNormImpl(UnitNormArgs args) : args_(std::move(args)) {}
  Value operator()(Value w) const override { return w / (norms(w, args_.axis) + epsilon); }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { f("axis", args_.axis); }

 private:
  UnitNormArgs args_;
};

const internal::Registry<Constraint>& registry() {
  static const auto registry = [] {
    internal::Registry<Constraint> r("constraint");
    r.add({"MaxNorm", "max_norm"}, [](Fields& f) {
      double max_value = 2;
      MaxNormArgs args;
      f("max_value", max_value)("axis", args.axis);
      return MaxNorm(max_value, args);
    });
    r.add({"MinMaxNorm", "min_max_norm"}, [](Fields& f) {
      MinMaxNormArgs args;
      MinMaxNormImpl::arguments(f, args);
      return MinMaxNorm(args);
    });
    r.add({"NonNeg", "non_neg"}, [](Fields&) { return NonNeg(); });
    r.add({"UnitNorm", "unit_norm"}, [](Fields& f) {
      UnitNormArgs args;
      f("axis", args.axis);
      return UnitNorm(args);
    });
    return r;
  }();
  return registry;
}

}  // namespace

Constraint MaxNorm(double max_value, MaxNormArgs args) {
  return Constraint(std::make_shared<MaxNormImpl>(max_value, std::move(args)));
}
Constraint MinMaxNorm(MinMaxNormArgs args) {
  return Constraint(std::make_shared<MinMaxNormImpl>(std::move(args)));
}
Constraint NonNeg() {
  return Constraint(std::make_shared<NonNegImpl>());
}
Constraint UnitNorm(UnitNormArgs args) {
  return Constraint(std::make_shared<UnitNormImpl>(std::move(args)));
}

Config serialize(const Constraint& constraint) {
  if (!constraint) return nullptr;
  return internal::object_config("keras.constraints", constraint.class_name(), constraint.get_config());
}
Constraint deserialize(const Config& config) {
  return config.is_null() ? Constraint() : registry().from_config(config);
}

}  // namespace constraints

Constraint::Constraint(const std::string& name) : Constraint(constraints::registry().from_name(name)) {}
Constraint::Constraint(const char* name) : Constraint(internal::given_name("constraint", name)) {}
Constraint::Constraint(std::shared_ptr<const ConstraintImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a Constraint")) {}

Value Constraint::operator()(Value weight) const {
  return internal::used(impl_, "Constraint")(weight);
}
std::string Constraint::class_name() const {
  return internal::used(impl_, "Constraint").class_name();
}
Config Constraint::get_config() const {
  return internal::used(impl_, "Constraint").get_config();
}

}  // namespace kiln
