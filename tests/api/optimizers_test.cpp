// What optimizers and schedules do besides their rules, which golden_optimizers_test.cpp compares with
// Keras's: errors, exclusions, states, learning rates.
#include <cmath>

#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace kiln::layers;
namespace schedules = kiln::optimizers::schedules;
using testing::line;

const Tensor one({1.f}), zero({0.f});

double weight_of(const Model& model) {
  return model.get_weights()[0].item();
}

TEST(Optimizers, NameTheArgumentThatIsOutOfRange) {
  using namespace optimizers;
  const std::optional<double> none;
  EXPECT_ERROR(ValueError, "SGD: learning_rate must be finite and not negative, but it is -1; give a rate",
               SGD({.learning_rate = -1}));
  EXPECT_ERROR(ValueError, "SGD: momentum must be in [0, 1], but it is 1.5", SGD({.momentum = 1.5}));
  EXPECT_ERROR(ValueError, "Adadelta: rho must be in [0, 1], but it is -0.1", Adadelta({.rho = -0.1}));
  EXPECT_ERROR(ValueError, "Adafactor: beta_2_decay must be finite and not above 0, but it is 0.8",
               Adafactor({.beta_2_decay = 0.8}));
  EXPECT_ERROR(ValueError, "Adafactor: clip_threshold must be positive and finite, but it is 0",
               Adafactor({.clip_threshold = 0}));
  EXPECT_ERROR(ValueError, "Adagrad: epsilon must be finite and not negative, but it is -1",
               Adagrad({.epsilon = -1}));
  EXPECT_ERROR(ValueError, "Adam: beta_1 must be in [0, 1), but it is 1", Adam({.beta_1 = 1}));
  EXPECT_ERROR(ValueError, "AdamW: weight_decay must be a number, but there is none; use Adam",
               AdamW({.weight_decay = none}));
  EXPECT_ERROR(ValueError, "AdamW: weight_decay must be finite and not negative, but it is -0.1",
               AdamW({.weight_decay = -0.1}));
  EXPECT_ERROR(ValueError, "Adamax: beta_2 must be in [0, 1), but it is 2", Adamax({.beta_2 = 2}));
  EXPECT_ERROR(ValueError,
               "Ftrl: learning_rate_power must be finite and not above 0, but it is 0.5; -0.5 is usual",
               Ftrl({.learning_rate_power = 0.5}));
  EXPECT_ERROR(ValueError, "Ftrl: l1_regularization_strength must be finite and not negative, but it is -1",
               Ftrl({.l1_regularization_strength = -1}));
  EXPECT_ERROR(ValueError, "Lamb: epsilon must be finite and not negative", Lamb({.epsilon = -1}));
  EXPECT_ERROR(ValueError, "Lion: beta_1 must be in (0, 1], but it is 0", Lion({.beta_1 = 0}));
  EXPECT_ERROR(ValueError, "Muon: ns_steps must be in [0, 100], but it is -1", Muon({.ns_steps = -1}));
  EXPECT_ERROR(ValueError, "Muon: exclude_layers: \"(\" is no regular expression",
               Muon({.exclude_layers = {"("}}));
  EXPECT_ERROR(ValueError, "Nadam: beta_1 must be in [0, 1), but it is nan", Nadam({.beta_1 = std::nan("")}));
  EXPECT_ERROR(ValueError, "RMSprop: rho must be in [0, 1], but it is 2", RMSprop({.rho = 2}));
}

