// The same training by machine code and by the interpreter: whatever model, optimizer and loss, the weights
// agree.
#include <cmath>

#include "api/model/backend.h"
#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;

struct Task {
  const char* name;
  std::function<Model()> model;
  Losses loss;
  Optimizer (*optimizer)();
  Tensor x, y;
};

Tensor values(const Shape& shape, double scale) {
  return initializers::RandomUniform({.minval = -scale, .maxval = scale, .seed = 3})(shape);
}
Tensor labels(std::int64_t n, std::int32_t classes) {
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < n; i++) v.push_back(static_cast<std::int32_t>((i * 7) % classes));
  return v;
}

Model conv_net() {
  return Sequential({Input({10, 10, 2}),
                     Conv2D(4, 3, {.padding = "same", .activation = "relu", .kernel_regularizer = "l2"}),
                     MaxPooling2D(2), Conv2D(6, {2, 3}, {.strides = {1, 2}, .activation = "sigmoid"}),
                     AveragePooling2D(2, {.strides = 1, .padding = "same"}), Flatten(), Dropout(0.25),
                     Dense(5)});
}
Model branches() {
  const auto x = Input({10, 10, 2});
  const auto a = Conv2D(3, 3, {.activation = "elu"})(x);
  const auto b = Conv2D(3, 3, {.groups = 1, .activation = "gelu"})(x);
  const auto joined = Concatenate()({a, Add()({a, b})});
  return Model(
      {.inputs = {x}, .outputs = {Dense(5, {.activation = "softmax"})(GlobalAveragePooling2D()(joined))}});
}
Model regression() {
  return Sequential({Input({10, 10, 2}), Reshape({20, 10}), Flatten(), Rescaling(0.5, {.offset = 0.1}),
                     Dense(9, {.activation = "tanh", .bias_regularizer = "l1"}), Dense(3)});
}

std::vector<Tensor> trained(const Task& task, internal::Backend backend, Logs& logs) {
  internal::set_backend(backend);
  set_random_seed(21);
  Model model = task.model();
  model.compile({.optimizer = task.optimizer(), .loss = task.loss, .metrics = {"accuracy"}});
  model.fit(task.x, task.y, {.batch_size = 8, .epochs = 2, .verbose = 0});
  logs = model.evaluate(task.x, task.y, {.batch_size = 8, .verbose = 0});
  std::vector<Tensor> out = model.get_weights();
  out.push_back(model.predict(task.x, {.batch_size = 16, .verbose = 0}));
  internal::set_backend(internal::Backend::compiled);
  return out;
}

TEST(Oracle, CompiledTrainingIsTheInterpreters) {
  const Tensor x = values({21, 10, 10, 2}, 1);
  const Task tasks[] = {
      {"conv net", conv_net, losses::SparseCategoricalCrossentropy({.from_logits = true}),
       [] { return optimizers::Adam({.clipnorm = 1}); }, x, labels(21, 5)},
      {"branches", branches, "sparse_categorical_crossentropy",
       [] { return optimizers::RMSprop({.momentum = 0.5}); }, x, labels(21, 5)},
      {"regression", regression, losses::PNorm(2),
       [] {
         return optimizers::SGD(
             {.momentum = 0.9, .nesterov = true, .weight_decay = 0.01, .global_clipnorm = 2});
       },
       x, values({21, 3}, 2)},
      {"largest error", regression, losses::PNorm(losses::infinity), [] { return optimizers::Adagrad(); }, x,
       values({21, 3}, 2)},
  };
  for (const Task& task : tasks) {
    SCOPED_TRACE(task.name);
    Logs compiled_logs, right_logs;
    const auto compiled = trained(task, internal::Backend::compiled, compiled_logs);
    const auto right = trained(task, internal::Backend::interpreter, right_logs);
    for (const auto& [name, value] : right_logs)
      EXPECT_NEAR(compiled_logs[name], value, 1e-4 * (1 + std::abs(value))) << name;
    ASSERT_EQ(compiled.size(), right.size());
    for (std::size_t i = 0; i < right.size(); i++) {
      const auto a = testing::floats(compiled[i]), b = testing::floats(right[i]);
      double difference = 0, norm = 0;
      for (std::size_t k = 0; k < a.size(); k++) {
        difference += (a[k] - b[k]) * (a[k] - b[k]);
        norm += b[k] * b[k];
      }
      EXPECT_LE(std::sqrt(difference), 1e-3 * std::sqrt(norm) + 1e-6) << "weight " << i;
    }
  }
}

}  // namespace
}  // namespace kiln
