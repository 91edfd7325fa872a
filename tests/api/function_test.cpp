// Functions over symbolic tensors, gradients in them, and training loops made of them.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <thread>

#include "tests/api/support.h"
#include "tests/support/bits.h"

using namespace kiln;
using namespace kiln::layers;
using graph::Value;
using kiln::testing::same_bits;

namespace {

// Rows of three numbers and two targets, always the same.
Tensor rows(std::int64_t count, std::int64_t columns, double step) {
  Tensor t({count, columns}, DType::f32);
  for (std::int64_t i = 0; i < count * columns; i++)
    t.data<float>()[i] = static_cast<float>(std::fmod(static_cast<double>(i) * step, 1) - 0.5);
  return t;
}

Sequential small_model() {
  set_random_seed(3);
  return Sequential({Input({3}), Dense(8, {.activation = "tanh"}), Dense(2)});
}

}  // namespace

TEST(Function, ComputesWhatItsBodySays) {
  const auto hypotenuse = function([](Value a, Value b) { return graph::sqrt(a * a + b * b); });
  const Tensor c = hypotenuse(Tensor({3.f, 5.f}), Tensor({4.f, 12.f}));
  EXPECT_EQ(c.to_string(), Tensor({5.f, 13.f}).to_string());
  EXPECT_EQ(hypotenuse(Tensor({{8.f}}), Tensor({{15.f}})).to_string(), Tensor({{17.f}}).to_string());
  EXPECT_EQ(hypotenuse.programs().size(), 2u);
}

TEST(Function, ReturnsSeveralValuesOrNone) {
  const auto both = function([](Value x) { return std::array{graph::reduce_sum(x), graph::reduce_max(x)}; });
  const auto [sum, most] = both(Tensor({1.f, 5.f, 2.f}));
  EXPECT_EQ(sum.item(), 8);
  EXPECT_EQ(most.item(), 5);
  const auto parts = function([](std::span<const Value> xs) {
    std::vector<Value> doubled;
    for (Value x : xs) doubled.push_back(x * 2.0);
    return doubled;
  });
  const std::vector<Tensor> ys = parts(Tensor({1.f}), Tensor({2.f}), Tensor({3.f}));
  ASSERT_EQ(ys.size(), 3u);
  EXPECT_EQ(ys[2].item(), 6);
  const Variable count({.shape = {}, .initializer = "zeros"}, DType::f32);
  const auto tick = function([&](Call& call) { call.assign(count, call(count) + 1.0); });
  tick();
  tick();
  EXPECT_EQ(count.value().item(), 2);
}

TEST(Function, GivesAnArgumentBack) {
  const auto same = function([](Value x) { return std::array{x, x}; });
  const Tensor x({1.f, 2.f});
  const auto [a, b] = same(x);
  EXPECT_TRUE(same_bits(a, x));
  EXPECT_TRUE(same_bits(b, x));
  EXPECT_NE(a.raw(), x.raw());
}

TEST(Function, AWeightReadAfterItWasAssignedIsTheNewOne) {
  const Variable w({.shape = {}, .initializer = "ones"}, DType::f32);
  const auto twice = function([&](Call& call, Value x) {
    call.assign(w, call(w) + x);
    call.assign(w, call(w) * x);
    return call(w);
  });
  EXPECT_EQ(twice(Tensor::scalar(3, DType::f32)).item(), 12);
  EXPECT_EQ(w.value().item(), 12);
}

TEST(Function, GradientsOfGradients) {
  const auto third = function([](Value x) {
    const Value y = graph::reduce_sum(x * x * x);
    const Value first = gradient(y, {x})[0];
    return gradient(graph::reduce_sum(first * first), {x})[0];  // d/dx (3 x^2)^2 = 36 x^3
  });
  EXPECT_EQ(third(Tensor({1.f, 2.f})).to_string(), Tensor({36.f, 288.f}).to_string());
}

