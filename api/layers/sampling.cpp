#include "api/layers/sampling.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "api/support/names.h"

namespace kiln::internal {
namespace {

using graph::Value;

constexpr std::array<std::string_view, 4> fill_modes = {"constant", "nearest", "wrap", "reflect"};
constexpr std::array<std::string_view, 2> interpolations = {"nearest", "bilinear"};

void check_known(const std::string& what, const std::string& given, std::span<const std::string_view> known) {
  if (std::find(known.begin(), known.end(), given) == known.end()) unknown_name(what, given, known);
}

/// One pixel along an axis for each place: which, whether the image has it, and what it counts for.
struct Taps {
  Value index;                  ///< inside the image
  std::optional<Value> inside;  ///< bool; none: what lies outside is a pixel of the image, too
  std::optional<Value> share;   ///< none: all
};

/// i modulo n, not negative. Of floating numbers, which vectors divide; exact for images of any size.
Value modulo(Value i, std::int64_t n) {
  const auto size = static_cast<double>(n);
  return i - graph::floor(i / size) * size;
}

/// Whole places, as floating numbers, inside the image's n pixels.
Taps inside(Value place, std::int64_t n, const Sampling& sampling, DType type, std::optional<Value> share) {
  if (sampling.fill_mode == "wrap") return {graph::convert(modulo(place, n), type), {}, share};
  if (sampling.fill_mode == "reflect") {  // a b c | c b a | a b c
    const Value within = modulo(place, 2 * n);
    return {graph::convert(graph::minimum(within, static_cast<double>(2 * n - 1) - within), type), {}, share};
  }
  const Value last = graph::scalar(place, static_cast<double>(n - 1)), first = graph::scalar(place, 0);
  const Value clamped = graph::minimum(graph::maximum(place, first), last);
  const Value index = graph::convert(clamped, type);
  if (sampling.fill_mode == "nearest") return {index, {}, share};
  return {index, graph::compare(place, clamped, "eq"), share};
}

std::vector<Taps> taps(Value places, std::int64_t n, const Sampling& sampling, DType type) {
  if (sampling.interpolation == "nearest") {  // halves away from 0
    const Value whole = graph::sign(places) * graph::floor(graph::abs(places) + 0.5);
    return {inside(whole, n, sampling, type, {})};
  }
  const Value below = graph::floor(places), share = places - below;
  return {inside(below, n, sampling, type, 1.0 - share), inside(below + 1.0, n, sampling, type, share)};
}

}  // namespace

void check_sampling(const std::string& class_name, const Sampling& sampling) {
  check_known(class_name + ": fill_mode", sampling.fill_mode, fill_modes);
  check_known(class_name + ": interpolation", sampling.interpolation, interpolations);
}

Value sample(Value x, Value ys, Value xs, const Sampling& sampling) {
  const std::int64_t images = x.shape()[0], height = x.shape()[1], width = x.shape()[2],
                     channels = x.shape()[3];
  // All images' pixels in one list, so that one gather reads a pixel with its channels.
  const std::int64_t pixels = images * height * width;
  const DType type = pixels <= std::numeric_limits<std::int32_t>::max() ? DType::i32 : DType::i64;
  const Value list = graph::reshape(x, {pixels, channels});
  const Value image = graph::iota(x.graph(), {type, {images, 1, 1}}, 0);
  const Value start = image * static_cast<double>(height * width);
  const Value fill = graph::scalar(x, sampling.fill_value);
  const auto over_channels = [](Value v) { return graph::expand_dims(v, 3); };
  const std::vector<Taps> columns = taps(graph::stop_gradient(xs), width, sampling, type);
  Value result;
  for (const Taps& row : taps(graph::stop_gradient(ys), height, sampling, type)) {
    const Value row_start = start + row.index * static_cast<double>(width);
    for (const Taps& column : columns) {
      Value pixel = graph::gather(list, row_start + column.index, 0);
      if (row.inside) {
        const Value both = over_channels(graph::bit_and(*row.inside, *column.inside));
        pixel = graph::select(both, pixel, fill);
      }
      if (row.share) pixel = pixel * over_channels(*row.share * *column.share);
      result = result ? result + pixel : pixel;
    }
  }
  return result;
}

}  // namespace kiln::internal
