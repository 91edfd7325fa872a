// fit's arguments, callbacks, optimizers and losses, by hand.
#include <cmath>
#include <csignal>

#include "tests/api/support.h"
#include "tests/support/coverage.h"

namespace kiln {
namespace {

using namespace layers;
using testing::expect_near;
using testing::floats;
using testing::line;

// ---- weights of samples and classes
// ------------------------------------------------------------------------

TEST(SampleWeight, CountsInTheLossAndInWeightedMetrics) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}),
                 .loss = "mse",
                 .metrics = {"mae"},
                 .weighted_metrics = {"mse"}});
  const Tensor x({1.f, 2.f, 3.f}), y = Tensor::zeros({3}), w({1.f, 0.f, 2.f});
  const Logs logs = model.evaluate(x, y, {.batch_size = 2, .verbose = 0, .sample_weight = w});
  EXPECT_FLOAT_EQ(logs["loss"],
                  19.0f / 3);  // as Keras: the sum of weighted losses over the number of samples
  EXPECT_FLOAT_EQ(logs["mae"], 2);
  EXPECT_FLOAT_EQ(logs["mse"], 19.0f / 3);  // over the sum of weights, which is 3, too
  EXPECT_DOUBLE_EQ(losses::MeanSquaredError({.reduction = "sum"})(y, x, w), 19);
  EXPECT_NEAR(
      losses::MeanSquaredError({.reduction = "mean_with_sample_weight"})(y, x, Tensor({0.f, 0.f, 5.f})), 9,
      1e-6);
  EXPECT_DOUBLE_EQ(
      losses::MeanSquaredError({.reduction = "mean_with_sample_weight"})(y, x, Tensor({0.f, 0.f, 0.f})), 0);
}

TEST(ClassWeight, IsTheWeightOfEachSamplesClass) {
  Sequential model({Input({1}), Dense(2, {.kernel_initializer = "zeros"})});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  const Tensor x({1.f, 2.f, 3.f, 4.f});
  const std::vector<std::int32_t> labels = {0, 1, 1, 1};
  const double plain = std::log(2.0);
  EXPECT_NEAR(model.fit(x, labels, {.verbose = 0})["loss"][0], plain, 1e-6);
  EXPECT_NEAR(model.fit(x, labels, {.verbose = 0, .class_weight = {{0, 5.0}}})["loss"][0], plain * 8 / 4,
              1e-6);
  EXPECT_NEAR(model.fit(x, labels, {.verbose = 0, .class_weight = {{0, 0.0}, {1, 0.5}}})["loss"][0],
              plain * 1.5 / 4, 1e-6);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}),
                 .loss = losses::CategoricalCrossentropy({.from_logits = true})});
  const Tensor one_hot({{1.f, 0.f}, {0.f, 1.f}, {0.f, 1.f}, {0.f, 1.f}});
  EXPECT_NEAR(model.fit(x, one_hot, {.verbose = 0, .class_weight = {{0, 5.0}}})["loss"][0], plain * 8 / 4,
              1e-6);
}

TEST(ClassWeight, DoesNotCountInTheValidationSplit) {
  Sequential model = line(0);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse"});
  const Tensor x = Tensor::zeros({10, 1}), y({0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 1.f, 1.f, 1.f});
  const History by_class =
      model.fit(x, y, {.verbose = 0, .validation_split = 0.2, .class_weight = {{0, 1.0}, {1, 100.0}}});
  EXPECT_DOUBLE_EQ(by_class["loss"][0], 100.0 / 8);
  EXPECT_DOUBLE_EQ(by_class["val_loss"][0], 1);
  // Weights of samples count in both parts.
  const History by_sample =
      model.fit(x, y, {.verbose = 0, .validation_split = 0.2, .sample_weight = Tensor::full({10}, 100)});
  EXPECT_DOUBLE_EQ(by_sample["loss"][0], 100.0 / 8);
  EXPECT_DOUBLE_EQ(by_sample["val_loss"][0], 100);
}

// ---- the course of training
// --------------------------------------------------------------------------------