// The loop of one's own is `fit`: same bits in weights, losses and metrics.
TEST(Function, ATrainingLoopGivesTheBitsOfFit) {
  const Tensor x = rows(24, 3, 0.377), y = rows(24, 2, 0.213);
  Sequential fitted = small_model();
  fitted.compile({.optimizer = optimizers::Adam({.learning_rate = 0.05}), .loss = "mse", .metrics = {"mae"}});
  const History history = fitted.fit(x, y, {.batch_size = 8, .epochs = 3, .verbose = 0, .shuffle = false});

  Sequential model = small_model();
  const Optimizer optimizer = optimizers::Adam({.learning_rate = 0.05});
  const Loss mse = "mse";
  const Metric mae = "mae", mean = metrics::Mean();
  const auto train_step = function(
      [&](Call& call, Value x, Value y) {
        const Value p = model(call, x);
        const Value loss = mse(y, p);
        const auto weights = model.trainable_weights();
        optimizer.apply(call, gradient(call, loss, weights), weights);
        mae.update_state(call, y, p);
        mean.update_state(call, loss);
      },
      {.name = "train_step", .training = true});
  for (std::size_t epoch = 0; epoch < 3; epoch++) {
    mae.reset_state();
    mean.reset_state();
    for (std::int64_t i = 0; i < 24; i += 8) train_step(x.slice(i, i + 8), y.slice(i, i + 8));
    EXPECT_EQ(mae.result(), history.history.at("mae")[epoch]);
    EXPECT_EQ(mean.result(), history.history.at("loss")[epoch]);
  }
  const auto a = fitted.get_weights(), b = model.get_weights();
  for (std::size_t i = 0; i < a.size(); i++) EXPECT_TRUE(same_bits(a[i], b[i])) << i;
  EXPECT_EQ(optimizer.iterations(), 9);
  EXPECT_TRUE(same_bits(fitted.predict(x, {.verbose = 0}), model.predict(x, {.verbose = 0})));
}

TEST(Function, RegularizersAndActivityCountThroughLosses) {
  set_random_seed(3);
  Sequential model({Input({2}), Dense(2, {.use_bias = false,
                                          .kernel_initializer = "ones",
                                          .kernel_regularizer = regularizers::L2(0.5)})});
  const auto total = function([&](Call& call, Value x) {
    Value loss = graph::reduce_sum(model(call, x));
    for (Value penalty : model.losses(call)) loss = loss + penalty;
    return loss;
  });
  EXPECT_EQ(total(Tensor({{1.f, 2.f}})).item(), 6 + 2);
}

TEST(Function, TheModeIsTheFunctionsOrTheCalls) {
  const Layer dropout = Dropout(0.5);
  const Tensor ones = Tensor::full({1000}, 1, DType::f32).reshape({1, 1000});
  const auto zeros_in = [](const Tensor& t) {
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < 1000; i++) n += t.data<float>()[i] == 0;
    return n;
  };
  const auto trains =
      function([&](Call& call, Value x) { return std::array{dropout(call, x), dropout(call, x, {false})}; },
               {.training = true});
  const auto [dropped, kept] = trains(ones);
  EXPECT_NEAR(static_cast<double>(zeros_in(dropped)), 500, 100);
  EXPECT_EQ(zeros_in(kept), 0);
  const auto [other, same] = trains(ones);
  EXPECT_FALSE(same_bits(dropped, other)) << "each run has other random numbers";
  const auto infers = function([&](Call& call, Value x) {
    return std::array{dropout(call, x), dropout(call, x, {.training = true})};
  });
  const auto [inferred, wanted] = infers(ones);
  EXPECT_EQ(zeros_in(inferred), 0);
  EXPECT_NEAR(static_cast<double>(zeros_in(wanted)), 500, 100);
}

TEST(Function, BuildsLayersAtTheFirstCall) {
  Sequential model({Dense(4), Dense(1)});
  const auto forward = function([&](Call& call, Value x) { return model(call, x); });
  EXPECT_EQ(forward(rows(5, 3, 0.3)).shape(), Shape({5, 1}));
  EXPECT_EQ(model.weights().size(), 4u);
  EXPECT_EQ(model.predict(rows(7, 3, 0.3), {.verbose = 0}).shape(), Shape({7, 1}));
}

