#include "api/layers/spatial.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "api/support/names.h"

namespace kiln::internal {

std::string text(const Ints& sizes) {
  return fmt::format("({}{})", fmt::join(sizes, ", "), sizes.size() == 1 ? "," : "");
}

Padding padding_of(const std::string& padding, std::int64_t n, std::int64_t window, std::int64_t stride,
                   std::int64_t dilation) {
  const std::int64_t reach = (window - 1) * dilation;
  if (padding == "causal") return {reach, 0};
  if (padding != "same") return {};
  const std::int64_t out = (n + stride - 1) / stride;
  const std::int64_t total = std::max<std::int64_t>((out - 1) * stride + reach + 1 - n, 0);
  return {total / 2, total - total / 2};
}

void check_positive(const std::string& class_name, const char* argument, const Ints& sizes) {
  if (std::any_of(sizes.begin(), sizes.end(), [](std::int64_t n) { return n < 1; }))
    throw ValueError(fmt::format("{}: {} must be positive, not {}", class_name, argument,
                                 sizes.size() == 1 ? fmt::format("{}", sizes[0]) : text(sizes)));
}

void check_axes(const std::string& class_name, const char* argument, const Ints& sizes, int axes) {
  if (static_cast<int>(sizes.size()) != axes)
    throw ValueError(
        fmt::format("{}: {} should have {} numbers, but it is {}", class_name, argument, axes, text(sizes)));
}

void check_data_format(const std::string& class_name, const std::string& data_format) {
  static constexpr std::array<std::string_view, 2> known = {"channels_last", "channels_first"};
  if (data_format != known[0] && data_format != known[1])
    unknown_name(class_name + ": data_format", data_format, known);
}

void check_window_arguments(const WindowSpec& spec, bool causal) {
  static constexpr std::array<std::string_view, 3> known = {"valid", "same", "causal"};
  const std::span<const std::string_view> paddings = std::span(known).first(causal ? 3 : 2);
  if (std::find(paddings.begin(), paddings.end(), spec.padding) == paddings.end())
    unknown_name(spec.class_name + ": padding", spec.padding, paddings);
  check_data_format(spec.class_name, spec.data_format);
  check_positive(spec.class_name, spec.window_name.c_str(), spec.window);
  check_positive(spec.class_name, "strides", spec.strides);
  check_positive(spec.class_name, "dilation_rate", spec.dilation);
}

void check_spatial_axes(const std::string& layer, int axes, const std::string& data_format,
                        const Shape& input) {
  if (input.rank() == axes + 2) return;
  static constexpr std::array<const char*, 4> names = {"", "steps", "height, width", "depth, height, width"};
  static constexpr std::array<const char*, 4> numbers = {"", "three", "four", "five"};
  const char* sizes = names.at(static_cast<std::size_t>(axes));
  const bool last = data_format == "channels_last";
  const std::string order = last ? fmt::format("{}, channels", sizes) : fmt::format("channels, {}", sizes);
  std::string mend;
  if (input.rank() == axes + 1)
    mend = fmt::format(". Add the channels' axis, e.g. by Reshape({{{}}})",
                       last ? fmt::format("{}, 1", sizes) : fmt::format("1, {}", sizes));
  if (input.rank() == 2 && axes > 1)
    mend = fmt::format(". Put it before Flatten, or make rows images by Reshape({{{}}})", order);
  throw ShapeError(fmt::format(
      "Input 0 of layer \"{}\" is incompatible with the layer: expected {} axes, (batch, {}), but "
      "received input with shape {}{}",
      layer, numbers.at(static_cast<std::size_t>(axes)), order, input.to_string(), mend));
}

void check_window(const WindowSpec& spec, const std::string& layer, const Shape& input) {
  const int axes = static_cast<int>(spec.window.size());
  check_spatial_axes(layer, axes, spec.data_format, input);
  const int first = spec.data_format == "channels_last" ? 1 : 2;
  bool fits = true;
  for (std::size_t i = 0; i < spec.window.size(); i++) {
    const std::int64_t n = input.dim(first + static_cast<int>(i)),
                       dilation = spec.dilation.empty() ? 1 : spec.dilation[i];
    fits = fits && (n == None || n >= (spec.window[i] - 1) * dilation + 1);
  }
  if (fits || spec.padding != "valid") return;
  const bool dilated =
      std::any_of(spec.dilation.begin(), spec.dilation.end(), [](std::int64_t d) { return d != 1; });
  throw ShapeError(fmt::format(
      "layer \"{}\" ({}): computed output size would be zero or negative, because the window is larger than "
      "its "
      "input. Received: input shape {}, {}={}, strides={}{}, padding=\"valid\". Use a smaller {}, a larger "
      "input, or padding=\"same\"",
      layer, spec.class_name, input.to_string(), spec.window_name, text(spec.window), text(spec.strides),
      dilated ? fmt::format(", dilation_rate={}", text(spec.dilation)) : "", spec.window_name));
}

graph::Value channels_last(const std::string& data_format, graph::Value x) {
  if (data_format == "channels_last") return x;
  Ints order{0};
  for (int axis = 2; axis < x.rank(); axis++) order.push_back(axis);
  order.push_back(1);
  return graph::transpose(x, order);
}
graph::Value from_channels_last(const std::string& data_format, graph::Value y) {
  if (data_format == "channels_last") return y;
  Ints order{0, y.rank() - 1};
  for (int axis = 1; axis < y.rank() - 1; axis++) order.push_back(axis);
  return graph::transpose(y, order);
}
Shape channels_last(const std::string& data_format, const Shape& x) {
  if (data_format == "channels_last" || x.rank() < 2) return x;
  Shape result = x.slice(0, 1);
  for (int axis = 2; axis < x.rank(); axis++) result.push_back(x.dim(axis));
  result.push_back(x.dim(1));
  return result;
}

}  // namespace kiln::internal
