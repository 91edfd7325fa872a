#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "kiln/datasets.h"

namespace kiln::datasets::fashion_mnist {
namespace {

constexpr const char* kDebianFolder = "/usr/share/datasets/fashion-mnist";
constexpr std::int64_t kSide = 28;
constexpr int kClasses = 10;

/// Where to look, and how to say so.
struct Places {
  std::vector<std::string> folders;
  std::string origin;
};

Places places(const std::string& folder) {
  if (!folder.empty()) return {{folder}, ""};
  const char* data = std::getenv("KILN_DATA");
  if (data != nullptr && *data != '\0')
    return {{std::string(data) + "/fashion-mnist", data}, " (from KILN_DATA)"};
  return {{kDebianFolder}, ""};
}

/// The path of a file, compressed or not.
std::string find(const Places& places, const std::string& name) {
  for (const std::string& folder : places.folders) {
    for (const char* ending : {".gz", ""}) {
      const std::string path = folder + "/" + name + ending;
      std::error_code ignored;
      if (std::filesystem::exists(path, ignored)) return path;
    }
  }
  std::string looked;
  for (const std::string& folder : places.folders) looked += (looked.empty() ? "" : " or ") + folder;
  throw FileError(fmt::format(
      "fashion_mnist::load_data: there is no {}.gz in {}{}. Debian has the data: apt-get install "
      "dataset-fashion-mnist. Elsewhere, pass the folder with the four files, or set KILN_DATA to it.",
      name, looked, places.origin));
}

Split load_split(const Places& places, const std::string& prefix) {
  const std::string image_path = find(places, prefix + "-images-idx3-ubyte");
  const std::string label_path = find(places, prefix + "-labels-idx1-ubyte");
  const Tensor images = load_idx(image_path);
  const Tensor labels = load_idx(label_path);
  if (images.dtype() != DType::u8 || images.rank() != 3 || images.dim(1) != kSide || images.dim(2) != kSide)
    throw FileError(fmt::format("{}: the elements are {} of the shape {}, not uint8 images (N, 28, 28)",
                                image_path, name(images.dtype()), images.shape().to_string()));
  if (labels.dtype() != DType::u8 || labels.rank() != 1)
    throw FileError(fmt::format("{}: the elements are {} of the shape {}, not uint8 labels (N,)", label_path,
                                name(labels.dtype()), labels.shape().to_string()));
  if (images.dim(0) != labels.dim(0))
    throw FileError(fmt::format("{} has {} images, but {} has {} labels", image_path, images.dim(0),
                                label_path, labels.dim(0)));
  std::int64_t row = 0;
  for (std::uint8_t label : labels.span<std::uint8_t>()) {
    if (label >= kClasses)
      throw FileError(
          fmt::format("{}: the label in row {} is {}, not 0 to {}", label_path, row, label, kClasses - 1));
    row++;
  }
  return {images.reshape({images.dim(0), kSide, kSide, 1}), labels.astype(DType::i32)};
}

}  // namespace

Data load_data(const std::string& folder) {
  const Places p = places(folder);
  return {load_split(p, "train"), load_split(p, "t10k")};
}

}  // namespace kiln::datasets::fashion_mnist
