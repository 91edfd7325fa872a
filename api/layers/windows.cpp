#include "api/layers/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/support/names.h"

namespace kiln::internal {
namespace {

std::string text(Size2 s) {
  return fmt::format("({}, {})", s.height, s.width);
}

}  // namespace

Padding padding_of(bool same, std::int64_t n, std::int64_t window, std::int64_t stride,
                   std::int64_t dilation) {
  if (!same) return {};
  const std::int64_t out = (n + stride - 1) / stride;
  const std::int64_t total = std::max<std::int64_t>((out - 1) * stride + (window - 1) * dilation + 1 - n, 0);
  return {total / 2, total - total / 2};
}

bool parse_padding(const std::string& class_name, const std::string& padding) {
  static constexpr std::array<std::string_view, 2> known = {"valid", "same"};
  if (padding != known[0] && padding != known[1]) unknown_name(class_name + ": padding", padding, known);
  return padding == "same";
}

void check_positive(const std::string& class_name, const char* argument, Size2 value) {
  if (value.height < 1 || value.width < 1)
    throw ValueError(fmt::format("{}: {} must be positive, not {}", class_name, argument, text(value)));
}

void check_window(const WindowSpec& spec, const Shape& input) {
  if (input.rank() != 4)
    throw ShapeError(
        fmt::format("Input 0 of layer \"{}\" is incompatible with the layer: expected four axes, (batch, "
                    "height, width, channels), but received input with shape {}{}",
                    spec.layer, input.to_string(),
                    input.rank() == 3 ? ". Add the channels' axis, e.g. by Reshape({height, width, 1})"
                    : input.rank() == 2
                        ? ". Put it before Flatten, or make rows images by Reshape({height, width, channels})"
                        : ""));
  const auto too_large = [](std::int64_t n, std::int64_t window, std::int64_t dilation) {
    return n != None && n < (window - 1) * dilation + 1;
  };
  if (spec.same || (!too_large(input[1], spec.window.height, spec.dilation.height) &&
                    !too_large(input[2], spec.window.width, spec.dilation.width)))
    return;
  const std::string dilation =
      spec.dilation == Size2(1) ? "" : fmt::format(", dilation_rate={}", text(spec.dilation));
  throw ShapeError(
      fmt::format("layer \"{}\" ({}): computed output size would be zero or negative, because the window is "
                  "larger than its "
                  "input. Received: input shape {}, {}={}, strides={}{}, padding=\"valid\". Use a smaller "
                  "{}, a larger input, or "
                  "padding=\"same\"",
                  spec.layer, spec.class_name, input.to_string(), spec.window_name, text(spec.window),
                  text(spec.strides), dilation, spec.window_name));
}

}  // namespace kiln::internal