TEST(Optimizers, NameTheOptionThatIsOutOfRange) {
  using namespace optimizers;
  EXPECT_ERROR(ValueError, "Lion: clipnorm must be positive and finite, but it is 0; leave it out",
               Lion({.clipnorm = 0}));
  EXPECT_ERROR(ValueError, "Lion: only one of clipnorm, clipvalue and global_clipnorm can be set",
               Lion({.clipvalue = 1, .global_clipnorm = 1}));
  EXPECT_ERROR(ValueError, "SGD: ema_momentum must be in [0, 1], but it is 1.1",
               SGD({.use_ema = true, .ema_momentum = 1.1}));
  EXPECT_ERROR(ValueError, "SGD: ema_overwrite_frequency must be at least 1, but it is 0; leave it out",
               SGD({.use_ema = true, .ema_overwrite_frequency = 0}));
  EXPECT_ERROR(ValueError, "SGD: loss_scale_factor must be positive", SGD({.loss_scale_factor = -2}));
  EXPECT_ERROR(ValueError, "SGD: gradient_accumulation_steps must be at least 2, but it is 1; leave it out",
               SGD({.gradient_accumulation_steps = 1}));
  EXPECT_ERROR(ValueError,
               "LossScaleOptimizer: initial_scale must be positive and finite in float32, but it is 1e+60",
               LossScaleOptimizer(SGD(), {.initial_scale = 1e60}));
  EXPECT_ERROR(ValueError, "LossScaleOptimizer: dynamic_growth_steps must be at least 1, but it is 0",
               LossScaleOptimizer(SGD(), {.dynamic_growth_steps = 0}));
  EXPECT_ERROR(ValueError, "inner_optimizer is itself a LossScaleOptimizer",
               LossScaleOptimizer(LossScaleOptimizer(SGD())));
}

TEST(Optimizers, AreKnownByName) {
  EXPECT_ERROR(ValueError, "optimizer \"adamw2\" is not known. Did you mean \"adamw\"?", Optimizer("adamw2"));
  EXPECT_ERROR(ValueError, "Did you mean \"Adadelta\"?",
               optimizers::deserialize(Config::Dict{{"class_name", "Adadleta"}, {"config", Config::Dict{}}}));
  EXPECT_ERROR(ValueError, "Adam: the argument \"beta_3\" is not known. Did you mean \"beta_1\"?",
               optimizers::deserialize(
                   Config::Dict{{"class_name", "Adam"}, {"config", Config::Dict{{"beta_3", 0.5}}}}));
  EXPECT_ERROR(ValueError, "LossScaleOptimizer: its configuration lacks \"inner_optimizer\"",
               Optimizer("LossScaleOptimizer"));
  EXPECT_ERROR(ValueError,
               "learning-rate schedule \"CosineDecai\" is not known. Did you mean \"CosineDecay\"?",
               schedules::deserialize("CosineDecai"));
  EXPECT_EQ(optimizers::AdamW({.name = "mine"}).get_config().at("name").as_string(), "mine");
  struct Mine : OptimizerImpl {
    Mine() : OptimizerImpl("Mine", 0.1, {}) {}
    std::vector<Slot> slots(const Weight&) const override { return {}; }
    Updated update(const Step&, graph::Value w, graph::Value, std::span<const graph::Value>) const override {
      return {w, {}};
    }
  };
  EXPECT_ERROR(StateError, "the optimizer Mine can't be written into a configuration",
               optimizers::serialize(Optimizer(std::make_shared<Mine>())));
}

TEST(Optimizers, KeepTheLearningRatesDigits) {
  EXPECT_EQ(optimizers::Adam().learning_rate(), 0.001);
  const Optimizer sgd = optimizers::SGD({.learning_rate = 0.1});
  sgd.set_learning_rate(0.3);
  EXPECT_EQ(sgd.learning_rate(), 0.3);
  EXPECT_EQ(sgd.get_config().at("learning_rate").as_number(), 0.3);
}

TEST(Optimizers, FollowTheirSchedule) {
  Sequential model = line(1);
  const Optimizer sgd =
      optimizers::SGD({.learning_rate = schedules::PiecewiseConstantDecay({0, 1}, {0.25, 0.125, 0})});
  model.compile({.optimizer = sgd, .loss = "mse"});
  EXPECT_EQ(sgd.learning_rate(), 0.25);
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.5);
  EXPECT_EQ(sgd.learning_rate(), 0.125);
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.375);
  EXPECT_EQ(sgd.learning_rate(), 0);
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.375);
  EXPECT_ERROR(
      TypeError,
      "optimizer \"sgd\": the learning rate follows the schedule PiecewiseConstantDecay, so it can't "
      "be set; make the optimizer with a number",
      sgd.set_learning_rate(0.1));
  EXPECT_ERROR(StateError, "learning_rate: the schedule is empty",
               optimizers::SGD({.learning_rate = LearningRateSchedule()}));
}