struct Recorder : Callback {
  std::vector<std::string> events;
  void on_train_begin(const Logs&) override { events.push_back("train_begin"); }
  void on_train_end(const Logs&) override { events.push_back("train_end"); }
  void on_epoch_begin(std::int64_t e, const Logs&) override {
    events.push_back("epoch_begin " + std::to_string(e));
  }
  void on_epoch_end(std::int64_t e, Logs& logs) override {
    events.push_back("epoch_end " + std::to_string(e));
    logs.set("added", static_cast<double>(e));
  }
  void on_train_batch_begin(std::int64_t b, const Logs&) override {
    events.push_back("batch_begin " + std::to_string(b));
  }
  void on_train_batch_end(std::int64_t b, const Logs& logs) override {
    events.push_back("batch_end " + std::to_string(b));
    EXPECT_TRUE(logs.contains("loss"));
  }
  void on_test_begin(const Logs&) override { events.push_back("test_begin"); }
  void on_test_end(const Logs&) override { events.push_back("test_end"); }
  void on_test_batch_begin(std::int64_t, const Logs&) override { events.push_back("test_batch_begin"); }
  void on_test_batch_end(std::int64_t, const Logs&) override { events.push_back("test_batch_end"); }
  void on_predict_begin(const Logs&) override { events.push_back("predict_begin"); }
  void on_predict_end(const Logs&) override { events.push_back("predict_end"); }
  void on_predict_batch_begin(std::int64_t, const Logs&) override { events.push_back("predict_batch_begin"); }
  void on_predict_batch_end(std::int64_t, const Logs&) override { events.push_back("predict_batch_end"); }
};

TEST(Callbacks, HooksAreCalledInKerasOrder) {
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x({1.f, 2.f, 3.f}), y = Tensor::zeros({3});
  Recorder recorder;
  const History h =
      model.fit(x, y, {.batch_size = 2, .verbose = 0, .callbacks = {recorder}, .validation_data = {x, y}});
  EXPECT_EQ(recorder.events,
            (std::vector<std::string>{"train_begin", "epoch_begin 0", "batch_begin 0", "batch_end 0",
                                      "batch_begin 1", "batch_end 1", "test_begin", "test_batch_begin",
                                      "test_batch_end", "test_batch_begin", "test_batch_end", "test_end",
                                      "epoch_end 0", "train_end"}));
  EXPECT_EQ(h["added"], (std::vector<double>{0}));  // what a callback adds to the logs gets into the history
  recorder.events.clear();
  model.predict(x, {.batch_size = 2, .verbose = 0, .callbacks = {recorder}});
  EXPECT_EQ(recorder.events,
            (std::vector<std::string>{"predict_begin", "predict_batch_begin", "predict_batch_end",
                                      "predict_batch_begin", "predict_batch_end", "predict_end"}));
}

TEST(Callbacks, CanStopTrainingAndSeeTheModel) {
  struct Stopper : Callback {
    void on_train_batch_end(std::int64_t batch, const Logs&) override {
      EXPECT_EQ(params().steps, 10);
      EXPECT_EQ(model().count_params(), 1);
      if (batch == 3) stop_training();
    }
  };
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const History h = model.fit(Tensor::zeros({10, 1}), Tensor::zeros({10}),
                              {.batch_size = 1, .epochs = 5, .verbose = 0, .callbacks = {Stopper()}});
  EXPECT_EQ(model.optimizer().iterations(), 4);
  EXPECT_EQ(h.epoch.size(), 1u);
  // The next fit starts afresh.
  EXPECT_EQ(model.fit(Tensor::zeros({10, 1}), Tensor::zeros({10}), {.epochs = 2, .verbose = 0}).epoch.size(),
            2u);
}

