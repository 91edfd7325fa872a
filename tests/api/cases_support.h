#pragma once
#include <functional>
#include <vector>

#include "tests/api/support.h"

/// What the tests of known faults (cases_*_test.cpp) share.
namespace kiln::testing {

/// first, first + step, ...
inline std::vector<float> ramp(std::int64_t n, float first = 0, float step = 1) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < n; i++) v.push_back(first + step * static_cast<float>(i));
  return v;
}

/// A layer of graph ops, to test what fusion and placement make of them inside a model.
struct Emitted final : LayerImpl {
  explicit Emitted(std::function<graph::Value(graph::Value)> f) : emit_ops(std::move(f)) {}
  graph::Value call(Call&, graph::Value x) override { return emit_ops(x); }
  std::function<graph::Value(graph::Value)> emit_ops;
};
inline Tensor emitted(std::function<graph::Value(graph::Value)> f, const Tensor& x) {
  return run(make_layer<Emitted>(std::move(f)), x);
}

/// x * w with one weight, at first 1, for each element of a sample.
struct Elementwise final : LayerImpl {
  Variable w;
  void build(const Shape& input) override {
    w = add_weight({.name = "w", .shape = input.tail(), .initializer = "ones"});
  }
  graph::Value call(Call& call, graph::Value x) override { return x * call(w); }
};

/// x + b with one weight, at first 0, for each element of a sample: its step shows the gradient of the input.
struct Shift final : LayerImpl {
  Variable b;
  void build(const Shape& input) override {
    b = add_weight({.name = "b", .shape = input.tail(), .initializer = "zeros"});
  }
  graph::Value call(Call& call, graph::Value x) override { return x + call(b); }
};

/// A loss that is the sum of a sample's outputs, so that its gradient shows what is behind them.
inline Loss sum_of_outputs() {
  return losses::make_loss("total", [](graph::Value, graph::Value p) { return graph::reduce_sum(p, {1}); });
}

}  // namespace kiln::testing
