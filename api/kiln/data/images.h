#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kiln/data/dataset.h"
#include "kiln/layers/sizes.h"

namespace kiln::data {

struct LoadImageArgs {
  std::string color_mode = "rgb";  ///< "grayscale", "rgba"
};
/// A PNG or JPEG file, told by its content, as uint8 (height, width, channels) with 1, 3 or 4 channels. Grey
/// is 0.299 R + 0.587 G + 0.114 B; transparency is dropped unless the mode is "rgba"; a PNG file that
/// says another gamma than sRGB's is converted to that. Throws ValueError for
/// an unknown mode; FileError naming the file if it can't be opened, is neither, is damaged or cut off, has
/// CMYK colours, or more than 2^27 pixels.
KILN_API Tensor load_image(const std::string& path, LoadImageArgs args = {});

/// Where labels come from: "inferred" (the names of folders), a number for each file in the order of their
/// paths, or nowhere (std::nullopt).
class ImageLabels {
 public:
  ImageLabels(const char* inferred) : value_(std::string(inferred)) {}
  ImageLabels(std::string inferred) : value_(std::move(inferred)) {}
  ImageLabels(std::vector<std::int64_t> numbers) : value_(std::move(numbers)) {}
  ImageLabels(std::nullopt_t) {}
  const std::vector<std::int64_t>* numbers() const { return std::get_if<std::vector<std::int64_t>>(&value_); }
  const std::string* word() const { return std::get_if<std::string>(&value_); }

 private:
  std::variant<std::monostate, std::string, std::vector<std::int64_t>> value_;
};

struct ImageDatasetArgs {
  ImageLabels labels = "inferred";
  /// "int": int32 (batch,); "categorical": float32 (batch, classes), one-hot; "binary", of two classes:
  /// float32 (batch, 1); std::nullopt: none
  std::optional<std::string> label_mode = "int";
  std::vector<std::string> class_names = {};    ///< the folders, to give them another order
  std::string color_mode = "rgb";               ///< "grayscale", "rgba"
  std::optional<std::int64_t> batch_size = 32;  ///< std::nullopt: single samples
  Size2 image_size = {256, 256};
  bool shuffle = true;  ///< else in the order of the paths
  std::optional<std::int64_t> seed = {};
  std::optional<double> validation_split = {};  ///< share of the files, the last ones
  std::optional<std::string> subset = {};       ///< "training" or "validation", with validation_split
  std::string interpolation = "bilinear";       ///< "nearest", "bicubic", "lanczos3", "lanczos5"
  bool follow_links = false;
  bool crop_to_aspect_ratio = false;  ///< cut off what doesn't fit, instead of distorting
  bool verbose = true;                ///< print how many files were found
};

/// The dataset with what was found.
struct ImageDataset : Dataset {
  std::vector<std::string> class_names;  ///< in the order of the labels' numbers
  std::vector<std::string> file_paths;
};

/// The PNG and JPEG files (.png, .jpg, .jpeg) of a folder, those of each class in a folder of its own, as
/// batches of float32 images (batch, height, width, channels) from 0 to 255, and labels. Files are read while
/// somebody iterates, two batches ahead in a thread; what is wrong with one (see load_image) is told then.
/// Images are shuffled anew in each iteration. The training and the validation part fit together if both
/// calls have the same seed and split. Names that begin with a dot are left out.
///
/// Throws ValueError for arguments outside of what is described, and where shuffled files are split without a
/// seed; FileError if the folder can't be read or holds no images.
KILN_API ImageDataset image_dataset_from_directory(const std::string& directory, ImageDatasetArgs args = {});

}  // namespace kiln::data