TEST(Callbacks, EarlyStoppingWatchesWhatItIsTold) {
  const Tensor x({1.f}), y({0.f});
  const auto epochs = [&](callbacks::EarlyStoppingArgs args, double learning_rate) {
    Sequential model = line(1);
    model.compile({.optimizer = optimizers::SGD({.learning_rate = learning_rate}),
                   .loss = "mse",
                   .metrics = {"accuracy"}});
    testing::CapturedConsole console;
    callbacks::EarlyStopping stopping(args);
    const std::size_t n =
        model
            .fit(x, y,
                 {.epochs = 6, .verbose = 0, .callbacks = {stopping}, .validation_data = {x, y}})["loss"]
            .size();
    return std::pair(n, console.text);
  };
  EXPECT_EQ(epochs({.monitor = "loss"}, 0.1).first, 6u);  // falls all the time
  EXPECT_EQ(epochs({.monitor = "loss"}, 1.1).first, 2u);  // grows
  EXPECT_EQ(epochs({.monitor = "loss", .mode = "max"}, 0.1).first, 2u);
  EXPECT_EQ(epochs({.patience = 3}, 1.1).first, 4u);
  EXPECT_EQ(epochs({.monitor = "loss", .min_delta = 10}, 0.1).first, 2u);
  EXPECT_EQ(epochs({.monitor = "loss", .min_delta = -10}, 0.1).first, 2u);  // only its size counts
  EXPECT_EQ(epochs({.patience = 1, .start_from_epoch = 3}, 1.1).first, 5u);
  EXPECT_EQ(epochs({.patience = 2, .verbose = 1, .baseline = 1e-9}, 1.1).second, "Epoch 2: early stopping\n");
  EXPECT_NE(epochs({.monitor = "val_los"}, 0.1).second.find("metric `val_los` which is not available"),
            std::string::npos);
  EXPECT_EQ(epochs({.monitor = "accuracy", .patience = 1}, 0.1).first,
            2u);  // larger is better, and it never grows
  testing::covers("Callbacks", "EarlyStopping", "behaviour");
}

TEST(Callbacks, EarlyStoppingIsToldTheDirectionOfOnesOwnMetric) {
  const Tensor x({1.f}), y({0.f});
  // The prediction itself, which falls towards 0.
  const auto epochs = [&](std::optional<bool> larger_is_better, const std::string& mode) {
    Sequential model = line(1);
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}),
                   .loss = "mse",
                   .metrics = {metrics::make_metric(
                       "mine", [](graph::Value, graph::Value p) { return p; }, larger_is_better)}});
    callbacks::EarlyStopping stopping({.monitor = "mine", .mode = mode});
    return model.fit(x, y, {.epochs = 4, .verbose = 0, .callbacks = {stopping}}).epoch.size();
  };
  EXPECT_EQ(epochs(true, "auto"), 2u);
  EXPECT_EQ(epochs(false, "auto"), 4u);
  EXPECT_EQ(epochs({}, "max"), 2u);
  EXPECT_ERROR(ValueError, "whether \"mine\" should grow or fall isn't known; say .mode", epochs({}, "auto"));
}

// Keras gives the same losses, and the same warning.
TEST(Fit, StepsPerEpochGoesOnWhereItLeft) {
  testing::CapturedConsole console;
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  const Tensor x({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}), y = Tensor::zeros({6});
  const History h =
      model.fit(x, y, {.batch_size = 2, .epochs = 4, .verbose = 0, .shuffle = false, .steps_per_epoch = 2});
  EXPECT_EQ(h["loss"], (std::vector<double>{2.5, 5.5, 2.5, 5.5}));  // 1-4, 5-6, 1-4, 5-6
  EXPECT_EQ(console.text,
            "fit: the data ended after 1 of 2 steps of epoch 2; a dataset goes on with repeat()\n"
            "fit: the data ended after 1 of 2 steps of epoch 4; a dataset goes on with repeat()\n");
  EXPECT_EQ(model.fit(x, y, {.epochs = 5, .verbose = 0, .initial_epoch = 3}).epoch,
            (std::vector<std::int64_t>{3, 4}));
}

TEST(Fit, ValidationEverySecondEpochAndWithFewSteps) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mae"});
  const Tensor x({1.f, 2.f, 3.f, 4.f}), y = Tensor::zeros({4});
  const History h = model.fit(x, y,
                              {.epochs = 4,
                               .verbose = 0,
                               .validation_data = {x, y, Tensor({0.f, 0.f, 0.f, 4.f})},
                               .validation_freq = 2});
  EXPECT_EQ(h["val_loss"], (std::vector<double>{4, 4}));
  const History few = model.fit(
      x, y, {.verbose = 0, .validation_data = {x, y}, .validation_steps = 1, .validation_batch_size = 2});
  EXPECT_EQ(few["val_loss"], (std::vector<double>{1.5}));
}

