// Image files and folders of them.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "tests/api/image_files.h"
#include "tests/api/support.h"
#include "tests/support/files.h"

namespace kiln::data {
namespace {

using testing::message_of;
using testing::read_file;
using testing::TemporaryFolder;
using testing::write_file;
using testing::write_jpeg;
using testing::write_png;

Tensor filled(std::int64_t height, std::int64_t width, const std::vector<std::uint8_t>& pixel) {
  Tensor image({height, width, static_cast<std::int64_t>(pixel.size())}, DType::u8);
  for (std::int64_t i = 0; i < image.size(); i++)
    image.data<std::uint8_t>()[i] = pixel[static_cast<std::size_t>(i) % pixel.size()];
  return image;
}
/// Pixels that differ: ramps down, across and along the channels.
Tensor ramp(std::int64_t height, std::int64_t width, std::int64_t channels) {
  Tensor image({height, width, channels}, DType::u8);
  auto* p = image.data<std::uint8_t>();
  for (std::int64_t y = 0; y < height; y++)
    for (std::int64_t x = 0; x < width; x++)
      for (std::int64_t c = 0; c < channels; c++)
        *p++ = static_cast<std::uint8_t>(20 + 5 * y + 3 * x + 40 * c);
  return image;
}
std::vector<int> ints(const Tensor& t) {
  return t.to_vector<int>();
}

TEST(LoadImage, PngInEachMode) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.png";
  const Tensor rgb = ramp(4, 5, 3);
  write_png(path, rgb);
  EXPECT_EQ(load_image(path).shape(), (Shape{4, 5, 3}));
  EXPECT_EQ(load_image(path).dtype(), DType::u8);
  EXPECT_EQ(ints(load_image(path)), ints(rgb));
  const Tensor with_alpha = load_image(path, {.color_mode = "rgba"});
  EXPECT_EQ(with_alpha.shape(), (Shape{4, 5, 4}));
  EXPECT_EQ(with_alpha(3, 4, 3), 255);
  write_png(path, filled(1, 1, {100, 200, 50}));
  EXPECT_EQ(ints(load_image(path, {.color_mode = "grayscale"})), (std::vector<int>{153}));
  write_png(path, filled(1, 2, {10, 20, 30, 0}));
  EXPECT_EQ(ints(load_image(path)), (std::vector<int>{10, 20, 30, 10, 20, 30}))
      << "no background shines through";
  EXPECT_EQ(ints(load_image(path, {.color_mode = "rgba"})), (std::vector<int>{10, 20, 30, 0, 10, 20, 30, 0}));
  const Tensor grey = ramp(3, 3, 1);
  write_png(path, grey);
  EXPECT_EQ(ints(load_image(path, {.color_mode = "grayscale"})), ints(grey));
  EXPECT_EQ(load_image(path)(2, 2, 1), grey(2, 2, 0));
}

TEST(LoadImage, JpegInEachMode) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.png";  // the content counts, not the name
  const Tensor rgb = ramp(16, 24, 3);
  write_jpeg(path, rgb);
  const Tensor read = load_image(path);
  ASSERT_EQ(read.shape(), rgb.shape());
  for (std::int64_t i = 0; i < rgb.size(); i++)
    EXPECT_NEAR(ints(read)[static_cast<std::size_t>(i)], ints(rgb)[static_cast<std::size_t>(i)], 12);
  EXPECT_EQ(load_image(path, {.color_mode = "rgba"})(5, 5, 3), 255);
  EXPECT_EQ(load_image(path, {.color_mode = "grayscale"}).shape(), (Shape{16, 24, 1}));
  write_jpeg(path, filled(8, 8, {77}));
  EXPECT_EQ(load_image(path)(3, 3, 2), 77);
}

TEST(LoadImage, DamagedFilesAreNamedWithTheReason) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.jpg";
  const auto fault = [&](const std::string& content) {
    write_file(path, content);
    const std::string message = message_of<FileError>([&] { load_image(path); });
    EXPECT_EQ(message.substr(0, path.size() + 2), path + ": ");
    return message.substr(std::min(message.size(), path.size() + 2));
  };
  EXPECT_EQ(fault(""), "not an image: the file is empty");
  EXPECT_EQ(fault("GIF89a"), "not an image: it begins neither as PNG nor as JPEG files do");
  write_png(path, ramp(40, 40, 3));
  const std::string png = read_file(path);
  EXPECT_EQ(fault(png.substr(0, 20)), "the PNG file is damaged: read beyond end of data");
  EXPECT_EQ(fault(png.substr(0, png.size() / 2)), "the PNG file is damaged: read beyond end of data");
  std::string changed = png;
  changed[19] ^= 1;  // the width
  EXPECT_EQ(fault(changed), "the PNG file is damaged: IHDR: CRC error");
  write_jpeg(path, ramp(40, 40, 3));
  const std::string jpeg = read_file(path);
  EXPECT_EQ(fault(jpeg.substr(0, 10)), "the JPEG file is damaged: Premature end of JPEG file");
  EXPECT_EQ(fault(jpeg.substr(0, jpeg.size() - 40)), "the JPEG file is damaged: Premature end of JPEG file");
  EXPECT_EQ(fault(jpeg.substr(0, 3)), "the JPEG file is damaged: Premature end of JPEG file");
  write_jpeg(path, filled(8, 8, {1, 2, 3, 4}));
  EXPECT_EQ(fault(read_file(path)), "a JPEG file with CMYK colours can't be read; save it with RGB colours");
  EXPECT_EQ(message_of<FileError>([&] { load_image(folder / "none.png"); }),
            folder / "none.png" + ": can't open the file: No such file or directory");
}