// A layer that keeps a moving mean and is called twice in one step moves it twice, as in Keras.
TEST(Function, BatchNormalizationCalledTwiceMovesTwice) {
  const Layer norm = BatchNormalization({.momentum = 0.5});
  const auto step =
      function([&](Call& call, Value a, Value b) { return std::array{norm(call, a), norm(call, b)}; },
               {.training = true});
  step(Tensor({{4.f}, {4.f}}), Tensor({{8.f}, {8.f}}));
  EXPECT_EQ(norm.non_trainable_weights()[0].value().item(), 0.5 * (0.5 * 0 + 0.5 * 4) + 0.5 * 8);
}

TEST(Function, TwoOptimizersTrainTwoPartsOfAStep) {
  const Variable a({.name = "a", .shape = {}, .initializer = "ones"}, DType::f32);
  const Variable b({.name = "b", .shape = {}, .initializer = "ones"}, DType::f32);
  const Optimizer first = optimizers::SGD({.learning_rate = 0.5}),
                  second = optimizers::SGD({.learning_rate = 1});
  const auto step = function([&](Call& call) {
    const Value loss = call(a) * call(b);
    const auto for_a = gradient(call, loss, {a}), for_b = gradient(call, loss, {b});
    first.apply(call, for_a, {a});
    second.apply(call, for_b, {b});
    return loss;
  });
  EXPECT_EQ(step().item(), 1);
  EXPECT_EQ(a.value().item(), 0.5);
  EXPECT_EQ(b.value().item(), 0);
}

// One step may hold several updates: the second starts where the first ended.
TEST(Function, SeveralUpdatesInOneStep) {
  const Variable w({.name = "w", .shape = {}, .initializer = "ones"}, DType::f32);
  const Optimizer momentum = optimizers::SGD({.learning_rate = 0.25, .momentum = 0.5});
  const auto step = [&](Call& call) {
    const Value loss = call(w) * call(w);
    momentum.apply(call, gradient(call, loss, {w}), {w});
  };
  const auto twice = function([&](Call& call) {
    step(call);
    step(call);
  });
  twice();
  // w = 1: v = -0.5, w = 0.5; then v = -0.25 - 0.25, w = 0
  EXPECT_EQ(w.value().item(), 0);
  EXPECT_EQ(momentum.iterations(), 2);
}

TEST(Function, ThreadsThatTrainOneModelWaitForEachOther) {
  Sequential model({Input({1}), Dense(1, {.use_bias = false, .kernel_initializer = "zeros"})});
  const auto weights = model.trainable_weights();
  const auto add_one = function([&](Call& call) { call.assign(weights[0], call(weights[0]) + 1.0); });
  const auto also_one = function([&](Call& call) { call.assign(weights[0], call(weights[0]) + 1.0); });
  std::thread other([&] {
    for (int i = 0; i < 200; i++) also_one();
  });
  for (int i = 0; i < 200; i++) add_one();
  other.join();
  EXPECT_EQ(model.predict(Tensor({{1.f}}), {.verbose = 0}).item(), 400);
}

// Two states that get the same value stay two, of whole numbers as well.
TEST(Function, StatesWithEqualValuesStayApart) {
  const Variable a({.name = "a", .shape = {}, .initializer = "zeros"}, DType::i64),
      b({.name = "b", .shape = {}, .initializer = "zeros"}, DType::i64);
  const auto step = function([&](Call& call, Value x) {
    call.assign(a, x);
    call.assign(b, x);
    call.assign(b, call(b) + 1.0);
  });
  step(Tensor::scalar(5, DType::i64));
  EXPECT_EQ(a.value().item(), 5);
  EXPECT_EQ(b.value().item(), 6);
  const auto fibonacci = function([&](Call& call) {
    const Value before = call(b);
    call.assign(b, call(a) + call(b));
    call.assign(a, before);
  });
  fibonacci();
  fibonacci();
  EXPECT_EQ(a.value().item(), 11);
  EXPECT_EQ(b.value().item(), 17);
}