TEST(Fit, ShufflingFeedsEveryRowOnce) {
  for (std::int64_t batch_size : {1, 3, 7, 10}) {
    Sequential model = line(1);
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = losses::MeanAbsoluteError()});
    std::vector<float> x;
    for (int i = 0; i < 10; i++) x.push_back(static_cast<float>(1 << i));
    const History h =
        model.fit(x, Tensor::zeros({10}), {.batch_size = batch_size, .epochs = 3, .verbose = 0});
    for (double loss : h["loss"]) EXPECT_NEAR(loss, 102.3, 1e-4);
  }
}

TEST(Fit, CtrlCEndsAfterTheStepAndRestoresTheHandler) {
  static volatile std::sig_atomic_t reached = 0;
  const auto old = std::signal(SIGINT, [](int) { reached = 1; });
  struct Interrupt : Callback {
    void on_train_batch_end(std::int64_t batch, const Logs&) override {
      if (batch == 2) std::raise(SIGINT);
    }
  };
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const History h = model.fit(Tensor::zeros({10, 1}), Tensor::zeros({10}),
                              {.batch_size = 1, .epochs = 3, .verbose = 0, .callbacks = {Interrupt()}});
  EXPECT_EQ(model.optimizer().iterations(), 3);
  EXPECT_TRUE(h.history.empty());  // the epoch was not whole
  EXPECT_EQ(reached, 0);
  std::raise(SIGINT);
  EXPECT_EQ(reached, 1) << "the old handler must be back";
  std::signal(SIGINT, old);
}

TEST(Fit, CtrlCEndsTheValidationToo) {
  const auto old = std::signal(SIGINT, SIG_DFL);
  struct Interrupt : Recorder {
    void on_test_batch_end(std::int64_t batch, const Logs& logs) override {
      Recorder::on_test_batch_end(batch, logs);
      if (batch == 1) std::raise(SIGINT);
    }
  };
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::zeros({4, 1});
  Interrupt interrupt;
  const History h = model.fit(x, x,
                              {.epochs = 3,
                               .verbose = 0,
                               .callbacks = {interrupt},
                               .validation_data = {x, x},
                               .validation_batch_size = 1});
  EXPECT_EQ(interrupt.events,
            (std::vector<std::string>{"train_begin", "epoch_begin 0", "batch_begin 0", "batch_end 0",
                                      "test_begin", "test_batch_begin", "test_batch_end", "test_batch_begin",
                                      "test_batch_end", "test_end", "train_end"}));
  EXPECT_TRUE(h.history.empty());
  std::signal(SIGINT, old);
}

TEST(Fit, CtrlCBetweenEpochsBeginsNoOther) {
  const auto old = std::signal(SIGINT, SIG_DFL);
  struct Interrupt : Callback {
    void on_epoch_begin(std::int64_t, const Logs&) override { begun++; }
    void on_epoch_end(std::int64_t, Logs&) override { std::raise(SIGINT); }
    int begun = 0;
  };
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::zeros({4, 1});
  Interrupt interrupt;
  EXPECT_EQ(model.fit(x, x, {.epochs = 3, .verbose = 0, .callbacks = {interrupt}}).epoch.size(), 1u);
  EXPECT_EQ(interrupt.begun, 1);
  std::signal(SIGINT, old);
}

TEST(Fit, AnIgnoredCtrlCStaysIgnored) {
  const auto old = std::signal(SIGINT, SIG_IGN);
  struct Interrupt : Callback {
    void on_train_batch_end(std::int64_t, const Logs&) override { std::raise(SIGINT); }
  };
  Sequential model = line(1);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::zeros({4, 1});
  EXPECT_EQ(model.fit(x, x, {.epochs = 2, .verbose = 0, .callbacks = {Interrupt()}}).epoch.size(), 2u);
  EXPECT_EQ(std::signal(SIGINT, old), SIG_IGN);
}

TEST(Fit, AFrozenLayerStaysAsItIsUntilItIsUnfrozen) {
  Sequential model({Input({2}), Dense(3), Dense(1)});
  model.compile({.optimizer = "adam", .loss = "mse"});
  const Tensor x = Tensor::full({4, 2}, 1), y = Tensor::full({4, 1}, 5);
  Layer first = model.get_layer(0), second = model.get_layer(1);
  const auto step = [&] { model.fit(x, y, {.verbose = 0}); };
  step();
  first.set_trainable(false);
  const auto frozen = floats(first.get_weights()[0]), moving = floats(second.get_weights()[0]);
  step();
  EXPECT_EQ(floats(first.get_weights()[0]), frozen);
  EXPECT_NE(floats(second.get_weights()[0]), moving);
  first.set_trainable(true);
  step();
  EXPECT_NE(floats(first.get_weights()[0]), frozen);
}

