// What was trained once is used again: parts of models as features, frozen layers under new ones, weights
// from files.
#include <gtest/gtest.h>

#include "tests/api/support.h"
#include "tests/support/bits.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::hash_labels;
using testing::hash_signed;
using testing::same_bits;

/// A small classifier of images of 8 x 8 with batch normalization; its features come before "head".
Sequential base() {
  return Sequential({Input({8, 8, 1}), Conv2D(4, 3, {.name = "conv"}), BatchNormalization({.name = "norm"}),
                     ReLU({.name = "relu"}), GlobalAveragePooling2D({.name = "features"}),
                     Dense(3, {.name = "head"})});
}

struct Transfer : ::testing::Test {
  Tensor x = hash_signed("transfer x", {32, 8, 8, 1}), y = hash_labels("transfer y", {32}, 3);
  Sequential model = base();
  void SetUp() override {
    model.compile(
        {.optimizer = "adam", .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
    model.fit(x, y, {.batch_size = 16, .epochs = 3, .verbose = 0});
  }
};

TEST_F(Transfer, TheFirstPartOfAModelGivesItsFeatures) {
  const Model features({.inputs = model.inputs(), .outputs = {model.get_layer("features").output()}});
  const Tensor seen = features.predict(x, {.verbose = 0});
  ASSERT_EQ(seen.shape(), (Shape{32, 4}));
  const auto head = function([&](Call& call, graph::Value v) { return model.get_layer("head")(call, v); });
  EXPECT_LE(testing::relative_error(head(seen), model.predict(x, {.verbose = 0})), 1e-6);
  // Several at once, the model's own result among them.
  const Model both(
      {.inputs = {model.input()}, .outputs = {model.get_layer("conv").output(), model.output()}});
  const std::vector<Tensor> ys = both.predict_all(x, {.verbose = 0});
  EXPECT_EQ(ys[0].shape(), (Shape{32, 6, 6, 4}));
  EXPECT_TRUE(same_bits(ys[1], model.predict(x, {.verbose = 0})));
}

TEST_F(Transfer, FrozenLayersStayUnderANewHead) {
  model.set_trainable(false);
  const SymbolicTensor out = Dense(2, {.name = "new_head"})(model.get_layer("features").output());
  Model tuned({.inputs = model.inputs(), .outputs = {out}});
  EXPECT_EQ(tuned.trainable_weights().size(), 2u);
  const std::vector<Tensor> before = model.get_weights();
  tuned.compile({.optimizer = "adam", .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  const Tensor labels = hash_labels("transfer new", {32}, 2);
  const History history = tuned.fit(x, labels, {.batch_size = 16, .epochs = 5, .verbose = 0});
  EXPECT_LT(history["loss"].back(), history["loss"].front());
  const std::vector<Tensor> after = model.get_weights();  // moving statistics, too: a frozen one infers
  for (std::size_t i = 0; i < before.size(); i++) EXPECT_TRUE(same_bits(before[i], after[i])) << i;

  // Fine-tuning: the convolution as well, the normalization still at rest.
  model.get_layer("conv").set_trainable(true);
  tuned.fit(x, labels, {.batch_size = 16, .epochs = 1, .verbose = 0});
  const std::vector<Tensor> finer = model.get_weights();
  EXPECT_FALSE(same_bits(before[0], finer[0]));
  for (std::size_t i = 2; i < before.size(); i++) EXPECT_TRUE(same_bits(before[i], finer[i])) << i;
}

TEST_F(Transfer, PretrainedWeightsComeFromAFile) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() + "/base.safetensors";
  model.save_weights(file);
  Sequential other = base();
  other.load_weights(file);
  const Model features({.inputs = other.inputs(), .outputs = {other.get_layer("features").output()}});
  const Model expected({.inputs = model.inputs(), .outputs = {model.get_layer("features").output()}});
  EXPECT_TRUE(same_bits(features.predict(x, {.verbose = 0}), expected.predict(x, {.verbose = 0})));
}

TEST(LayerTensors, AModelInsideAnotherIsAModel) {
  Sequential inner({Input({4}), Dense(2, {.name = "last"})}, {.name = "inner"});
  Sequential outer({Input({4}), inner, Dense(1, {.name = "head"})});
  EXPECT_EQ(Model(outer.get_layer("inner")).get_layer("last"), inner.get_layer("last"));
  EXPECT_ERROR(TypeError, "layer \"head\" is no model, but of class Dense", Model(outer.get_layer("head")));
}

TEST(LayerTensors, AreThoseOfTheFirstCall) {
  const auto a = Input({4}), b = Input({4});
  const Layer dense = Dense(2, {.name = "shared"});
  EXPECT_ERROR(StateError, "layer \"shared\" has no output: it was never called", dense.output());
  const SymbolicTensor first = dense(a), second = dense(b);
  EXPECT_EQ(dense.output(), first);
  EXPECT_NE(dense.output(), second);
  EXPECT_EQ(dense.input(), a);
  EXPECT_ERROR(StateError, "layer \"add_it\" has 2 inputs; `input` is for layers with one", {
    const Layer add = Add({.name = "add_it"});
    const SymbolicTensor sum = add({first, second});
    add.input();
  });
  EXPECT_ERROR(StateError, "model \"bare\" has no input yet",
               Sequential({Dense(1)}, {.name = "bare"}).input());
  EXPECT_ERROR(StateError, "model \"two\" has 2 outputs; `output` is for models with one",
               Model({.inputs = {a, b}, .outputs = {first, second}, .name = "two"}).output());
}

}  // namespace
}  // namespace kiln