TEST(Function, FunctionsThatShareAMetricWaitForEachOther) {
  const Metric sum = metrics::Sum();
  const auto body = [&](Call& call, Value x) { sum.update_state(call, x); };
  const auto one = function(body), other = function(body);
  const Tensor x = Tensor::full({100}, 1, DType::f32);
  one(x);
  other(x);
  sum.reset_state();
  std::thread thread([&] {
    for (int i = 0; i < 1000; i++) one(x);
  });
  for (int i = 0; i < 1000; i++) other(x);
  thread.join();
  EXPECT_EQ(sum.result(), 200000);
}

TEST(Function, MeansTakeValuesAndTheirWeights) {
  const Metric mean = metrics::Mean(), accuracy = "accuracy";
  const auto step = function([&](Call& call, Value x, Value w) { mean.update_state(call, x, w); });
  step(Tensor({10.f, 20.f}), Tensor({1.f, 3.f}));
  EXPECT_EQ(mean.result(), 17.5);
  const auto wrong = function([&](Call& call, Value x) { accuracy.update_state(call, x); });
  EXPECT_ERROR(TypeError, "metric \"accuracy\": update_state needs targets and predictions",
               wrong(Tensor({1.f})));
}

TEST(Function, OneOptimizerOfTwoTypesFollowsItsRate) {
  const Variable a({.name = "a", .shape = {}, .initializer = "ones"}, DType::f32),
      b({.name = "b", .shape = {}, .initializer = "ones"}, DType::f64);
  const Optimizer sgd = optimizers::SGD({.learning_rate = 0.5});
  const auto train = [&](const Variable& w) {
    return function([&](Call& call) { sgd.apply(call, gradient(call, call(w), {w}), {w}); });
  };
  const auto of_a = train(a), of_b = train(b);
  of_a();
  of_b();
  sgd.set_learning_rate(0.25);
  of_a();
  of_b();
  EXPECT_EQ(a.value().item(), 0.25);
  EXPECT_EQ(b.value().item(), 0.25);
}

TEST(Function, LossesAreTheLayersOwn) {
  const Layer one = Dense(1, {.kernel_initializer = "ones", .activity_regularizer = "l2"}),
              other = Dense(1, {.kernel_initializer = "ones"});
  const auto count = function([&](Call& call, Value x) {
    other(call, one(call, x));
    return graph::full(x.graph(), {DType::f32, {}},
                       static_cast<double>(10 * one.losses(call).size() + other.losses(call).size()));
  });
  EXPECT_EQ(count(Tensor({{1.f}})).item(), 10);
}

TEST(Function, AMovedOneIsStillThere) {
  auto twice = function([](Value x) { return x * 2.0; });
  const auto moved = std::move(twice);
  EXPECT_EQ(moved(Tensor({1.f})).item(), 2);
  EXPECT_EQ(twice(Tensor({1.f})).item(), 2);
}

TEST(Function, ItsBodyMayNotUseItself) {
  std::function<Tensor(Tensor)> again;
  const auto loops = function(
      [&](Value x) {
        again(Tensor({1.f}));
        return x;
      },
      {.name = "loops"});
  again = [&](const Tensor& t) { return loops(t); };
  EXPECT_ERROR(StateError, "function \"loops\": its body uses the function itself", loops(Tensor({1.f})));
}

TEST(Function, ForgetWritesTheBodyDownAnew) {
  double factor = 2;
  const auto scale = function([&](Value x) { return x * factor; });
  EXPECT_EQ(scale(Tensor({1.f})).item(), 2);
  factor = 3;
  EXPECT_EQ(scale(Tensor({1.f})).item(), 2);
  scale.forget();
  EXPECT_EQ(scale(Tensor({1.f})).item(), 3);
}

