// A model that a device goes on training. LeNet learns Fashion-MNIST here; the device's camera gives
// negatives, of which the model knows little, and a few pictures of its own are enough to teach it: its
// convolutions stay as they are, its Dense layers learn. Writes NAME.o, NAME.h, and pictures.h for adapt.c.
//
//     export_training --out build/device/lenet --target thumbv7em-none-eabihf --cpu cortex-m4
#include <kiln/kiln.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "../options.h"
#include "c_file.h"
#include "network.h"

using namespace kiln;
using namespace kiln::layers;

// Of 0 to 255 the other end.
static Tensor negatives(const Tensor& images) {
  Tensor result = images.clone();
  auto* pixels = result.data<std::uint8_t>();
  for (std::int64_t i = 0; i < result.size(); i++) pixels[i] = static_cast<std::uint8_t>(255 - pixels[i]);
  return result;
}

static int right(const Model& model, const Tensor& x, const Tensor& y) {
  const std::vector<int> guesses = best_of(model.predict(x, {.verbose = 0})).to_vector<int>();
  const std::vector<int> classes = y.to_vector<int>();
  int count = 0;
  for (std::size_t i = 0; i < classes.size(); i++) count += guesses[i] == classes[i];
  return count;
}

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::string out = options.text("out", "lenet");
  constexpr std::int64_t batch_size = 8, pictures = 640, tests = 200;
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0));

  Sequential model = lenet();
  const Loss loss = losses::SparseCategoricalCrossentropy({.from_logits = true});
  model.compile({.optimizer = "adam", .loss = loss, .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = 128, .epochs = options.number("epochs", 3), .verbose = 2});

  for (const Layer& layer : model.layers())
    if (layer.class_name() == "Conv2D") Layer(layer).set_trainable(false);
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.001}), .loss = loss});
  model.export_training_step(
      out, {.target = options.text("target", ""), .cpu = options.text("cpu", ""), .batch_size = batch_size});

  // What the device does, done here: it should come to the same.
  const Tensor x = negatives(test.x.slice(0, pictures)), y = test.y.slice(0, pictures);
  const Tensor test_x = negatives(test.x.slice(pictures, pictures + tests)),
               test_y = test.y.slice(pictures, pictures + tests);
  const int before = right(model, test_x, test_y);
  for (std::int64_t i = 0; i < pictures; i += batch_size)
    model.train_on_batch(x.slice(i, i + batch_size), y.slice(i, i + batch_size));

  CFile file((std::filesystem::path(out).parent_path() / "pictures.h").string());
  file.define("PICTURES", pictures);
  file.define("TESTS", tests);
  file.define("RIGHT_BEFORE", before);
  file.define("RIGHT_AFTER", right(model, test_x, test_y));
  file.bytes("pictures", x);
  file.bytes("picture_classes", y);
  file.bytes("tests", test_x);
  file.bytes("test_classes", test_y);
  std::printf("wrote %s.o, %s.h and pictures.h\n", out.c_str(), out.c_str());
}
