// Console text against what Keras 3.15.1 prints for the same models and times (its own source, run on JAX;
// the clock replaced).
#include "api/console/progress_bar.h"
#include "api/console/table.h"
#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;
using testing::CapturedConsole;

TEST(Summary, OfASequentialModel) {
  const CapturedConsole console(false, 100);
  Sequential model(
      {Input({28, 28, 1}), Rescaling(1.0 / 255, {.name = "rescaling"}),
       Conv2D(6, 5, {.padding = "same", .name = "conv2d"}), MaxPooling2D(2, {.name = "max_pooling2d"}),
       Flatten({.name = "flatten"}), Dense(10, {.name = "dense"})},
      {.name = "lenet"});
  EXPECT_EQ(model.summary_text(), R"(Model: "lenet"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                         ┃ Output Shape                ┃         Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩
│ rescaling (Rescaling)                │ (None, 28, 28, 1)           │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ conv2d (Conv2D)                      │ (None, 28, 28, 6)           │             156 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ max_pooling2d (MaxPooling2D)         │ (None, 14, 14, 6)           │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ flatten (Flatten)                    │ (None, 1176)                │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dense (Dense)                        │ (None, 10)                  │          11,770 │
└──────────────────────────────────────┴─────────────────────────────┴─────────────────┘
 Total params: 11,926 (46.59 KB)
 Trainable params: 11,926 (46.59 KB)
 Non-trainable params: 0 (0.00 B)
)");
  EXPECT_EQ(model.summary_text({.show_trainable = true}), R"(Model: "lenet"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ Layer (type)                        ┃ Output Shape                 ┃       Param # ┃ Traina… ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ rescaling (Rescaling)               │ (None, 28, 28, 1)            │             0 │    -    │
├─────────────────────────────────────┼──────────────────────────────┼───────────────┼─────────┤
│ conv2d (Conv2D)                     │ (None, 28, 28, 6)            │           156 │    Y    │
├─────────────────────────────────────┼──────────────────────────────┼───────────────┼─────────┤
│ max_pooling2d (MaxPooling2D)        │ (None, 14, 14, 6)            │             0 │    -    │
├─────────────────────────────────────┼──────────────────────────────┼───────────────┼─────────┤
│ flatten (Flatten)                   │ (None, 1176)                 │             0 │    -    │
├─────────────────────────────────────┼──────────────────────────────┼───────────────┼─────────┤
│ dense (Dense)                       │ (None, 10)                   │        11,770 │    Y    │
└─────────────────────────────────────┴──────────────────────────────┴───────────────┴─────────┘
 Total params: 11,926 (46.59 KB)
 Trainable params: 11,926 (46.59 KB)
 Non-trainable params: 0 (0.00 B)
)");
}

TEST(Summary, OfBranchesNamesTheConnections) {
  const CapturedConsole console(false, 100);
  const auto x = Input({8, 8, 1}, {.name = "image"});
  const auto a = Conv2D(2, 1, {.name = "first"})(x);
  const auto b = Conv2D(3, 3, {.padding = "same", .name = "second_branch_with_a_long_name"})(a);
  Layer shared = Dense(4, {.name = "shared"});
  const auto joined = GlobalAveragePooling2D({.name = "gap"})(Concatenate({.name = "join"})({a, b}));
  const auto y = Dense(10, {.name = "out"})(shared(shared(Dense(4, {.name = "pre"})(joined))));
  Model model({.inputs = {x}, .outputs = {y}, .name = "branches"});
  EXPECT_EQ(model.summary_text({.line_length = 100}), R"(Model: "branches"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                ┃ Output Shape            ┃        Param # ┃ Connected to            ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ image (InputLayer)          │ (None, 8, 8, 1)         │              0 │ -                       │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ first (Conv2D)              │ (None, 8, 8, 2)         │              4 │ image[0][0]             │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ second_branch_with_a_long_… │ (None, 8, 8, 3)         │             57 │ first[0][0]             │
│ (Conv2D)                    │                         │                │                         │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ join (Concatenate)          │ (None, 8, 8, 5)         │              0 │ first[0][0],            │
│                             │                         │                │ second_branch_with_a_l… │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ gap                         │ (None, 5)               │              0 │ join[0][0]              │
│ (GlobalAveragePooling2D)    │                         │                │                         │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ pre (Dense)                 │ (None, 4)               │             24 │ gap[0][0]               │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ shared (Dense)              │ (None, 4)               │             20 │ pre[0][0], shared[0][0] │
├─────────────────────────────┼─────────────────────────┼────────────────┼─────────────────────────┤
│ out (Dense)                 │ (None, 10)              │             50 │ shared[1][0]            │
└─────────────────────────────┴─────────────────────────┴────────────────┴─────────────────────────┘
 Total params: 155 (620.00 B)
 Trainable params: 155 (620.00 B)
 Non-trainable params: 0 (0.00 B)
)");
}