TEST(Function, AValueOfAnotherFunctionIsRefused) {
  Value kept;
  const auto f = function([&](Value x) {
    kept = x * 2.0;
    return kept;
  });
  const Tensor x = Tensor::zeros({4, 4});
  f(x);
  const auto g = function([&](Value v) { return v * kept; }, {.name = "g"});
  EXPECT_ERROR(StateError, "g (mul): operand 1 is of another graph", g(x));
}

TEST(Function, EmptyOnesAreRefused) {
  EXPECT_ERROR(ValueError, "function: the body is empty", function(std::function<Value(Value)>()));
  const auto empty_loss = function([](Call& call, Value) { return gradient(call, Value(), {}); });
  EXPECT_ERROR(ValueError, "there are no variables", empty_loss(Tensor({1.f})));
  const auto empty_y = function([](Value x) { return gradient(Value(), {x})[0]; });
  EXPECT_ERROR(StateError, "gradient: y is an empty Value", empty_y(Tensor({1.f})));
}

TEST(Function, MistakesSayWhatIsWrong) {
  const auto add = function([](Value a, Value b) { return a + b; }, {.name = "add"});
  EXPECT_ERROR(ShapeError, "function \"add\" takes 2 tensors, but got 1", add(Tensor({1.f})));
  EXPECT_ERROR(StateError, "function \"add\": tensor 0 is empty", add(Tensor(), Tensor({1.f})));
  const auto empty = function([](Value) { return Value(); }, {.name = "empty"});
  EXPECT_ERROR(
      StateError,
      "function \"empty\": the body returned an empty Value, one that no op made; return what its last "
      "op gives",
      empty(Tensor({1.f})));
  const Variable w({.name = "w", .shape = {2}}, DType::f32);
  const auto nothing = function(
      [&](Call& call, Value x) { return gradient(call, graph::reduce_sum(x), {w}); }, {.name = "nothing"});
  EXPECT_ERROR(
      ValueError,
      "No gradients provided for any variable: [\"w\"]. The loss of function \"nothing\" doesn't depend "
      "on its weights: a loss or layer ignores its input, or uses ops without a gradient (argmax, "
      "comparisons, stop_gradient, whole numbers)",
      nothing(Tensor({1.f})));
  Layer dense = Dense(1, {.name = "scores"});
  dense(Input({2}));
  const auto without = function(
      [&](Call& call, Value x) { return gradient(call, graph::reduce_sum(x), dense.trainable_weights()); });
  EXPECT_ERROR(ValueError, "for any variable: [\"scores/kernel\", \"scores/bias\"]", without(Tensor({1.f})));
  const auto none = function([&](Call& call, Value x) { return gradient(call, graph::reduce_sum(x), {}); });
  EXPECT_ERROR(
      ValueError,
      "gradient: there are no variables: the model isn't built yet, or all of it is frozen; call it before",
      none(Tensor({1.f})));
  const Optimizer sgd = optimizers::SGD();
  const auto uneven = function([&](Call& call, Value x) { sgd.apply(call, {x, x}, {w}); });
  EXPECT_ERROR(ShapeError, "optimizer \"sgd\": apply got 2 gradients for 1 variables; give one for each",
               uneven(Tensor({1.f, 2.f})));
  const auto other_shape = function([&](Call& call, Value x) { sgd.apply(call, {x}, {w}); });
  EXPECT_ERROR(ShapeError, "optimizer \"sgd\": the gradient of \"w\" has shape (1,), but the variable (2,)",
               other_shape(Tensor({1.f})));
  const auto assigned = function([&](Call& call, Value x) { call.assign(w, x); }, {.name = "f"});
  EXPECT_ERROR(ShapeError, "layer \"f\": weight \"w\" has shape (2,), but is assigned shape (1,)",
               assigned(Tensor({1.f})));
  EXPECT_ERROR(TypeError, "layer \"f\": weight \"w\" is float32, but is assigned int32; convert the value",
               assigned(Tensor({1, 2})));
}