TEST(Fit, SaysThatNothingIsTrained) {
  Sequential model({Input({2}), Dense(1)}, {.name = "frozen"});
  model.set_trainable(false);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  kiln::testing::CapturedConsole console;
  model.fit(Tensor::full({4, 2}, 1), Tensor::full({4, 1}, 5), {.verbose = 2});
  EXPECT_NE(console.text.find("fit: model \"frozen\" has no trainable weights, so nothing is trained"),
            std::string::npos)
      << console.text;
}

// ---- several outputs
// ----------------------------------------------------------------------------------------

TEST(Outputs, EachHasItsLossAndMetricsUnderItsName) {
  const auto x = Input({1});
  const auto dense = [&](const char* name, double w) {
    return Dense(1, {.use_bias = false, .kernel_initializer = initializers::Constant(w), .name = name})(x);
  };
  Model model({.inputs = {x}, .outputs = {dense("a", 1), dense("b", 2)}});
  model.compile(
      {.optimizer = "sgd", .loss = {"mse", "mae"}, .loss_weights = {1, 10}, .metrics = {"mae", "mse"}});
  const Tensor data({1.f, 3.f}), zero = Tensor::zeros({2});
  const Logs logs = model.evaluate(data, {zero, zero}, {.verbose = 0});
  EXPECT_FLOAT_EQ(logs["a_loss"], 5);
  EXPECT_FLOAT_EQ(logs["b_loss"], 4);
  EXPECT_FLOAT_EQ(logs["loss"], 45);
  EXPECT_FLOAT_EQ(logs["a_mae"], 2);
  EXPECT_FLOAT_EQ(logs["b_mse"], 20);
  EXPECT_EQ(logs.size(), 5u);
}

// Two outputs of one input, "a" = x and "b" = 2 x.
Model two_outputs() {
  const auto x = Input({1});
  const auto dense = [&](const char* name, double w) {
    return Dense(1, {.use_bias = false, .kernel_initializer = initializers::Constant(w), .name = name})(x);
  };
  return Model({.inputs = {x}, .outputs = {dense("a", 1), dense("b", 2)}, .name = "two"});
}

TEST(Outputs, TakeLossesWeightsAndMetricsByName) {
  Model model = two_outputs();
  model.compile({.loss = {{"b", "mae"}, {"a", losses::MeanSquaredError()}},
                 .loss_weights = {{"b", 10}},
                 .metrics = {{"b", {"mse", "mae"}}, {"a", "mae"}},
                 .weighted_metrics = {{"a", "mse"}}});
  const Tensor data({1.f, 3.f}), zero = Tensor::zeros({2});
  const Logs logs = model.evaluate(data, {zero, zero}, {.verbose = 0});
  EXPECT_EQ(model.metrics_names(),
            (std::vector<std::string>{"loss", "a_loss", "b_loss", "a_mae", "b_mse", "b_mae", "a_mse"}));
  EXPECT_FLOAT_EQ(logs["loss"], 5 + 40);
  EXPECT_FLOAT_EQ(logs["b_mse"], 20);
  EXPECT_FLOAT_EQ(logs["b_mae"], 4);
  EXPECT_FLOAT_EQ(logs["a_mse"], 5);
}

TEST(Outputs, TakeListsOfMetricsInTheirOrder) {
  Model model = two_outputs();
  model.compile({.loss = "mse", .metrics = std::vector<std::vector<Metric>>{{"mae"}, {"mse", "mae"}}});
  const Tensor data({1.f, 3.f}), zero = Tensor::zeros({2});
  model.evaluate(data, {zero, zero}, {.verbose = 0});
  EXPECT_EQ(model.metrics_names(),
            (std::vector<std::string>{"loss", "a_loss", "b_loss", "a_mae", "b_mse", "b_mae"}));
}

