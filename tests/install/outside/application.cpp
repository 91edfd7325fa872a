// Trains and predicts with Kiln between, and inside, the application's own parallel loops.
#include <kiln/kiln.h>
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace kiln;
using namespace kiln::layers;

int main() {
  constexpr int rows = 512, features = 4;
  std::vector<float> x(rows * features), y(rows);
  int team = 0;
#pragma omp parallel for num_threads(2)
  for (int i = 0; i < rows; i++) {
    if (i == 0) team = omp_get_num_threads();
    y[i] = 0.5f;
    for (int j = 0; j < features; j++) {
      x[i * features + j] = std::sin(static_cast<float>(1 + i * (j + 1)));
      y[i] += static_cast<float>(j + 1) * x[i * features + j];
    }
  }
  if (team != 2) {
    std::printf("the application's own loop ran on %d threads instead of 2\n", team);
    return 1;
  }

  set_random_seed(1);
  Sequential model({Input({features}), Dense(1)});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = losses::MeanSquaredError()});
  Tensor inputs(x, {rows, features});
  model.fit(inputs, Tensor(y, {rows, 1}), {.batch_size = 32, .epochs = 20, .verbose = 0});
  const double loss = model.evaluate(inputs, Tensor(y, {rows, 1}), {.verbose = 0})["loss"];
  if (!(loss < 1e-6)) {
    std::printf("the regression ends with a loss of %g\n", loss);
    return 1;
  }

  // From inside a parallel region each call stays on its own thread and gives the same bits.
  const Tensor expected = model.predict(inputs, {.verbose = 0});
  int wrong = 0;
#pragma omp parallel for num_threads(4) reduction(+ : wrong)
  for (int i = 0; i < 16; i++) {
    const Tensor got = model.predict(inputs, {.verbose = 0});
    for (int r = 0; r < rows; r++) wrong += got.data<float>()[r] != expected.data<float>()[r];
  }
  if (wrong > 0) {
    std::printf("%d predictions made inside a parallel region differ\n", wrong);
    return 1;
  }
  return 0;
}
