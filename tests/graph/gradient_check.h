#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "kiln/graph/gradient.h"
#include "kiln/graph/graph.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "tests/support/random_tensor.h"

namespace kiln::graph {

/// A function to differentiate: emits ops on its inputs and gives any float value.
using GraphFunction = std::function<Value(std::span<const Value>)>;

struct GradientCheckOptions {
  double step = 1e-5;       ///< of the central difference, relative to max(1, |x|)
  double tolerance = 1e-6;  ///< of the difference, relative to max(1, |derivative|)
};

namespace gradient_check_detail {

inline std::vector<Value> make_inputs(Graph& g, const std::vector<Tensor>& values) {
  std::vector<Value> inputs;
  for (std::size_t i = 0; i < values.size(); i++)
    inputs.push_back(g.input(fmt::format("x{}", i), {values[i].dtype(), values[i].shape()}));
  return inputs;
}

// Any value becomes a number by a fixed random weight for each element, so that no two derivatives hide in a
// sum.
inline Value weighted_sum(Value y) {
  RandomNumbers random(12345);
  return reduce_sum(y * constant(y.graph(), random.tensor(y.shape(), 0.5, 2)));
}

inline std::vector<Value> differentiable(std::span<const Value> inputs) {
  std::vector<Value> floats;
  for (Value x : inputs)
    if (is_float(x.dtype())) floats.push_back(x);
  return floats;
}

}  // namespace gradient_check_detail

/// Compares the symbolic gradient of f at the inputs with central differences, for every element of every f64
/// input; inputs of integer types are passed on as they are.
inline void check_gradient(const std::vector<Tensor>& inputs, const GraphFunction& f,
                           GradientCheckOptions options = {}) {
  namespace detail = gradient_check_detail;
  Graph forward("forward");
  forward.output("y", detail::weighted_sum(f(detail::make_inputs(forward, inputs))));

  Graph backward("backward");
  const std::vector<Value> x = detail::make_inputs(backward, inputs);
  const std::vector<Value> wrt = detail::differentiable(x);
  for (Value dx : gradient(detail::weighted_sum(f(x)), wrt)) backward.output("dx", dx);
  verify(backward);
  const std::vector<Tensor> symbolic = interpret(backward, inputs, {}).outputs;

  std::size_t next = 0;
  for (std::size_t k = 0; k < inputs.size(); k++) {
    if (!is_float(inputs[k].dtype())) continue;
    ASSERT_EQ(inputs[k].dtype(), DType::f64) << "gradients are checked in f64";
    const Tensor& dx = symbolic[next++];
    std::vector<Tensor> moved = inputs;
    moved[k] = inputs[k].clone();
    double* p = moved[k].data<double>();
    for (std::int64_t i = 0; i < moved[k].size(); i++) {
      const double at = p[i], h = options.step * std::max(1.0, std::abs(at));
      p[i] = at + h;
      const double above = interpret(forward, moved, {}).outputs[0].item();
      p[i] = at - h;
      const double below = interpret(forward, moved, {}).outputs[0].item();
      p[i] = at;
      const double numeric = (above - below) / (2 * h), exact = dx.data<double>()[i];
      EXPECT_NEAR(exact, numeric, options.tolerance * std::max(1.0, std::abs(numeric)))
          << "input " << k << ", element " << i << " = " << at;
    }
  }
}

/// Compares the gradient of f's gradient (weighted and summed) with central differences: the second
/// derivatives, mixed ones included.
inline void check_second_derivatives(const std::vector<Tensor>& inputs, const GraphFunction& f,
                                     GradientCheckOptions options = {}) {
  namespace detail = gradient_check_detail;
  check_gradient(
      inputs,
      [&](std::span<const Value> x) {
        Value sum;
        for (Value dx : gradient(detail::weighted_sum(f(x)), detail::differentiable(x))) {
          const Value part = detail::weighted_sum(dx);
          sum = sum ? sum + part : part;
        }
        return sum;
      },
      options);
}

}  // namespace kiln::graph
