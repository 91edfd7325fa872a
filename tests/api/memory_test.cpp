// What steps need: known when they are compiled, the same as what the programs say.
#include "kiln/graph/ops.h"
#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;

constexpr std::int64_t features = 100, units = 50, classes = 10;
constexpr std::int64_t weight_bytes = 4 * (features * units + units + units * classes + classes);

Sequential make_model() {
  return Sequential({Input({features}), Dense(units, {.activation = "relu"}), Dense(classes)});
}
CompileArgs with_adam() {
  return {.optimizer = "adam",
          .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
          .metrics = {"accuracy"}};
}

TEST(Memory, SaysWhatEachKindOfStepNeeds) {
  Sequential model = make_model();
  model.compile(with_adam());
  const Memory memory = model.memory({.batch_size = 16});
  ASSERT_EQ(memory.steps.size(), 3u);
  const StepMemory& train = memory.step("train");
  EXPECT_EQ(train.batch_size, 16);
  EXPECT_EQ(train.weights, weight_bytes);
  EXPECT_EQ(train.optimizer, 2 * weight_bytes + 4 + 8);  // slots, learning rate, iterations
  EXPECT_EQ(train.others, 4 * 8);                        // sum and count of loss and accuracy
  EXPECT_EQ(train.inputs, 16 * (4 * features + 4));      // f32 rows, i32 labels
  EXPECT_EQ(train.outputs, 0);
  EXPECT_EQ(train.total(), train.weights + train.optimizer + train.others + train.constants + train.inputs +
                               train.outputs + train.arena + train.scratch);
  const StepMemory& test = memory.step("test");
  EXPECT_EQ(test.weights, weight_bytes);
  EXPECT_EQ(test.optimizer, 0);
  EXPECT_LT(test.arena, train.arena);
  const StepMemory& predict = memory.step("predict");
  EXPECT_EQ(predict.inputs, 16 * 4 * features);
  EXPECT_EQ(predict.outputs, 16 * 4 * classes);
  EXPECT_EQ(predict.others, 0);

  // The same as the programs', which are those that training uses.
  const auto programs = model.programs();
  ASSERT_EQ(programs.size(), 3u);
  EXPECT_EQ(programs[0]->arena_bytes, train.arena);
  EXPECT_EQ(programs[0]->intermediate_bytes, train.intermediates);
  model.train_on_batch(Tensor::zeros({16, features}), Tensor::zeros({16}, DType::i32));
  EXPECT_EQ(model.programs().size(), 3u);
}

TEST(Memory, NamesTheArraysAtThePeak) {
  Sequential model = make_model();
  model.compile(with_adam());
  const Memory memory = model.memory({.batch_size = 256});
  const StepMemory& train = memory.step("train");
  ASSERT_FALSE(train.arrays.empty());
  // relu's result: the weights' gradient needs it.
  EXPECT_EQ(train.arrays[0].type, "f32[256,50]");
  EXPECT_EQ(train.arrays[0].bytes, 256 * units * 4);
  EXPECT_NE(train.arrays[0].kernel.find("dot"), std::string::npos);
  std::int64_t bytes = 0;
  for (const ArrayMemory& a : train.arrays) {
    EXPECT_LE(a.first, train.peak);
    EXPECT_GE(a.last, train.peak);
    EXPECT_LE(a.bytes, train.arrays[0].bytes);
    bytes += a.bytes;
  }
  EXPECT_LE(bytes, train.arena);
  const std::string text = memory.to_string();
  for (const char* part : {"train x256", "test x256", "predict x256", "arena", "f32[256,50]", "dense"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " isn't in\n" << text;
}

// Of what a pooling reads nothing is kept for its gradient, only where the maxima are, a byte each: beside
// the convolution's result on the way there, and its gradient on the way back, there is little else.
TEST(Memory, PoolingKeepsPlaces) {
  for (const char* activation : {"relu", "sigmoid", "tanh"}) {
    for (std::int64_t window : {2, 3}) {
      const auto input = Input({32, 32, 8});
      auto y = layers::Conv2D(16, 1, {.activation = activation})(input);
      y = layers::MaxPooling2D(window, {.strides = 2, .padding = "same"})(y);
      Model model({.inputs = {input}, .outputs = {Dense(classes)(layers::Flatten()(y))}});
      model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
      const Memory memory = model.memory({.batch_size = 16});
      const StepMemory& train = memory.step("train");
      const std::int64_t convolved = 16 * 32 * 32 * 16 * 4;
      // Windows side by side: neither the convolution's result nor its gradient is ever an array.
      const bool apart = window == 2;
      EXPECT_GT(train.arena, apart ? convolved / 4 : convolved);
      EXPECT_LT(train.arena, apart ? convolved : convolved * 1.7) << activation << "\n" << memory.to_string();
    }
  }
}

TEST(Memory, TakesTheTypesThatWereSeen) {
  Sequential model = make_model();
  model.compile(with_adam());
  model.train_on_batch(Tensor::zeros({8, features}, DType::u8), Tensor::zeros({8, 1}, DType::i32));
  EXPECT_EQ(model.memory({.batch_size = 4}).step("train").inputs, 4 * (features + 4));
}

/// Takes labels of any shape, but expects, as losses do, those of the predictions'.
struct AnyLabels : LossImpl {
  AnyLabels() : LossImpl("any_labels", "sum_over_batch_size") {}
  graph::Value values(graph::Value, graph::Value p) const override { return graph::reduce_mean(p * p, {1}); }
  graph::Value arrange(graph::Value y, graph::Value) const override { return y; }
};

// "accuracy" means another metric for one-hot labels than for class numbers, which `memory` expects.
TEST(Memory, BeforeTheDataChangesNothing) {
  const auto accuracy = [](bool ask_first) {
    set_random_seed(1);
    Sequential model = make_model();
    model.compile({.optimizer = "sgd", .loss = Loss(std::make_shared<AnyLabels>()), .metrics = {"accuracy"}});
    if (ask_first) model.memory({.batch_size = 4});
    const Tensor x = Tensor::full({4, features}, 0.5);
    const Tensor labels({std::int32_t{3}, std::int32_t{0}, std::int32_t{1}, std::int32_t{9}});
    Logs logs = model.test_on_batch(x, labels);
    return std::pair(logs["loss"], logs["accuracy"]);
  };
  EXPECT_EQ(accuracy(true), accuracy(false));
}

TEST(Memory, WithoutCompileOnlyThePrediction) {
  Sequential model = make_model();
  const Memory memory = model.memory();
  ASSERT_EQ(memory.steps.size(), 1u);
  EXPECT_EQ(memory.steps[0].mode, "predict");
  EXPECT_ERROR(ValueError, "there is no step \"train\"; there are \"predict\"", memory.step("train"));
}

TEST(Memory, ErrorsSayWhatIsMissing) {
  Sequential open({Dense(3)});
  EXPECT_ERROR(StateError, "isn't built", open.memory());
  Sequential unknown({Input({None, None, 1}), Conv2D(2, 3), GlobalAveragePooling2D()});
  EXPECT_ERROR(ShapeError, "(None, None, None, 1)", unknown.memory());
  unknown.predict_on_batch(Tensor::zeros({1, 5, 6, 1}));
  EXPECT_EQ(unknown.memory({.batch_size = 2}).step("predict").inputs, 2 * 5 * 6 * 4);
  Sequential model = make_model();
  EXPECT_ERROR(ValueError, "memory: batch_size must be positive, but it is 0",
               model.memory({.batch_size = 0}));
}

}  // namespace
}  // namespace kiln
