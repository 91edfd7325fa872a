// The functional API: two branches of convolutions over one image, joined by their channels.
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", 10000);

  auto x = Input({28, 28, 1});
  auto image = Rescaling(1.0 / 255)(x);
  auto fine = Conv2D(8, 3, {.strides = 2, .padding = "same", .activation = "relu"})(image);
  auto coarse = Conv2D(8, 7, {.strides = 2, .padding = "same", .activation = "relu"})(image);
  auto joined = MaxPooling2D(2)(Concatenate()({fine, coarse}));
  auto y = Dense(10)(Dropout(0.2)(Flatten()(joined)));
  Model model({.inputs = {x}, .outputs = {y}, .name = "two_branches"});
  model.summary();

  model.compile({.optimizer = "adam",
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = 64,
             .epochs = options.number("epochs", 5),
             .callbacks = {callbacks::EarlyStopping({.patience = 2, .restore_best_weights = true})},
             .validation_split = 0.1});

  auto result = model.evaluate(test.x, test.y, {.batch_size = 500});
  std::printf("test accuracy %.4f\n", result["accuracy"]);
}