TEST(Outputs, WithoutALossAreNotTrained) {
  Model model = two_outputs();
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.5}), .loss = {{"a", "mse"}}});
  const Tensor one({1.f}), zero({0.f});
  const Logs logs = model.train_on_batch(one, {zero, zero});
  EXPECT_EQ(logs.size(), 2u);
  EXPECT_FLOAT_EQ(logs["loss"], 1);
  EXPECT_FLOAT_EQ(logs["a_loss"], 1);
  EXPECT_EQ(model.get_weights()[0].item(), 0);
  EXPECT_EQ(model.get_weights()[1].item(), 2);
}

TEST(Outputs, MistakesNameTheOutput) {
  const Tensor one({1.f});
  const auto evaluate = [&](CompileArgs args) {
    Model model = two_outputs();
    model.compile(std::move(args));
    model.evaluate(one, {one, one}, {.verbose = 0});
  };
  EXPECT_ERROR(ValueError,
               "compile: loss: the output \"aa\" is not known. Did you mean \"a\"? Known names: \"a\", \"b\"",
               evaluate({.loss = {{"aa", "mse"}}}));
  EXPECT_ERROR(ValueError, "compile: loss: output \"a\" is named twice",
               evaluate({.loss = {{"a", "mse"}, {"a", "mae"}}}));
  EXPECT_ERROR(ValueError, "compile: loss_weights: the output \"c\" is not known",
               evaluate({.loss = "mse", .loss_weights = {{"c", 2}}}));
  EXPECT_ERROR(ValueError, "compile: 3 loss_weights for 2 outputs; give one for each",
               evaluate({.loss = "mse", .loss_weights = {1, 2, 3}}));
  EXPECT_ERROR(ValueError, "compile: 3 losses for 2 outputs; give one, or one for each",
               evaluate({.loss = {"mse", "mse", "mse"}}));
  EXPECT_ERROR(ValueError, "compile: metrics: the output \"d\" is not known",
               evaluate({.loss = "mse", .metrics = {{"d", "mae"}}}));
  EXPECT_ERROR(ValueError,
               "compile: 1 metrics for 2 outputs; give one for each, or name the outputs: {{\"a\", \"mae\"}}",
               evaluate({.loss = "mse", .metrics = {"mae"}}));
  EXPECT_ERROR(ValueError, "compile: 1 lists of weighted_metrics for 2 outputs; give one for each",
               evaluate({.loss = "mse", .weighted_metrics = std::vector<std::vector<Metric>>{{"mae"}}}));
  const auto of_batch = [](graph::Value y, graph::Value p) { return graph::reduce_sum(p - y); };
  EXPECT_ERROR(ShapeError, "output \"b\": loss \"mine\": it gave values of shape ()",
               evaluate({.loss = {{"a", "mse"}, {"b", losses::make_loss("mine", of_batch)}}}));
}

// ---- optimizers by hand
// ------------------------------------------------------------------------------------

// w after steps of a model whose gradient is always g: loss g * w.
std::vector<double> walk(Optimizer optimizer, double g, int steps) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizer,
                 .loss = losses::make_loss("mean", [](graph::Value, graph::Value p) { return p; })});
  std::vector<double> path;
  for (int i = 0; i < steps; i++) {
    model.train_on_batch(Tensor({{static_cast<float>(g)}}), Tensor({{0.f}}));
    path.push_back(model.get_weights()[0].item());
  }
  return path;
}

void expect_path(Optimizer optimizer, const std::function<double(int, double)>& step) {
  const auto path = walk(std::move(optimizer), 0.5, 5);
  double w = 1;
  for (int i = 0; i < 5; i++) {
    w = step(i, w);
    EXPECT_NEAR(path[static_cast<std::size_t>(i)], w, 2e-6) << "step " << i;
  }
}