TEST(LoadImage, NoChangedByteCrashesIt) {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  for (const bool png : {true, false}) {
    png ? write_png(path, ramp(12, 12, 3)) : write_jpeg(path, ramp(12, 12, 3));
    const std::string whole = read_file(path);
    for (std::size_t i = 0; i < whole.size(); i++)
      for (const int bits : {0xff, 0x01, 0x80}) {
        std::string changed = whole;
        changed[i] = static_cast<char>(changed[i] ^ bits);
        write_file(path, changed);
        try {
          EXPECT_EQ(load_image(path).rank(), 3);
        } catch (const FileError& error) {
          EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
        }
      }
    for (std::size_t n = 0; n < whole.size(); n++) {
      write_file(path, whole.substr(0, n));
      try {
        load_image(path);
      } catch (const FileError&) {
      }
    }
  }
}

TEST(LoadImage, AHeaderThatClaimsTooMuchIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.jpg";
  write_jpeg(path, ramp(8, 8, 1));
  std::string content = read_file(path);
  const std::size_t frame = content.find("\xff\xc0");
  content.replace(frame + 5, 4, "\xff\x00\xff\x00", 4);
  write_file(path, content);
  EXPECT_EQ(message_of<FileError>([&] { load_image(path); }),
            path + ": an image of 65280 x 65280 pixels is too large: 134217728 pixels can be read");
}

// ---- folders ----------------------------------------------------------------------------------------------

/// cats/0.png .. and dogs/0.jpg ..: grey images whose brightness is their class and number.
class ImageFolder : public ::testing::Test {
 protected:
  ImageFolder() {
    for (const char* name : {"cats", "dogs"}) std::filesystem::create_directory(folder_ / name);
    for (int i = 0; i < 4; i++) write_png(folder_ / "cats" + "/" + std::to_string(i) + ".png", grey(10 + i));
    std::filesystem::create_directory(folder_ / "dogs/deep");
    for (int i = 0; i < 3; i++)
      write_jpeg(folder_ / "dogs/deep" + "/" + std::to_string(i) + ".JPG", grey(100 + i));
    write_file(folder_ / "dogs/readme.txt", "not an image");
    write_file(folder_ / "cats/.hidden.png", "not an image");
  }
  static Tensor grey(int brightness) { return filled(6, 8, {static_cast<std::uint8_t>(brightness)}); }
  ImageDataset load(ImageDatasetArgs args) const {
    args.verbose = false;
    if (args.image_size == Size2{256, 256}) args.image_size = {2, 3};
    return image_dataset_from_directory(folder_.path(), args);
  }
  /// Brightness of each image, in the order of the iteration.
  static std::vector<int> brightness(const Dataset& dataset) {
    std::vector<int> all;
    for (const Item& batch : dataset)
      for (std::int64_t i = 0; i < batch.x[0].dim(0); i++)
        all.push_back(static_cast<int>(std::lround(batch.x[0](i, 0, 0, 0))));
    return all;
  }
  TemporaryFolder folder_;
};
const std::vector<int> kInOrder = {10, 11, 12, 13, 100, 101, 102};

TEST_F(ImageFolder, BatchesOfImagesWithInferredLabels) {
  const ImageDataset dataset = load({.batch_size = 4, .shuffle = false});
  EXPECT_EQ(dataset.class_names, (std::vector<std::string>{"cats", "dogs"}));
  EXPECT_EQ(dataset.file_paths.size(), 7u);
  EXPECT_EQ(dataset.cardinality(), 2);
  EXPECT_EQ(brightness(dataset), kInOrder);
  std::vector<int> labels;
  for (const Item& batch : dataset) {
    EXPECT_EQ(batch.x[0].shape().tail(), (Shape{2, 3, 3}));
    EXPECT_EQ(batch.x[0].dtype(), DType::f32);
    EXPECT_EQ(batch.y[0].dtype(), DType::i32);
    for (int label : batch.y[0].to_vector<int>()) labels.push_back(label);
  }
  EXPECT_EQ(labels, (std::vector<int>{0, 0, 0, 0, 1, 1, 1}));
}