TEST(Summary, OfNestedUnbuiltAndUnbranchedModels) {
  const CapturedConsole console(false, 100);
  Sequential inner({Input({4}), Dense(3, {.name = "d1"})}, {.name = "inner"});
  Sequential outer({Input({4}), inner, Dense(2, {.name = "d2"})}, {.name = "outer"});
  EXPECT_EQ(outer.summary_text({.line_length = 70, .expand_nested = true}), R"(Model: "outer"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┓
┃ Layer (type)                 ┃ Output Shape          ┃     Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━┩
│ inner (Sequential)           │ (None, 3)             │          15 │
├──────────────────────────────┼───────────────────────┼─────────────┤
│    └ d1 (Dense)              │ (None, 3)             │          15 │
├──────────────────────────────┼───────────────────────┼─────────────┤
│ d2 (Dense)                   │ (None, 2)             │           8 │
└──────────────────────────────┴───────────────────────┴─────────────┘
 Total params: 23 (92.00 B)
 Trainable params: 23 (92.00 B)
 Non-trainable params: 0 (0.00 B)
)");
  Sequential unbuilt({Dense(2, {.name = "d3"})}, {.name = "unbuilt"});
  EXPECT_EQ(unbuilt.summary_text({.line_length = 60}), R"(Model: "unbuilt"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┓
┃ Layer (type)             ┃ Output Shape      ┃   Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━┩
│ d3 (Dense)               │ ?                 │         0 │
│                          │                   │ (unbuilt) │
└──────────────────────────┴───────────────────┴───────────┘
 Total params: 0 (0.00 B)
 Trainable params: 0 (0.00 B)
 Non-trainable params: 0 (0.00 B)
)");
  const auto x = Input({8, 8, 1}, {.name = "im"});
  Model chain({.inputs = {x},
               .outputs = {Flatten({.name = "flat"})(Conv2D(2, 1, {.name = "c"})(x))},
               .name = "chain"});
  EXPECT_EQ(chain.summary_text({.line_length = 70}), R"(Model: "chain"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┓
┃ Layer (type)                 ┃ Output Shape          ┃     Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━┩
│ im (InputLayer)              │ (None, 8, 8, 1)       │           0 │
├──────────────────────────────┼───────────────────────┼─────────────┤
│ c (Conv2D)                   │ (None, 8, 8, 2)       │           4 │
├──────────────────────────────┼───────────────────────┼─────────────┤
│ flat (Flatten)               │ (None, 128)           │           0 │
└──────────────────────────────┴───────────────────────┴─────────────┘
 Total params: 4 (16.00 B)
 Trainable params: 4 (16.00 B)
 Non-trainable params: 0 (0.00 B)
)");
}

TEST(Summary, CountsTheOptimizersArraysOnceItHasThem) {
  Sequential model({Input({4}), Dense(3), Dense(2)});
  model.layers()[0].set_trainable(false);
  model.compile({.optimizer = "adam", .loss = "mse"});
  EXPECT_EQ(model.summary_text().find("Optimizer params"), std::string::npos);
  model.train_on_batch(Tensor::zeros({1, 4}), Tensor::zeros({1, 2}));
  // Eight weights are trained, with two slots each; iteration (8 bytes) and learning rate (4) besides.
  EXPECT_NE(model.summary_text().find(" Optimizer params: 18 (76.00 B)\n"), std::string::npos)
      << model.summary_text();
  EXPECT_NE(model.summary_text().find(" Total params: 41 (168.00 B)\n"), std::string::npos);
  EXPECT_NE(model.summary_text().find(" Trainable params: 8 (32.00 B)\n"), std::string::npos);
  EXPECT_NE(model.summary_text().find(" Non-trainable params: 15 (60.00 B)\n"), std::string::npos);
}