TEST(Optimizers, GoTheWayOfTheirFormulas) {
  const double g = 0.5;
  expect_path(optimizers::SGD({.learning_rate = 0.1}), [&](int, double w) { return w - 0.1 * g; });
  double v = 0, m = 0;
  expect_path(optimizers::SGD({.learning_rate = 0.1, .momentum = 0.9}), [&](int, double w) {
    v = 0.9 * v - 0.1 * g;
    return w + v;
  });
  v = 0;
  expect_path(optimizers::SGD({.learning_rate = 0.1, .momentum = 0.9, .nesterov = true}), [&](int, double w) {
    v = 0.9 * v - 0.1 * g;
    return w + 0.9 * v - 0.1 * g;
  });
  v = 0;
  expect_path(optimizers::RMSprop({.learning_rate = 0.01}), [&](int, double w) {
    v = 0.9 * v + 0.1 * g * g;
    return w - 0.01 * g / std::sqrt(v + 1e-7);
  });
  v = m = 0;
  double average = 0;
  expect_path(optimizers::RMSprop({.learning_rate = 0.01, .momentum = 0.5, .centered = true}),
              [&](int, double w) {
                v = 0.9 * v + 0.1 * g * g;
                average = 0.9 * average + 0.1 * g;
                m = 0.5 * m + 0.01 * g / std::sqrt(v - average * average + 1e-7);
                return w - m;
              });
  v = 0.1;
  expect_path(optimizers::Adagrad({.learning_rate = 0.1}), [&](int, double w) {
    v += g * g;
    return w - 0.1 * g / std::sqrt(v + 1e-7);
  });
  for (bool amsgrad : {false, true}) {
    v = m = 0;
    expect_path(optimizers::Adam({.learning_rate = 0.01, .amsgrad = amsgrad}), [&](int i, double w) {
      m += (g - m) * 0.1;
      v += (g * g - v) * 0.001;
      const double t = i + 1;
      return w -
             0.01 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m / (std::sqrt(v) + 1e-7);
    });
  }
  expect_path(optimizers::SGD({.learning_rate = 0.1, .weight_decay = 0.2}),
              [&](int, double w) { return w - 0.02 * w - 0.1 * g; });
}

TEST(Optimizers, TheLearningRateCanBeSetBetweenSteps) {
  Sequential model = line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1}), .loss = "mae"});
  EXPECT_EQ(model.optimizer().learning_rate(), 1);
  model.optimizer().set_learning_rate(0.25);
  model.train_on_batch(Tensor({1.f}), Tensor({0.f}));
  EXPECT_FLOAT_EQ(model.get_weights()[0].item(), 0.75f);
  EXPECT_ERROR(ValueError, "learning rate", model.optimizer().set_learning_rate(-1));
}

// ---- metrics
// -----------------------------------------------------------------------------------------------

TEST(Metrics, AccuracyIsChosenByTheShapes) {
  const Tensor probabilities({{0.2f, 0.8f, 0.f}, {0.6f, 0.3f, 0.1f}, {0.1f, 0.2f, 0.7f}});
  EXPECT_NEAR(Metric("accuracy")(Tensor({1, 1, 2}), probabilities), 2.0 / 3, 1e-6);
  EXPECT_NEAR(Metric("acc")(Tensor({{1}, {1}, {2}}), probabilities), 2.0 / 3, 1e-6);
  EXPECT_NEAR(Metric("accuracy")(Tensor({{0.f, 1.f, 0.f}, {0.f, 1.f, 0.f}, {0.f, 0.f, 1.f}}), probabilities),
              2.0 / 3, 1e-6);
  EXPECT_NEAR(Metric("accuracy")(Tensor({1.f, 0.f, 1.f, 0.f}), Tensor({{0.9f}, {0.5f}, {0.51f}, {0.6f}})),
              0.75, 1e-6);
  EXPECT_NEAR(metrics::BinaryAccuracy({.threshold = 0.55})(Tensor({1.f, 0.f, 1.f}),
                                                           Tensor({{0.9f}, {0.5f}, {0.51f}})),
              2.0 / 3, 1e-6);
  EXPECT_EQ(Metric("mse").name(), "mse");
  EXPECT_EQ(metrics::MeanSquaredError().name(), "mean_squared_error");
  EXPECT_ERROR(ValueError, "label 3 in row 2 is outside [0, 3)",
               Metric("accuracy")(Tensor({1, 1, 3}), probabilities));
}