TEST_F(ImageFolder, LabelModes) {
  for (const Item& b : load({.label_mode = "categorical", .batch_size = 7, .shuffle = false})) {
    EXPECT_EQ(b.y[0].shape(), (Shape{7, 2}));
    EXPECT_EQ(b.y[0](0, 0), 1);
    EXPECT_EQ(b.y[0](6, 1), 1);
    EXPECT_EQ(b.y[0](6, 0), 0);
  }
  for (const Item& b : load({.label_mode = "binary", .batch_size = 7, .shuffle = false})) {
    EXPECT_EQ(b.y[0].shape(), (Shape{7, 1}));
    EXPECT_EQ(b.y[0].dtype(), DType::f32);
    EXPECT_EQ(b.y[0](4, 0), 1);
  }
  for (const Item& b : load({.label_mode = std::nullopt})) EXPECT_TRUE(b.y.empty());
  for (const Item& b : load({.labels = std::nullopt})) EXPECT_TRUE(b.y.empty());
  for (const Item& b : load({.labels = std::vector<std::int64_t>{5, 4, 3, 2, 1, 0, 9}, .shuffle = false}))
    EXPECT_EQ(b.y[0].to_vector<int>(), (std::vector<int>{5, 4, 3, 2, 1, 0, 9}));
  const ImageDataset turned = load({.class_names = {"dogs", "cats"}, .shuffle = false});
  for (const Item& b : turned) EXPECT_EQ(b.y[0].to_vector<int>(), (std::vector<int>{0, 0, 0, 1, 1, 1, 1}));
}

TEST_F(ImageFolder, ColorModesAndSingleSamples) {
  for (const Item& b : load({.color_mode = "grayscale"})) EXPECT_EQ(b.x[0].shape(), (Shape{7, 2, 3, 1}));
  for (const Item& b : load({.color_mode = "rgba"})) EXPECT_EQ(b.x[0].shape(), (Shape{7, 2, 3, 4}));
  for (const Item& item : load({.batch_size = std::nullopt})) {
    EXPECT_EQ(item.x[0].shape(), (Shape{2, 3, 3}));
    EXPECT_EQ(item.y[0].shape(), Shape{});
  }
}

TEST_F(ImageFolder, ShufflesAnewAndReproducibly) {
  const ImageDataset dataset = load({.batch_size = 3, .seed = 1});
  const std::vector<int> first = brightness(dataset), second = brightness(dataset);
  EXPECT_NE(first, second);
  EXPECT_EQ(brightness(load({.batch_size = 3, .seed = 1})), first);
  std::vector<int> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, kInOrder);
}

TEST_F(ImageFolder, SplitsDoNotOverlap) {
  const auto part = [&](const char* subset) {
    return brightness(load({.seed = 9, .validation_split = 0.3, .subset = subset}));
  };
  std::vector<int> all = part("training");
  EXPECT_EQ(all.size(), 5u);
  for (int b : part("validation")) all.push_back(b);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, kInOrder);
}