TEST(Optimizers, CountWholeUpdatesWhereGradientsAreAccumulated) {
  Sequential model = line(1);
  const Optimizer sgd = optimizers::SGD({.learning_rate = 0.25, .gradient_accumulation_steps = 2});
  model.compile({.optimizer = sgd, .loss = "mse"});
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 1);
  EXPECT_EQ(sgd.iterations(), 0);
  model.train_on_batch(Tensor({0.f}), zero);  // a gradient of 0: the mean is 1
  EXPECT_EQ(weight_of(model), 0.75);
  EXPECT_EQ(sgd.iterations(), 1);
}

TEST(Optimizers, LeaveExcludedWeightsUndecayed) {
  const auto train = [](ExcludeFromWeightDecayArgs (*exclude)(const Model&)) {
    Sequential model({Input({1}), Dense(1, {.kernel_initializer = "ones", .bias_initializer = "ones"})});
    const Optimizer sgd = optimizers::SGD({.learning_rate = 0.5, .weight_decay = 0.5});
    model.compile({.optimizer = sgd, .loss = "mse"});
    sgd.exclude_from_weight_decay(exclude(model));
    model.train_on_batch(zero, one);  // the gradient is 0
    EXPECT_ERROR(StateError, "must be called before the first step", sgd.exclude_from_weight_decay({}));
    const std::vector<Tensor> weights = model.get_weights();
    return std::pair(weights[0].item(), weights[1].item());
  };
  EXPECT_EQ(train([](const Model&) { return ExcludeFromWeightDecayArgs{}; }), std::pair(0.75, 0.75));
  EXPECT_EQ(train([](const Model&) { return ExcludeFromWeightDecayArgs{.var_names = {"bi", "gamma"}}; }),
            std::pair(0.75, 1.0));
  EXPECT_EQ(train([](const Model& m) {
              return ExcludeFromWeightDecayArgs{.var_list = {m.trainable_weights()[0]}};
            }),
            std::pair(1.0, 0.75));
  EXPECT_ERROR(ValueError, "var_names: \"[\" is no regular expression",
               optimizers::SGD().exclude_from_weight_decay({.var_names = {"["}}));
}

TEST(Optimizers, LossScaleLeavesOutStepsWithInfiniteGradients) {
  Sequential model = line(1);
  const Optimizer optimizer = optimizers::LossScaleOptimizer(
      optimizers::SGD({.learning_rate = 0.25, .momentum = 0.5, .use_ema = true}),
      {.initial_scale = 8, .dynamic_growth_steps = 2});
  model.compile({.optimizer = optimizer, .loss = "mse"});
  OptimizerImpl& impl = optimizer.impl();
  const auto scale = [&] { return impl.variables()[1].item(); };
  const auto slot = [&](const char* name) {
    return impl.inner().slot(model.trainable_weights()[0], name)->item();
  };
  EXPECT_EQ(optimizer.learning_rate(), 0.25);
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.5);
  EXPECT_EQ(scale(), 8);
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, std::nanf(""), 1e30f}) {
    model.train_on_batch(Tensor({bad}), zero);
    EXPECT_EQ(weight_of(model), 0.5);
    EXPECT_EQ(slot("momentum"), -0.5);
    EXPECT_EQ(slot("average"), 0.5);
    EXPECT_EQ(optimizer.iterations(), 1);
  }
  EXPECT_EQ(scale(), 1);
  model.train_on_batch(Tensor({0.f}), zero);
  model.train_on_batch(Tensor({0.f}), zero);
  EXPECT_EQ(scale(), 2);  // two steps without
  EXPECT_EQ(optimizer.iterations(), 3);
}

