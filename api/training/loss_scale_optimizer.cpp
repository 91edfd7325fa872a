#include <fmt/format.h>

#include <cmath>

#include "api/training/optimizers.h"

namespace kiln {

using graph::Value;
using internal::Fields;

namespace optimizers {
namespace {

Value in_type(Value x, DType dtype) {
  return x.dtype() == dtype ? x : graph::convert(x, dtype);
}

class LossScaleOptimizerImpl final : public OptimizerImpl {
 public:
  LossScaleOptimizerImpl(Optimizer inner, const LossScaleOptimizerArgs& args)
      : OptimizerImpl("LossScaleOptimizer", 0.0, {.name = args.name}),
        inner_(std::move(inner)),
        args_(args),
        scale_(Tensor::scalar(args.initial_scale, DType::f32)),
        finite_steps_(Tensor::scalar(0, DType::i64)) {
    if (&inner_.impl().inner() != &inner_.impl())
      throw ValueError(
          "LossScaleOptimizer: inner_optimizer is itself a LossScaleOptimizer; give the optimizer inside it");
    if (!(args.initial_scale > 0 && std::isfinite(scale_.item())))
      throw ValueError(
          fmt::format("LossScaleOptimizer: initial_scale must be positive and finite in float32, but it is "
                      "{}; 32768 is usual",
                      args.initial_scale));
    if (args.dynamic_growth_steps < 1)
      throw ValueError(
          fmt::format("LossScaleOptimizer: dynamic_growth_steps must be at least 1, but it is {}; 2000 is "
                      "usual",
                      args.dynamic_growth_steps));
    inner_.impl().disable_loss_scale();
  }

  Config get_config() const override {
    return Config::Dict{{"name", name()},
                        {"inner_optimizer", serialize(inner_)},
                        {"initial_scale", args_.initial_scale},
                        {"dynamic_growth_steps", args_.dynamic_growth_steps}};
  }
  OptimizerImpl& inner() override { return inner_.impl(); }
  void claim(const std::shared_ptr<const void>& model) override {
    inner_.impl().claim(model);
    OptimizerImpl::claim(model);
  }
  bool built_for(std::span<const Variable> weights) const override {
    return inner_.impl().built_for(weights);
  }
  void build(std::span<const Weight> weights) override {
    inner_.impl().build(weights);
    OptimizerImpl::build({});
  }
  std::vector<Tensor> variables() const override {
    std::vector<Tensor> all = {finite_steps_, scale_};
    const std::vector<Tensor> inner = inner_.impl().variables();
    all.insert(all.end(), inner.begin(), inner.end());
    return all;
  }

  Value scale_loss(Call& call, Value loss) const override {
    return loss * in_type(call.state(name() + "/dynamic_scale", scale_), loss.dtype());
  }
  void apply(Call& call, std::span<const Variable> weights, std::span<const Value> gradients,
             Value proceed) override {
    graph::Graph& graph = call.graph();
    const graph::LabelScope label(graph, name());
    const Value scale = call.state(name() + "/dynamic_scale", scale_);
    const Value steps = call.state(name() + "/step_counter", finite_steps_);
    Value finite = proceed;
    std::vector<Value> unscaled;
    for (Value g : gradients) {
      const Value flags = graph::convert(graph::is_finite(g), DType::i32);
      const Value least = graph::reduce_min(flags);
      const Value all = graph::compare(least, graph::scalar(least, 1), "eq");
      finite = finite ? graph::bit_and(finite, all) : all;
      unscaled.push_back(g / in_type(scale, g.dtype()));
    }
    if (!finite) return;  // no weights
    inner_.impl().apply(call, weights, unscaled, finite);

    const Value growth = graph::scalar(steps, static_cast<double>(args_.dynamic_growth_steps - 1));
    const Value zero = graph::scalar(steps, 0);
    const Value grows = graph::compare(steps, growth, "eq");
    const Value counted = graph::select(grows, zero, steps + graph::scalar(steps, 1));
    const Value doubled = graph::select(grows, scale * 2.0, scale);
    call.update(steps, graph::select(finite, counted, zero));
    call.update(scale, graph::select(finite, doubled, scale * 0.5));
  }

  // The rule is the inner optimizer's.
  std::vector<Slot> slots(const Weight&) const override { return {}; }
  Updated update(const Step&, Value, Value, std::span<const Value>) const override {
    throw InternalError("LossScaleOptimizer has no rule of its own");
  }

 private:
  Optimizer inner_;
  LossScaleOptimizerArgs args_;
  Tensor scale_, finite_steps_;
};

}  // namespace

Optimizer LossScaleOptimizer(Optimizer inner_optimizer, LossScaleOptimizerArgs args) {
  return Optimizer(std::make_shared<LossScaleOptimizerImpl>(std::move(inner_optimizer), args));
}

}  // namespace optimizers

void internal::add_loss_scale(Registry<Optimizer>& registry) {
  registry.add({"LossScaleOptimizer", "lossscaleoptimizer"}, [](Fields& f) {
    Config inner;
    optimizers::LossScaleOptimizerArgs args;
    f.required("inner_optimizer", inner)("initial_scale", args.initial_scale);
    f("dynamic_growth_steps", args.dynamic_growth_steps)("name", args.name);
    return optimizers::LossScaleOptimizer(optimizers::deserialize(inner), args);
  });
}

}  // namespace kiln
