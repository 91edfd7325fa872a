// Case 13: labels that name no class, in every type, through every way into a model. The error names the
// label and the user's row, and nothing has changed.
#include <cstdint>
#include <functional>

#include "tests/api/cases_support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::floats;
using testing::ramp;

constexpr std::int64_t rows = 11;

Sequential classifier(bool from_logits = false) {
  Sequential model({Input({1}), Dense(3, {.activation = from_logits ? "linear" : "softmax"})});
  model.compile({.optimizer = optimizers::Adam(),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = from_logits}),
                 .metrics = {"accuracy"}});
  return model;
}

/// Labels 2, but one.
Tensor labels(std::size_t bad, double wrong, DType dtype) {
  std::vector<double> values(rows, 2);
  values[bad] = wrong;
  return Tensor(values).astype(dtype);
}

/// Runs `use`, which must throw ValueError with this text and leave weights and optimizer as they were.
void expect_refused(Sequential& model, const std::string& text, const std::function<void()>& use) {
  const auto before = model.get_weights();
  const std::int64_t steps = model.optimizer().iterations();
  EXPECT_ERROR(ValueError, text, use());
  for (std::size_t i = 0; i < before.size(); i++)
    EXPECT_EQ(floats(model.get_weights()[i]), floats(before[i]));
  EXPECT_EQ(model.optimizer().iterations(), steps);
}

TEST(Case13, NoTypeOfLabelGetsThrough) {
  struct Wrong {
    DType dtype;
    double label;
    const char* shown;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x(ramp(rows), {rows, 1});
  for (bool from_logits : {false, true}) {
    Sequential model = classifier(from_logits);
    for (const Wrong& w : std::initializer_list<Wrong>{{DType::i32, 3, "3"},
                                                       {DType::i32, -1, "-1"},
                                                       {DType::i32, -2147483648.0, "-2147483648"},
                                                       {DType::i64, 1000000, "1000000"},
                                                       {DType::i64, 4294967297.0, "4294967297"},
                                                       {DType::u8, 3, "3"},
                                                       {DType::u8, 255, "255"},
                                                       {DType::f32, 3, "3"},
                                                       {DType::f32, -1, "-1"},
                                                       {DType::f32, nan, "nan"},
                                                       {DType::f64, 1e300, "1e+300"}}) {
      const std::string text =
          "sparse_categorical_crossentropy: label " + std::string(w.shown) + " in row 4 is outside [0, 3)";
      const Tensor y = labels(4, w.label, w.dtype);
      expect_refused(model, text, [&] { model.train_on_batch(x, y); });
      expect_refused(model, text, [&] { model.test_on_batch(x, y); });
      expect_refused(model, text, [&] { model.train_on_batch(x, y.reshape({rows, 1})); });
    }
  }
}

TEST(Case13, TheRowIsTheUsersWhicheverWayTheLabelsCame) {
  const Tensor x(ramp(rows), {rows, 1});
  const Tensor good = labels(0, 2, DType::i32);
  for (std::size_t bad : {0, 4, 10}) {  // in the first batch, a middle one, the short last one
    const Tensor y = labels(bad, 7, DType::i32);
    const std::string text = "label 7 in row " + std::to_string(bad) + " is outside [0, 3)";
    Sequential model = classifier();
    model.fit(x, good, {.batch_size = 1, .verbose = 0});
    const auto fit = [&](FitArgs args) {
      args.batch_size = 4;
      args.verbose = 0;
      EXPECT_ERROR(ValueError, text, model.fit(x, y, args));
    };
    for (bool shuffle : {false, true}) {
      fit({.shuffle = shuffle});
      fit({.shuffle = shuffle, .sample_weight = Tensor::full({rows}, 1)});
      fit({.validation_split = 0.1, .shuffle = shuffle});  // rows 9 and 10 are validated on
      fit({.validation_split = 0.7, .shuffle = shuffle});  // rows 3 to 10 are validated on, in two batches
      fit({.validation_split = 0.7, .shuffle = shuffle, .validation_batch_size = 3});
    }
    expect_refused(model, text, [&] { model.evaluate(x, y, {.batch_size = 4, .verbose = 0}); });
    expect_refused(model, text, [&] { model.train_on_batch(x, y); });
    expect_refused(model, text, [&] { model.test_on_batch(x, y); });
    EXPECT_ERROR(ValueError, text,
                 model.fit(x, good, {.batch_size = 4, .verbose = 0, .validation_data = {x, y}}));
  }
}

TEST(Case13, ASequencesRowIsItsSample) {
  Sequential model({Input({4, 2}), Dense(3, {.activation = "softmax"})});
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  Tensor y = Tensor::zeros({5, 4}, DType::i32);
  y(3, 2) = 3;
  expect_refused(model, "label 3 in row 3 ", [&] { model.train_on_batch(Tensor::zeros({5, 4, 2}), y); });
}

TEST(Case13, AMetricRefusesAsALossDoes) {
  const Tensor p({{0.2f, 0.5f, 0.3f}, {0.2f, 0.5f, 0.3f}});
  for (std::int32_t wrong : {3, -1}) {
    const std::string text = "label " + std::to_string(wrong) + " in row 1 is outside [0, 3)";
    EXPECT_ERROR(ValueError, text, losses::SparseCategoricalCrossentropy()(Tensor({0, wrong}), p));
    EXPECT_ERROR(ValueError, text, metrics::SparseCategoricalAccuracy()(Tensor({0, wrong}), p));
    EXPECT_ERROR(ValueError, text, metrics::SparseCategoricalCrossentropy()(Tensor({0, wrong}), p));
  }
  // The metric alone notices it where the loss takes any number.
  Sequential model({Input({1}), Dense(1)});
  model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"sparse_categorical_accuracy"}});
  expect_refused(model, "sparse_categorical_accuracy: label 5 in row 1 is outside [0, 1)",
                 [&] { model.train_on_batch(Tensor({{1.f}, {2.f}}), Tensor({{0}, {5}})); });
}

}  // namespace
}  // namespace kiln
