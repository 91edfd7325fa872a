// What else one needs, on one small problem: a functional model with two inputs, a layer and a loss of one's
// own, validation, callbacks, weights in a file, a second model that shares layers with the first.
#include <kiln/kiln.h>

#include <cmath>
#include <cstdio>
#include <string>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

// A layer of one's own: sin(x w + phase), weights and all. `build` sees the input's shape, (None, features);
// `call` writes the formula down once, and the compiler derives its gradient.
struct Waves : LayerImpl {
  explicit Waves(std::int64_t units) : units(units) {}
  void build(const Shape& input) override {
    frequency = add_weight({.name = "frequency", .shape = {input.back(), units}});
    phase = add_weight({.name = "phase", .shape = {units}, .initializer = "zeros"});
  }
  graph::Value call(Call& call, graph::Value x) override {
    return graph::sin(graph::matmul(x, call(frequency)) + call(phase));
  }
  std::int64_t units;
  Variable frequency, phase;
};

// A loss of one's own: log(cosh(error)) of each sample, averaged over its values.
Loss log_cosh() {
  return losses::make_loss("log_cosh", [](graph::Value y_true, graph::Value y_pred) {
    const graph::Value error = graph::abs(y_pred - y_true);
    return graph::reduce_mean(error + graph::log1p(graph::exp(-2.0 * error)) - std::log(2.0), {-1});
  });
}

// Where balls land: rows of a start (x, y) and a throw (speed, angle, time), and of an end (x, y).
struct Throws {
  Tensor start, launch, end;
  explicit Throws(std::int64_t count)
      : start({count, 2}, DType::f32), launch({count, 3}, DType::f32), end({count, 2}, DType::f32) {
    float *s = start.data<float>(), *l = launch.data<float>(), *e = end.data<float>();
    for (std::int64_t i = 0; i < count; i++, s += 2, l += 3, e += 2) {
      const auto spread = [i](double step) {
        return static_cast<float>(std::fmod(static_cast<double>(i) * step, 1));
      };
      s[0] = spread(0.8813), s[1] = spread(0.7767);
      l[0] = spread(0.6845), l[1] = spread(0.6033), l[2] = spread(0.5317);
      e[0] = s[0] + l[0] * std::cos(l[1]) * l[2];
      e[1] = s[1] + l[0] * std::sin(l[1]) * l[2] - 0.5f * l[2] * l[2];
    }
  }
};

// Two models over the same layers: the whole one, and one that ends early.
struct Thrower {
  Model model, features;
  Thrower() {
    auto start = Input({2}, {.name = "start"});
    auto launch = Input({3}, {.name = "launch"});
    auto waves = make_layer<Waves>(32)(launch);
    auto hidden = Dense(64, {.activation = "tanh"})(Concatenate()({start, launch, waves}));
    auto end = Add()({start, Dense(2)(hidden)});
    model = Model({.inputs = {start, launch}, .outputs = {end}, .name = "thrower"});
    features = Model({.inputs = {start, launch}, .outputs = {hidden}, .name = "features"});
  }
};

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  const Throws all(5000);
  const Tensors x{all.start.slice(0, 4000), all.launch.slice(0, 4000)};
  const Tensors new_x{all.start.slice(4000, 5000), all.launch.slice(4000, 5000)};

  Thrower thrower;
  Model& model = thrower.model;
  model.summary();
  model.compile(
      {.optimizer = optimizers::Adam({.learning_rate = 3e-3}), .loss = log_cosh(), .metrics = {"mae"}});

  callbacks::EarlyStopping stopping(
      {.patience = 10, .restore_best_weights = true});  // a variable can be asked later
  const auto report = [](std::int64_t epoch, const Logs& logs) {
    std::printf("epoch %2d: mae %.4f, on the validation rows %.4f\n", static_cast<int>(epoch), logs["mae"],
                logs["val_mae"]);
  };
  History history = model.fit(x, all.end.slice(0, 4000),
                              {.batch_size = 64,
                               .epochs = options.number("epochs", 40),
                               .verbose = 0,
                               .callbacks = {stopping, callbacks::LambdaCallback({.on_epoch_end = report})},
                               .validation_split = 0.2});
  std::printf("%d epochs, the best was %d\n", static_cast<int>(history.epoch.size()),
              static_cast<int>(stopping.best_epoch()));

  // Another program builds the same architecture and reads the weights; here it is the same program.
  const std::string file = options.text("save", "tour.safetensors");
  model.save_weights(file);
  Thrower restored;
  restored.model.load_weights(file);
  const Tensor landings = restored.model.predict(new_x, {.verbose = 0});  // (1000, 2)
  const Tensor seen = restored.features.predict(new_x, {.verbose = 0});   // (1000, 64)
  std::printf("predictions %s, features %s\n", landings.shape().to_string().c_str(),
              seen.shape().to_string().c_str());

  auto result = model.evaluate(new_x, all.end.slice(4000, 5000), {.verbose = 0});
  std::printf("mean absolute error %.4f\n", result["mae"]);
}
