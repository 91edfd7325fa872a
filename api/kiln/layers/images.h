#pragma once
#include <optional>

#include "kiln/layer.h"

namespace kiln::layers {

struct ResizingArgs {
  std::string interpolation = "bilinear";  ///< "nearest", "bicubic", "lanczos3", "lanczos5"
  bool crop_to_aspect_ratio = false;       ///< what doesn't fit is cut off both sides, instead of distorting
  bool pad_to_aspect_ratio = false;        ///< what lacks is added on both sides, instead of distorting
  std::string fill_mode = "constant";      ///< what is added: only "constant", as in Keras
  double fill_value = 0;
  bool antialias = false;  ///< smooth before making images smaller; without, pixels may count for nothing
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// Images of height x width, interpolated. Throws ValueError for sizes below 1.
KILN_API Layer Resizing(std::int64_t height, std::int64_t width, ResizingArgs args = {});

struct CenterCropArgs {
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// The middle of images; of smaller ones, the largest part of that form, enlarged.
KILN_API Layer CenterCrop(std::int64_t height, std::int64_t width, CenterCropArgs args = {});

// ---- augmentation -----------------------------------------------------------------------------------------
// While training, each image of a batch is changed by draws of its own, within the training step: other ones
// at every step, the same when a run is repeated. With a `seed` they don't depend on the global one.
// Otherwise images stay as they are.

struct AugmentationArgs {
  std::optional<std::int64_t> seed = {};
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// Mirrors half of the images: `mode` "horizontal" (left and right), "vertical" or "horizontal_and_vertical"
/// (two draws).
KILN_API Layer RandomFlip(std::string mode = "horizontal_and_vertical", AugmentationArgs args = {});

/// One factor for both directions, or two.
struct Factor {
  double lower = 0;
  double upper = 0;
  bool two = false;

  Factor(double both) : lower(both), upper(both) {}
  Factor(double low, double up) : lower(low), upper(up), two(true) {}
};

/// How an image is read at other places than its pixels'.
struct TransformArgs {
  /// What lies beyond the image: "reflect" (a b c | c b a), "wrap" (a b c | a b c), "nearest" (the pixel at
  /// the edge), "constant"
  std::string fill_mode = "reflect";
  std::string interpolation = "bilinear";  ///< between the four pixels around, or "nearest"
  std::optional<std::int64_t> seed = {};
  double fill_value = 0;  ///< of fill_mode "constant"
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// Turns each image around its middle, by a part of a full turn: of [-factor, factor], or of {lower, upper};
/// counterclockwise if it is positive. Throws ValueError unless factors are in [-1, 1].
KILN_API Layer RandomRotation(Factor factor, TransformArgs args = {});
/// Moves each image, down by a part of its height and to the right by a part of its width, each drawn like
/// RandomRotation's factor. Throws ValueError unless factors are in [-1, 1].
KILN_API Layer RandomTranslation(Factor height_factor, Factor width_factor, TransformArgs args = {});
/// Enlarges each image, or makes it smaller, around its middle: it shows 1 + f of its height, f drawn like
/// RandomRotation's factor, and as much of its width, or 1 + a draw of `width_factor`. Throws ValueError
/// unless factors are in (-1, 1].
KILN_API Layer RandomZoom(Factor height_factor, std::optional<Factor> width_factor = {},
                          TransformArgs args = {});

struct ColorArgs {
  double lowest = 0, highest = 255;  ///< Keras's value_range: results are cut to it
  std::optional<std::int64_t> seed = {};
  std::string data_format = "channels_last";
  DType dtype = DType::f32;
  std::string name = "";
};
/// Adds a part of the value range to each image: of [-factor, factor], or of {lower, upper}. Throws
/// ValueError unless they are in [-1, 1].
KILN_API Layer RandomBrightness(Factor factor, ColorArgs args = {});
/// Moves each channel's values away from its mean, or towards it: by a factor in [1 - lower, 1 + upper].
/// Throws ValueError for negative factors and for a lower one above 1.
KILN_API Layer RandomContrast(Factor factor, ColorArgs args = {});

/// While training, a part of the images of height x width, the same of all in a batch (as in Keras).
/// Otherwise, and of images that are no larger, the middle as CenterCrop makes it. Throws ValueError for
/// sizes below 1.
KILN_API Layer RandomCrop(std::int64_t height, std::int64_t width, AugmentationArgs args = {});

}  // namespace kiln::layers
