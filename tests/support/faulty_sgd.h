#pragma once
#include <vector>

#include "kiln/optimizer.h"

namespace kiln::testing {

/// SGD that scales the gradient of one weight: a fault in one layer's backward pass.
/// SGD that scales the gradient of one weight: a fault in one layer's backward pass.
struct FaultySGD : OptimizerImpl {
  FaultySGD(double learning_rate, std::size_t weight, double factor)
      : OptimizerImpl("faulty_sgd", learning_rate, {}), weight_(weight), factor_(factor) {}
  std::vector<Slot> slots(const Weight&) const override { return {}; }
  Updated update(const Step& step, graph::Value weight, graph::Value gradient,
                 std::span<const graph::Value>) const override {
    const double factor = next_++ == weight_ ? factor_ : 1;
    return {weight - step.learning_rate * gradient * factor, {}};
  }

 private:
  std::size_t weight_;
  double factor_;
  mutable std::size_t next_ = 0;  // weights come in the model's order
};

}  // namespace kiln::testing
