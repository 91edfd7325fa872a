// Trains a classifier on a folder of PNG and JPEG images that has a folder for each class.
// Options: --folder PATH, --size of the images in pixels, --epochs, --batch-size.
#include <kiln/kiln.h>

#include <cstdio>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

int main(int argc, char** argv) {
  const Options options(argc, argv);
  const std::string folder = options.text("folder", "");
  if (folder.empty()) {
    std::printf("Give a folder with a folder of images for each class: image_folder --folder PATH\n");
    return 1;
  }
  set_random_seed(1);
  const std::int64_t size = options.number("size", 96);
  const auto part = [&](const char* subset) {
    return data::image_dataset_from_directory(folder, {.batch_size = options.number("batch-size", 32),
                                                       .image_size = size,
                                                       .seed = 1,
                                                       .validation_split = 0.2,
                                                       .subset = subset});
  };
  const data::ImageDataset train = part("training"), validation = part("validation");
  const auto classes = static_cast<std::int64_t>(train.class_names.size());

  Sequential model({
      Input({size, size, 3}),
      Rescaling(1.0 / 255),
      Conv2D(16, 3, {.padding = "same", .activation = "relu"}),
      MaxPooling2D(4),
      Conv2D(32, 3, {.padding = "same", .activation = "relu"}),
      GlobalAveragePooling2D(),
      Dense(classes),
  });
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  // Files are read, and images mirrored, while the model trains on the batch before.
  const data::Dataset augmented = train.map(RandomFlip("horizontal"), {.training = true}).prefetch(1);
  model.fit(augmented, {.epochs = options.number("epochs", 5), .validation_data = validation});
  std::printf("validation accuracy %.4f\n", model.evaluate(validation, {.verbose = 0})["accuracy"]);
}