TEST_F(ImageFolder, SizesAreInterpolatedAsResizingDoes) {
  const TemporaryFolder folder;
  const Tensor image = ramp(9, 14, 3);
  write_png(folder / "a.png", image);
  for (const char* interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"})
    for (const bool crop : {false, true})
      for (const Size2 size : {Size2{4, 5}, Size2{20, 30}, Size2{9, 14}, Size2{1, 1}}) {
        const ImageDataset dataset =
            image_dataset_from_directory(folder.path(), {.labels = std::nullopt,
                                                         .image_size = size,
                                                         .interpolation = interpolation,
                                                         .crop_to_aspect_ratio = crop,
                                                         .verbose = false});
        const Tensor expected =
            testing::run(layers::Resizing(size.height, size.width,
                                          {.interpolation = interpolation, .crop_to_aspect_ratio = crop}),
                         image.reshape({1, 9, 14, 3}));
        for (const Item& b : dataset) testing::expect_near(b.x[0], expected.to_vector<double>(), 1e-3);
      }
}

TEST_F(ImageFolder, SaysWhatItFound) {
  testing::CapturedConsole console;
  image_dataset_from_directory(folder_.path(), {.seed = 1, .validation_split = 0.3, .subset = "validation"});
  EXPECT_EQ(console.text, "Found 7 files belonging to 2 classes.\nUsing 2 files for validation.\n");
}

TEST_F(ImageFolder, ABrokenFileStopsFitWithItsName) {
  const std::string broken = folder_ / "dogs/broken.png";
  write_file(broken, "nonsense");
  Sequential model({Input({2, 3, 3}), layers::Flatten(), layers::Dense(2)});
  model.compile({.loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  EXPECT_EQ(message_of<FileError>([&] { model.fit(load({.batch_size = 2}), {.verbose = 0}); }),
            broken + ": not an image: it begins neither as PNG nor as JPEG files do");
  std::filesystem::remove(broken);
  EXPECT_EQ(model.fit(load({.batch_size = 2}), {.verbose = 0})["loss"].size(), 1u);
}

TEST_F(ImageFolder, Mistakes) {
  const std::string caller = "image_dataset_from_directory: ";
  const auto value_error = [&](ImageDatasetArgs args) {
    const std::string message = message_of<ValueError>([&] { load(args); });
    EXPECT_EQ(message.substr(0, caller.size()), caller);
    return message.substr(std::min(message.size(), caller.size()));
  };
  EXPECT_EQ(value_error({.labels = "guessed"}),
            "labels is \"guessed\"; give \"inferred\", a number for each file, or std::nullopt");
  EXPECT_EQ(value_error({.labels = std::vector<std::int64_t>{1, 2}}),
            "2 labels for 7 images in " + folder_.path() + "; each needs its own");
  EXPECT_EQ(value_error({.labels = std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, -1}}),
            "labels has -1; class numbers are whole numbers in [0, 2^20)");
  EXPECT_EQ(value_error({.labels = std::nullopt, .class_names = {"cats"}}),
            "class_names name folders, so they need labels = \"inferred\"");
  EXPECT_EQ(value_error({.label_mode = "integer"}),
            "label_mode \"integer\" is not known. Known names: \"int\", \"categorical\", \"binary\".");
  EXPECT_EQ(value_error({.class_names = {"cats", "birds"}}),
            "class_names are \"cats\", \"birds\", but the folders in " + folder_.path() +
                " are \"cats\", \"dogs\"; name each once");
  EXPECT_EQ(value_error({.color_mode = "RGB"}),
            "color_mode \"RGB\" is not known. Did you mean \"rgb\"? Known names: \"grayscale\", \"rgb\", "
            "\"rgba\".");
  EXPECT_EQ(value_error({.batch_size = 0}), "batch_size must be at least 1, but it is 0");
  EXPECT_EQ(value_error({.image_size = {0, 5}}), "image_size is 0 x 5; both must be in [1, 32768]");
  EXPECT_EQ(value_error({.validation_split = 1.5, .subset = "training"}),
            "validation_split must be in (0, 1), the share of the files to validate on, but it is 1.5");
  EXPECT_EQ(value_error({.validation_split = .2}),
            "validation_split needs a subset, \"training\" or \"validation\"");
  EXPECT_EQ(value_error({.subset = "training"}), "subset needs a validation_split, such as 0.2");
  EXPECT_EQ(value_error({.seed = 1, .validation_split = .2, .subset = "both"}),
            "subset \"both\" is not known. Known names: \"training\", \"validation\".");
  EXPECT_EQ(value_error({.validation_split = .2, .subset = "training"}),
            "to split shuffled files, give a seed, the same for both subsets");
  EXPECT_EQ(
      value_error({.seed = 1, .validation_split = .01, .subset = "training"}),
      "validation_split=0.01 of 7 images leaves 7 for training and 0 for validation; both need at least one");
  EXPECT_EQ(value_error({.interpolation = "linear"}),
            "interpolation \"linear\" is not known. Did you mean \"bilinear\"? Known names: \"nearest\", "
            "\"bilinear\", \"bicubic\", \"lanczos3\", \"lanczos5\".");
  std::filesystem::create_directory(folder_ / "eels");
  EXPECT_EQ(value_error({.label_mode = "binary"}),
            "label_mode \"binary\" needs two classes, but there are 3: \"cats\", \"dogs\", \"eels\"");
}

TEST(ImageFolders, WithoutImages) {
  const TemporaryFolder folder;
  const auto fault = [&](const std::string& path, ImageDatasetArgs args) {
    return message_of<FileError>([&] { image_dataset_from_directory(path, args); });
  };
  EXPECT_EQ(fault(folder / "none", {}), folder / "none" + ": there is no such folder");
  EXPECT_EQ(
      fault(folder.path(), {}),
      folder.path() +
          ": there are no folders in it to infer labels from; put the images of each class into a folder of "
          "its own, or give labels = std::nullopt");
  EXPECT_EQ(fault(folder.path(), {.labels = std::nullopt}),
            folder.path() + ": there are no images in it; .png, .jpg and .jpeg can be read");
  std::filesystem::create_directory(folder / "a");
  write_file(folder / "a/b.gif", "GIF89a");
  EXPECT_EQ(fault(folder.path(), {}),
            folder.path() +
                ": there are no images in it; .png, .jpg and .jpeg can be read, and it "
                "holds 1 file of other kinds");
}

}  // namespace
}  // namespace kiln::data