TEST(Optimizers, LossScaleSwitchesOffTheInnerOne) {
  const Optimizer inner = optimizers::SGD({.loss_scale_factor = 4});
  const Optimizer outer = optimizers::LossScaleOptimizer(inner);
  EXPECT_TRUE(inner.get_config().at("loss_scale_factor").is_null());
  Sequential model = line(1), other = line(1);
  model.compile({.optimizer = outer, .loss = "mse"});
  EXPECT_ERROR(StateError, "already trains another model",
               other.compile({.optimizer = inner, .loss = "mse"}));
}

TEST(Optimizers, ConstraintsComeAfterAveragesAndUpdates) {
  Sequential model({Input({1}), Dense(1, {.use_bias = false,
                                          .kernel_initializer = "ones",
                                          .kernel_constraint = constraints::MaxNorm(0.25)})});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.25, .use_ema = true}), .loss = "mse"});
  model.train_on_batch(one, zero);
  EXPECT_NEAR(weight_of(model), 0.25, 1e-6);
  EXPECT_EQ(model.optimizer().impl().slot(model.trainable_weights()[0], "average")->item(), 0.5);  // as Keras
}

TEST(Optimizers, TrainInFloat32AfterASchedule) {
  const Tensor x = initializers::RandomNormal({.stddev = 1, .seed = 1})({32, 5});
  const Tensor y = initializers::RandomNormal({.stddev = 1, .seed = 2})({32, 1});
  for (const std::string name : {"Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl",
                                 "Lamb", "Lion", "Muon", "Nadam", "RMSprop", "SGD"}) {
    Sequential model({Input({5}), Dense(8, {.activation = "relu"}), Dense(1)});
    Config config = Optimizer(name).get_config();
    const double rate = name == "Adadelta" ? 2 : name == "Ftrl" ? 0.5 : 0.02;
    config["learning_rate"] = schedules::serialize(
        schedules::CosineDecay(0.5 * rate, 100, {.warmup_target = rate, .warmup_steps = 5}));
    config["use_ema"] = true;
    config["clipnorm"] = 10;
    config["gradient_accumulation_steps"] = 2;
    model.compile(
        {.optimizer = optimizers::deserialize(Config::Dict{{"class_name", name}, {"config", config}}),
         .loss = "mse"});
    const History history = model.fit(x, y, {.batch_size = 8, .epochs = 20, .verbose = 0});
    EXPECT_LT(history["loss"].back(), 0.9 * history["loss"].front()) << name;
  }
}

TEST(Optimizers, MuonLeavesEmbeddingsToAdam) {
  Sequential model({Input({3}), Dense(4, {.name = "My_Embedding"}), Dense(2, {.name = "b"})});
  for (const bool exclude : {true, false}) {
    model.compile({.optimizer = optimizers::Muon({.exclude_embeddings = exclude}), .loss = "mse"});
    model.train_on_batch(Tensor::zeros({1, 3}), Tensor::zeros({1, 2}));
    std::vector<bool> by_adam;
    for (const Variable& weight : model.trainable_weights())
      by_adam.push_back(model.optimizer().impl().slot(weight, "velocity") != nullptr);
    EXPECT_EQ(by_adam, (std::vector<bool>{exclude, true, false, true}));
  }
}

TEST(Optimizers, AdafactorKeepsRowsAndColumnsOfTheLastTwoAxes) {
  Sequential model({Input({8, 8, 3}), Conv2D(5, 3), Flatten(), Dense(2)});
  model.compile({.optimizer = optimizers::Adafactor(), .loss = "mse"});
  const Tensor x = initializers::RandomNormal({.stddev = 1, .seed = 1})({4, 8, 8, 3});
  const Tensor y = Tensor::full({4, 2}, 1);
  const double before = model.train_on_batch(x, y)["loss"];
  model.reset_metrics();
  for (int i = 0; i < 20; i++) model.train_on_batch(x, y);
  model.reset_metrics();
  EXPECT_LT(model.test_on_batch(x, y)["loss"], before);
  const OptimizerImpl& adafactor = model.optimizer().impl();
  const std::vector<Variable> weights = model.trainable_weights();
  EXPECT_EQ(adafactor.slot(weights[0], "r")->shape(), (Shape{3, 3, 3}));
  EXPECT_EQ(adafactor.slot(weights[0], "c")->shape(), (Shape{3, 3, 5}));
  EXPECT_EQ(adafactor.slot(weights[0], "velocity"), nullptr);
  EXPECT_EQ(adafactor.slot(weights[1], "velocity")->shape(), (Shape{5}));
  EXPECT_EQ(adafactor.slot(weights[1], "r"), nullptr);
}

