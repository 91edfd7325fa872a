// ./dev bench step: LeNet's training step in figures. Needs no data set.
#include <fmt/format.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "tests/support/hash_data.h"

namespace {

using namespace kiln;
using namespace kiln::layers;

double seconds_of(const auto& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The median of the times of `f`, which runs for at least two seconds and thirty times.
double median_seconds(const auto& f) {
  std::vector<double> times;
  for (double total = 0; total < 2 || times.size() < 30;) {
    times.push_back(seconds_of(f));
    total += times.back();
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

Sequential lenet() {
  return Sequential({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Conv2D(6, 5, {.padding = "same", .activation = "sigmoid"}),
      MaxPooling2D(2),
      Conv2D(16, 5, {.activation = "sigmoid"}),
      MaxPooling2D(2),
      Flatten(),
      Dense(120, {.activation = "sigmoid"}),
      Dense(84, {.activation = "sigmoid"}),
      Dense(10),
  });
}

/// LeNet's training step: Adam, batch 128, accuracy.
void bench_step() {
  constexpr int batch = 128;
  const Tensor images =
      testing::hash_tensor("images", {batch, 28, 28, 1}, DType::u8, [](double u) { return 256 * u; });
  const Tensor labels = testing::hash_labels("labels", {batch}, 10);

  Sequential model = lenet();
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 5e-3}),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  const double first = seconds_of([&] { model.train_on_batch(images, labels); });
  const runtime::Program& program = *model.programs().at(0);

  fmt::print("LeNet, training step, batch {}\n", batch);
  fmt::print("  first step             {:8.2f} s  (compiling takes {:.2f} s)\n", first,
             program.compile_seconds);
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    const double step = median_seconds([&] { model.train_on_batch(images, labels); });
    fmt::print("  step, {} thread{}         {:8.3f} ms ({:.0f} images/s)\n", threads,
               threads == 1 ? " " : "s", 1e3 * step, batch / step);
  }
  int barriers = 0;
  for (const runtime::Step& s : program.steps) barriers += s.barrier_before;
  fmt::print("  ops before fusion      {:8}\n", program.graph_nodes);
  fmt::print("  kernels                {:8}  ({} different ones, {} barriers)\n", program.steps.size(),
             program.distinct_kernels, barriers);
  fmt::print("  arena                  {:8.1f} KiB\n", static_cast<double>(program.arena_bytes) / 1024);
  fmt::print("  all intermediates      {:8.1f} KiB\n",
             static_cast<double>(program.intermediate_bytes) / 1024);
}

}  // namespace

int main() {
  bench_step();
}