TEST(Metrics, OfOnesOwnAreMeansOfTheirValues) {
  const auto far = [](graph::Value y_true, graph::Value y_pred) {
    return graph::convert(graph::compare(graph::abs(y_true - y_pred), graph::scalar(y_pred, 1), "gt"),
                          DType::f32);
  };
  const Tensor y({1.f, 2.f, 3.f, 4.f}), p({1.f, 4.f, 5.f, 5.f});
  EXPECT_EQ(metrics::make_metric("far", far)(y, p), 0.5);
  const Metric wrapped = metrics::MeanMetricWrapper(far, {.name = "far"});
  EXPECT_EQ(wrapped(y, p), 0.5);
  EXPECT_EQ(wrapped(y, p, Tensor({0.f, 3.f, 0.f, 1.f})), 0.75);
  testing::covers("Metrics", "MeanMetricWrapper", "forward");
}

TEST(Metrics, ANameUsedTwiceIsNumbered) {
  Sequential model = line(1);
  model.compile({.loss = "mse", .metrics = {"mae", "mae"}, .weighted_metrics = {"mae"}});
  model.evaluate(Tensor({1.f}), Tensor({0.f}), {.verbose = 0});
  EXPECT_EQ(model.metrics_names(), (std::vector<std::string>{"loss", "mae", "mae_1", "weighted_mae"}));
}

TEST(Losses, LabelsOfOneByteSelectAmongManyClasses) {
  const Loss loss = losses::SparseCategoricalCrossentropy({.from_logits = true});
  const Tensor scores = Tensor::zeros({2, 300});
  EXPECT_NEAR(loss(Tensor({0, 255}).astype(DType::u8), scores), std::log(300.0), 1e-4);
  EXPECT_NEAR(loss(Tensor({0, 1}).astype(DType::bool_), scores), std::log(300.0), 1e-4);
  EXPECT_NEAR(Metric("accuracy")(Tensor({0, 1}).astype(DType::bool_), Tensor({{2.f, 1.f}, {1.f, 2.f}})), 1,
              1e-6);
  EXPECT_ERROR(ValueError, "label 4294967296 in row 1 is outside [0, 300)",
               loss(Tensor({std::int64_t{0}, std::int64_t{1} << 32}), scores));
}

TEST(Losses, OfWholeNumbersKeepTheirFractions) {
  EXPECT_NEAR(losses::MeanSquaredError()(Tensor({1, 2, 4}), Tensor({1, 2, 3})), 1.0 / 3, 1e-6);
  EXPECT_NEAR(losses::MeanAbsoluteError()(Tensor({{1, 2}, {4, 4}}), Tensor({{1, 2}, {3, 4}})), 0.25, 1e-6);
}

TEST(Losses, ByHand) {
  const Tensor y({{0.f, 1.f}, {1.f, 0.f}}), p({{0.25f, 0.75f}, {0.5f, 0.5f}});
  EXPECT_NEAR(Loss("binary_crossentropy")(y, p), -(2 * std::log(0.75) + 2 * std::log(0.5)) / 4, 1e-6);
  EXPECT_NEAR(Loss("categorical_crossentropy")(y, p), -(std::log(0.75) + std::log(0.5)) / 2, 1e-6);
  EXPECT_NEAR(Loss("sparse_categorical_crossentropy")(Tensor({1, 0}), p),
              -(std::log(0.75) + std::log(0.5)) / 2, 1e-6);
  const double smooth = -(0.9 * std::log(0.75) + 0.1 * std::log(0.25) + std::log(0.5)) / 2;
  EXPECT_NEAR(losses::CategoricalCrossentropy({.label_smoothing = 0.2})(y, p), smooth, 1e-6);
  EXPECT_NEAR(losses::BinaryCrossentropy({.label_smoothing = 0.2})(y, p), smooth, 1e-6);
  const Tensor e({{3.f, -4.f}, {0.f, 1.f}}), zero = Tensor::zeros({2, 2});
  EXPECT_NEAR(losses::PNorm(1)(zero, e), (7.0 + 1) / 2, 1e-6);
  EXPECT_NEAR(losses::PNorm(2)(zero, e), (5.0 + 1) / 2, 1e-6);
  EXPECT_NEAR(losses::PNorm(losses::infinity)(zero, e), (4.0 + 1) / 2, 1e-6);
  // Scores that don't sum to 1 are divided by their sum, and 0 is kept from log by the clip at 1e-7.
  EXPECT_NEAR(Loss("sparse_categorical_crossentropy")(Tensor({1}), Tensor({{2.f, 0.f}})), -std::log(1e-7),
              1e-4);
}

}  // namespace
}  // namespace kiln
