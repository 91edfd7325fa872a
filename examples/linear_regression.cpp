// Linear regression y = x W + b with the p-norms as losses: p = 1 (robust to outliers), p = 2, and the
// largest error (p = infinity). Data made from known weights; each norm finds them again.
#include <kiln/kiln.h>

#include <cmath>
#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::int64_t epochs = options.number("epochs", 60);
  set_random_seed(1);

  // Three features, two targets.
  const Tensor true_kernel({{2.f, -1.f}, {-3.f, 0.5f}, {1.f, 4.f}});
  const Tensor true_bias({0.5f, -2.f});
  const std::int64_t samples = 1000;
  const Tensor x = initializers::RandomNormal({.stddev = 1})({samples, 3});
  Tensor y = Tensor::zeros({samples, 2});
  for (std::int64_t i = 0; i < samples; i++)
    for (std::int64_t j = 0; j < 2; j++) {
      double sum = true_bias(j);
      for (std::int64_t k = 0; k < 3; k++) sum += x(i, k) * true_kernel(k, j);
      y(i, j) = sum;
    }

  bool found = true;
  for (double p : {1.0, 2.0, losses::infinity}) {
    Sequential model({Input({3}), Dense(2)});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = losses::PNorm(p)});
    // These losses have a kink at the solution: smaller and smaller steps get into it.
    callbacks::LambdaCallback smaller_steps({.on_epoch_end = [&](std::int64_t, const Logs&) {
      model.optimizer().set_learning_rate(0.85 * model.optimizer().learning_rate());
    }});
    const History history =
        model.fit(x, y, {.batch_size = 20, .epochs = epochs, .verbose = 0, .callbacks = {smaller_steps}});

    const std::vector<Tensor> weights = model.get_weights();
    double error = 0;
    for (std::int64_t j = 0; j < 2; j++) {
      error = std::max(error, std::abs(weights[1](j) - true_bias(j)));
      for (std::int64_t k = 0; k < 3; k++)
        error = std::max(error, std::abs(weights[0](k, j) - true_kernel(k, j)));
    }
    std::printf("p = %-3g  loss %.2e  largest error of a weight %.2e\n", p, history["loss"].back(), error);
    found = found && error < 0.01;
  }
  return found ? 0 : 1;
}
