// Folders of images as datasets.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>

#include "api/console/console.h"
#include "api/data/dataset_node.h"
#include "api/data/image_file.h"
#include "api/support/names.h"
#include "api/support/random.h"
#include "kiln/data/images.h"

namespace kiln::data {
namespace {

namespace fs = std::filesystem;
constexpr const char* kCaller = "image_dataset_from_directory";

std::string counted(std::size_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

void check_arguments(const ImageDatasetArgs& args) {
  if (args.labels.word() && *args.labels.word() != "inferred")
    throw ValueError(
        fmt::format("{}: labels is \"{}\"; give \"inferred\", a number for each file, or std::nullopt",
                    kCaller, *args.labels.word()));
  if (!args.labels.word() && !args.class_names.empty())
    throw ValueError(
        fmt::format("{}: class_names name folders, so they need labels = \"inferred\"", kCaller));
  static constexpr std::array<std::string_view, 3> modes = {"int", "categorical", "binary"};
  if (args.label_mode && std::find(modes.begin(), modes.end(), *args.label_mode) == modes.end())
    internal::unknown_name(std::string(kCaller) + ": label_mode", *args.label_mode, modes);
  internal::channels_of(kCaller, args.color_mode);
  internal::check_interpolation(kCaller, args.interpolation);
  constexpr std::int64_t most = 1 << 15;
  const auto [height, width] = args.image_size;
  if (height < 1 || width < 1 || height > most || width > most)
    throw ValueError(
        fmt::format("{}: image_size is {} x {}; both must be in [1, {}]", kCaller, height, width, most));
  if (args.batch_size)
    internal::check_positive((std::string(kCaller) + ": batch_size").c_str(), *args.batch_size);
  if (args.validation_split && !(*args.validation_split > 0 && *args.validation_split < 1))
    throw ValueError(
        fmt::format("{}: validation_split must be in (0, 1), the share of the files to validate on, "
                    "but it is {}",
                    kCaller, *args.validation_split));
  if (args.validation_split.has_value() != args.subset.has_value())
    throw ValueError(fmt::format("{}: {}", kCaller,
                                 args.subset
                                     ? "subset needs a validation_split, such as 0.2"
                                     : "validation_split needs a subset, \"training\" or \"validation\""));
  static constexpr std::array<std::string_view, 2> subsets = {"training", "validation"};
  if (args.subset && std::find(subsets.begin(), subsets.end(), *args.subset) == subsets.end())
    internal::unknown_name(std::string(kCaller) + ": subset", *args.subset, subsets);
  if (args.subset && args.shuffle && !args.seed)
    throw ValueError(
        fmt::format("{}: to split shuffled files, give a seed, the same for both subsets", kCaller));
}

bool is_image(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}
bool hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

/// The image files inside, at any depth, in order. Counts the others.
std::vector<std::string> images_in(const fs::path& folder, bool follow_links, std::size_t& others) {
  std::vector<std::string> paths;
  const auto options =
      follow_links ? fs::directory_options::follow_directory_symlink : fs::directory_options();
  for (auto it = fs::recursive_directory_iterator(folder, options); it != fs::recursive_directory_iterator();
       ++it) {
    if (hidden(it->path())) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      is_image(it->path()) ? paths.push_back(it->path().string()) : static_cast<void>(others++);
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && !hidden(entry.path())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

struct Found {
  std::vector<std::string> paths;
  std::vector<std::int64_t> labels;  ///< empty: none
  std::vector<std::string> class_names;
};

std::string joined(const std::vector<std::string>& names) {
  std::vector<std::string_view> views(names.begin(), names.end());
  return internal::quoted_list(views);
}

std::vector<std::string> classes_of(const std::string& directory, const ImageDatasetArgs& args) {
  std::vector<std::string> folders = folders_in(directory);
  if (args.class_names.empty()) {
    if (folders.empty())
      throw FileError(fmt::format(
          "{}: there are no folders in it to infer labels from; put the images of each class into "
          "a folder of its own, or give labels = std::nullopt",
          directory));
    return folders;
  }
  std::vector<std::string> given = args.class_names;
  std::sort(given.begin(), given.end());
  if (given != folders)
    throw ValueError(fmt::format("{}: class_names are {}, but the folders in {} are {}; name each once",
                                 kCaller, joined(args.class_names), directory, joined(folders)));
  return args.class_names;
}

Found find(const std::string& directory, const ImageDatasetArgs& args) try {
  if (!fs::is_directory(directory)) throw FileError(directory + ": there is no such folder");
  Found found;
  std::size_t others = 0;
  if (args.labels.word()) {
    found.class_names = classes_of(directory, args);
    for (std::size_t i = 0; i < found.class_names.size(); i++)
      for (std::string& path :
           images_in(fs::path(directory) / found.class_names[i], args.follow_links, others)) {
        found.paths.push_back(std::move(path));
        found.labels.push_back(static_cast<std::int64_t>(i));
      }
  } else {
    found.paths = images_in(directory, args.follow_links, others);
  }
  if (found.paths.empty())
    throw FileError(fmt::format(
        "{}: there are no images in it; .png, .jpg and .jpeg can be read{}", directory,
        others == 0 ? "" : ", and it holds " + counted(others, "file", "files") + " of other kinds"));
  if (const auto* numbers = args.labels.numbers()) {
    if (numbers->size() != found.paths.size())
      throw ValueError(fmt::format("{}: {} for {} in {}; each needs its own", kCaller,
                                   counted(numbers->size(), "label", "labels"),
                                   counted(found.paths.size(), "image", "images"), directory));
    found.labels = *numbers;
    for (std::int64_t label : *numbers)
      if (label < 0 || label >= 1 << 20)
        throw ValueError(
            fmt::format("{}: labels has {}; class numbers are whole numbers in [0, 2^20)", kCaller, label));
    const std::int64_t classes = *std::max_element(numbers->begin(), numbers->end()) + 1;
    if (args.label_mode == "categorical" || args.label_mode == "binary")
      for (std::int64_t i = 0; i < classes; i++) found.class_names.push_back(std::to_string(i));
  }
  if (!args.label_mode) found.labels.clear();
  if (args.label_mode == "binary" && !found.labels.empty() && found.class_names.size() != 2)
    throw ValueError(fmt::format("{}: label_mode \"binary\" needs two classes, but there are {}: {}", kCaller,
                                 found.class_names.size(), joined(found.class_names)));
  return found;
} catch (const fs::filesystem_error& error) {
  throw FileError(fmt::format("{}: {}", error.path1().string(), error.code().message()));
}

template <class T>
std::vector<T> picked(const std::vector<T>& from, std::span<const std::int64_t> rows) {
  std::vector<T> out;
  for (std::int64_t row : rows) out.push_back(from[static_cast<std::size_t>(row)]);
  return out;
}

/// The files of the subset, in the order of the iteration's beginning.
Found subset_of(const Found& all, const ImageDatasetArgs& args, std::int64_t seed) {
  const auto count = static_cast<std::int64_t>(all.paths.size());
  std::vector<std::int64_t> order(all.paths.size());
  for (std::int64_t i = 0; i < count; i++) order[static_cast<std::size_t>(i)] = i;
  if (args.shuffle) order = internal::permutation(count, internal::derived_seed(seed, -1));
  std::span<const std::int64_t> rows = order;
  if (args.subset) {
    const auto validation = static_cast<std::size_t>(*args.validation_split * static_cast<double>(count));
    const std::size_t training = all.paths.size() - validation;
    if (validation == 0 || training == 0)
      throw ValueError(fmt::format(
          "{}: validation_split={} of {} leaves {} for training and {} for validation; both need at "
          "least one",
          kCaller, *args.validation_split, counted(all.paths.size(), "image", "images"), training,
          validation));
    rows = *args.subset == "training" ? rows.first(training) : rows.last(validation);
  }
  return {picked(all.paths, rows), all.labels.empty() ? all.labels : picked(all.labels, rows),
          all.class_names};
}

Tensor label_rows(const Found& found, const std::string& mode) {
  const auto count = static_cast<std::int64_t>(found.labels.size());
  if (mode == "int") return Tensor(found.labels).astype(DType::i32);
  if (mode == "binary") return Tensor(found.labels, {count, 1}).astype(DType::f32);
  const auto classes = static_cast<std::int64_t>(found.class_names.size());
  Tensor one_hot = Tensor::zeros({count, classes});
  for (std::int64_t i = 0; i < count; i++)
    one_hot.data<float>()[i * classes + found.labels[static_cast<std::size_t>(i)]] = 1;
  return one_hot;
}

}  // namespace

ImageDataset image_dataset_from_directory(const std::string& directory, ImageDatasetArgs args) {
  check_arguments(args);
  const Found all = find(directory, args);
  const std::int64_t seed = args.seed ? *args.seed : internal::next_seed();
  const Found found = subset_of(all, args, seed);
  if (args.verbose) {
    const std::string files = counted(all.paths.size(), "file", "files");
    internal::print(args.labels.word() ? fmt::format("Found {} belonging to {}.\n", files,
                                                     counted(all.class_names.size(), "class", "classes"))
                                       : fmt::format("Found {}.\n", files));
    if (args.subset)
      internal::print(
          fmt::format("Using {} for {}.\n", counted(found.paths.size(), "file", "files"), *args.subset));
  }
  const auto count = static_cast<std::int64_t>(found.paths.size());
  std::vector<std::int64_t> numbers(found.paths.size());
  for (std::int64_t i = 0; i < count; i++) numbers[static_cast<std::size_t>(i)] = i;
  Item rows{Tensor(numbers)};
  if (!found.labels.empty()) rows.y = label_rows(found, *args.label_mode);

  Dataset dataset = Dataset::from_tensor_slices(rows);
  if (args.shuffle) dataset = dataset.shuffle(count, {.seed = seed});
  // Shared, as each iteration copies the function.
  const auto paths = std::make_shared<const std::vector<std::string>>(found.paths);
  dataset = dataset.map([args, paths](Item item) {
    const std::string& path = (*paths)[static_cast<std::size_t>(item.x[0].item())];
    item.x = internal::resized_image(load_image(path, {.color_mode = args.color_mode}), args.image_size,
                                     args.interpolation, args.crop_to_aspect_ratio);
    return item;
  });
  if (args.batch_size) dataset = dataset.batch(*args.batch_size).prefetch(2);
  return {dataset, found.class_names, found.paths};
}

}  // namespace kiln::data
