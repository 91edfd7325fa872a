// Trains LeNet on Fashion-MNIST and exports it for one machine: NAME.o, NAME.h, and images.h with test images
// for the C programs beside this file. README.md shows how they are put together.
//
//     train_and_export --out build/device/lenet --target thumbv7em-none-eabihf --cpu cortex-m4
#include <kiln/kiln.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "../options.h"
#include "c_file.h"
#include "network.h"

using namespace kiln;
using namespace kiln::layers;

// `count` test images with their classes and what the model takes them for on this machine.
static void write_images(const std::string& path, const datasets::Split& test, const Tensor& scores,
                         std::int64_t count) {
  CFile file(path);
  file.define("IMAGES", count);
  file.bytes("images", test.x.slice(0, count));
  file.bytes("classes", test.y.slice(0, count));
  file.bytes("guesses", best_of(scores));
}

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::string out = options.text("out", "lenet");
  const std::int64_t images = options.number("images", 200);
  set_random_seed(1);
  auto [train, test] = datasets::fashion_mnist::load_data();
  const std::int64_t samples = options.number("train-samples", train.x.dim(0));

  Sequential model = lenet();
  model.compile({.optimizer = "adam",
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  model.fit(train.x.slice(0, samples), train.y.slice(0, samples),
            {.batch_size = 128, .epochs = options.number("epochs", 5), .verbose = 2});

  model.export_library(out, {.target = options.text("target", ""), .cpu = options.text("cpu", "")});
  const Tensor scores = model.predict(test.x.slice(0, images), {.verbose = 0});
  write_images((std::filesystem::path(out).parent_path() / "images.h").string(), test, scores, images);
  std::printf("wrote %s.o, %s.h and images.h\n", out.c_str(), out.c_str());
}
