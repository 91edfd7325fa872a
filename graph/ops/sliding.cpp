#include "graph/ops/sliding.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace kiln::graph {
namespace {

/// "5 x 3": one member of every slide.
template <class F>
std::string sizes(std::span<const Slide> slides, F member) {
  std::vector<std::int64_t> values;
  for (const Slide& s : slides) values.push_back(member(s));
  return fmt::format("{}", fmt::join(values, " x "));
}

}  // namespace

std::vector<Slide> make_slides(std::span<const std::int64_t> input, std::span<const std::int64_t> window,
                               const Ints& strides, const Ints& low, const Ints& high, const Ints& dilation) {
  std::vector<Slide> slides;
  for (std::size_t i = 0; i < input.size(); i++)
    slides.push_back({input[i], window[i], strides[i], low[i], high[i], dilation[i]});
  return slides;
}

void check_entries(const InferContext& c, std::string_view attribute, std::size_t axes, std::int64_t least) {
  const Ints& values = c.attributes.ints(attribute);
  if (values.size() != axes)
    shape_error(c, fmt::format("{} must have one entry for each of the {} axes; got [{}]", attribute, axes,
                               fmt::join(values, ", ")));
  for (std::int64_t v : values)
    if (v < least)
      shape_error(c,
                  fmt::format("{} must be at least {}; got [{}]", attribute, least, fmt::join(values, ", ")));
}

void check_slides(const InferContext& c, std::string_view what, std::span<const Slide> slides) {
  bool fits = true, dilated = false, padded = false;
  for (const Slide& s : slides) {
    if (s.input < 0 || s.input > largest_size)
      shape_error(c, fmt::format("the input can't have the size {} on an axis", s.input));
    if (std::max(s.low, s.high) > largest_size)
      shape_error(c, fmt::format("the padding can't be {} before and {} behind an axis", s.low, s.high));
    fits = fits && s.extent() <= s.padded();
    dilated = dilated || s.dilation > 1;
    padded = padded || s.low > 0 || s.high > 0;
  }
  if (fits) return;
  std::string message =
      fmt::format("the {} of {}", what, sizes(slides, [](const Slide& s) { return s.window; }));
  if (dilated)
    message += fmt::format(", with dilation {} covering {},",
                           sizes(slides, [](const Slide& s) { return s.dilation; }),
                           sizes(slides, [](const Slide& s) { return s.extent(); }));
  message +=
      fmt::format(" is larger than its input of {}", sizes(slides, [](const Slide& s) { return s.input; }));
  if (padded)
    message += fmt::format(" (padded to {})", sizes(slides, [](const Slide& s) { return s.padded(); }));
  shape_error(c, message + fmt::format("; use a smaller {}, a larger input, or padding \"same\"", what));
}

}  // namespace kiln::graph