// The times and values of one run of the bar.
void play(internal::ProgressBar& bar, double& time) {
  const struct {
    std::int64_t step;
    double time;
    Logs logs;
  } updates[] = {{1, 102, {{"accuracy", 0.5}, {"loss", 2.25}}},
                 {2, 102.01, {{"accuracy", 0.5}, {"loss", 2.25}}},
                 {100, 103, {{"accuracy", 0.6}, {"loss", 1.5}}},
                 {300, 200, {{"accuracy", 0.65}, {"loss", 0.0005}}}};
  for (const auto& u : updates) {
    time = u.time;
    bar.update(u.step, u.logs);
  }
  time = 303.4;
  bar.update(469, {{"accuracy", 0.91234}, {"loss", 0.29909}, {"val_loss", 0.001}}, true);
}

TEST(ProgressBar, RedrawsOnATerminalAsKerasDoes) {
  CapturedConsole console(true);
  double time = 100;
  internal::ProgressBar bar(469, 1, [&] { return time; });
  play(bar, time);
  EXPECT_EQ(console.text,
            "\r\x1b[1m  1/469\x1b[0m \x1b[37m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m15:36\x1b[0m 2s/step - "
            "accuracy: 0.5000 - "
            "loss: 2.2500"
            "\r\x1b[1m100/469\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m3s\x1b[0m "
            "10ms/step - "
            "accuracy: 0.6000 - loss: 1.5000 "
            "\r\x1b[1m300/469\x1b[0m \x1b[32m━━━━━━━━━━━━\x1b[0m\x1b[37m━━━━━━━━\x1b[0m \x1b[1m55s\x1b[0m "
            "328ms/step - "
            "accuracy: 0.6500 - loss: 5.0000e-04"
            "\r\x1b[1m469/469\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m203s\x1b[0m "
            "430ms/step - "
            "accuracy: 0.9123 - loss: 0.2991 - val_loss: 1.0000e-03\n");
}

TEST(ProgressBar, PrintsOnceIntoAFile) {
  CapturedConsole console(false);
  double time = 100;
  internal::ProgressBar bar(469, 1, [&] { return time; });
  play(bar, time);
  EXPECT_EQ(console.text,
            "469/469 ━━━━━━━━━━━━━━━━━━━━ 203s 430ms/step - accuracy: 0.9123 - loss: 0.2991 - val_loss: "
            "1.0000e-03\n");
}

TEST(ProgressBar, VerboseTwoIsOneLine) {
  for (bool terminal : {false, true}) {
    CapturedConsole console(terminal);
    double time = 100;
    internal::ProgressBar bar(469, 2, [&] { return time; });
    play(bar, time);
    EXPECT_EQ(console.text,
              "469/469 - 203s - 430ms/step - accuracy: 0.9123 - loss: 0.2991 - val_loss: 1.0000e-03\n");
  }
}

// Times differ from run to run: everything but them.
std::string without_times(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    const std::size_t step = text.find("/step", i);
    if (step == std::string::npos) return out + text.substr(i);
    std::size_t begin = text.rfind(' ', step);
    begin = text.rfind(' ', begin - 1);
    out += text.substr(i, begin - i) + " <times>";
    i = step + 4;
  }
  return out;
}

TEST(Console, OfFitEvaluateAndPredict) {
  CapturedConsole console;
  Sequential model = testing::line(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0}), .loss = "mse", .metrics = {"mae"}});
  const Tensor x({1.f, 2.f, 3.f});
  const Tensor y = Tensor::zeros({3});
  model.fit(x, y, {.batch_size = 2, .epochs = 2, .validation_data = {x, y}});
  const std::string line = "2/2 ━━━━━━━━━━━━━━━━━━━━ <times> - loss: 4.6667 - mae: 2.0000";
  EXPECT_EQ(without_times(console.text), "Epoch 1/2\n" + line +
                                             " - val_loss: 4.6667 - val_mae: 2.0000\nEpoch 2/2\n" + line +
                                             " - val_loss: 4.6667 - val_mae: 2.0000\n");
  console.text.clear();
  model.fit(x, y, {.batch_size = 2});
  EXPECT_EQ(without_times(console.text), line + "\n");
  console.text.clear();
  model.evaluate(x, y, {.batch_size = 2});
  EXPECT_EQ(without_times(console.text), line + "\n");
  console.text.clear();
  model.predict(x, {.batch_size = 2});
  EXPECT_EQ(without_times(console.text), "2/2 ━━━━━━━━━━━━━━━━━━━━ <times>\n");
  console.text.clear();
  model.fit(x, y, {.verbose = 0});
  model.evaluate(x, y, {.verbose = 0});
  model.predict(x, {.verbose = 0});
  EXPECT_EQ(console.text, "");
}

}  // namespace
}  // namespace kiln