TEST(Schedules, NameTheArgumentThatIsOutOfRange) {
  using namespace schedules;
  EXPECT_ERROR(ValueError,
               "CosineDecay: decay_steps must be positive, but it is 0; give a number of training steps",
               CosineDecay(0.1, 0));
  EXPECT_ERROR(ValueError, "CosineDecay: alpha must be in [0, 1]", CosineDecay(0.1, 10, {.alpha = 2}));
  EXPECT_ERROR(ValueError, "CosineDecay: warmup_steps must not be negative, but it is -1",
               CosineDecay(0.1, 10, {.warmup_steps = -1}));
  EXPECT_ERROR(ValueError, "CosineDecayRestarts: first_decay_steps must be positive, but it is -1",
               CosineDecayRestarts(0.1, -1));
  EXPECT_ERROR(ValueError, "CosineDecayRestarts: t_mul must be at least 1",
               CosineDecayRestarts(0.1, 1, {.t_mul = 0.5}));
  EXPECT_ERROR(ValueError,
               "ExponentialDecay: initial_learning_rate must be finite and not negative, but it is -0.1",
               ExponentialDecay(-0.1, 1, 0.5));
  EXPECT_ERROR(ValueError, "InverseTimeDecay: decay_rate must be finite and not negative, but it is -1",
               InverseTimeDecay(0.1, 1, -1));
  EXPECT_ERROR(ValueError,
               "there must be one value more than boundaries, and a boundary at least, but boundaries = [1] "
               "and values = [0.1]",
               PiecewiseConstantDecay({1}, {0.1}));
  EXPECT_ERROR(ValueError, "PiecewiseConstantDecay: boundaries must increase, but they are [2, 2]",
               PiecewiseConstantDecay({2, 2}, {0.1, 0.1, 0.1}));
  EXPECT_ERROR(ValueError, "PolynomialDecay: power must be finite and not negative, but it is -2",
               PolynomialDecay(0.1, 10, {.power = -2}));
}

TEST(Schedules, MayBeOnesOwn) {
  struct Harmonic : LearningRateScheduleImpl {
    graph::Value operator()(graph::Value step) const override { return 0.5 / (step + 1.0); }
  };
  Sequential model = line(1);
  const Optimizer sgd =
      optimizers::SGD({.learning_rate = LearningRateSchedule(std::make_shared<Harmonic>())});
  model.compile({.optimizer = sgd, .loss = "mae"});
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.5);
  EXPECT_EQ(sgd.learning_rate(), 0.25);
  model.train_on_batch(one, zero);
  EXPECT_EQ(weight_of(model), 0.25);
  EXPECT_ERROR(StateError, "the learning-rate schedule Harmonic can't be written into a configuration",
               sgd.get_config());
}

TEST(Schedules, CountStepsExactly) {
  const auto late = schedules::PiecewiseConstantDecay({double(1LL << 40)}, {1, 2});
  EXPECT_EQ(late(1LL << 40), 1);
  EXPECT_EQ(late((1LL << 40) + 1), 2);
  // Every period of a cosine begins with its full rate, however long the periods have become.
  for (const double t_mul : {2.0, 3.0, 1.5}) {
    const auto restarts = schedules::CosineDecayRestarts(1, 1024, {.t_mul = t_mul});
    double begin = 0, length = 1024;
    for (int period = 0; period < 11; period++, begin += length, length *= t_mul)
      if (begin == std::floor(begin)) {
        EXPECT_NEAR(restarts(static_cast<std::int64_t>(begin)), 1, 1e-9) << begin;
      }
  }
}

}  // namespace
}  // namespace kiln
