#include "kiln/runtime/error.h"

#include <fmt/format.h>

#include <cmath>

namespace kiln {
namespace {

void replace(std::string& text, std::string_view what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

std::string filled_in(std::string text, std::int64_t row, double value) {
  replace(text, "{row}", std::to_string(row));
  const bool whole =
      std::trunc(value) == value && std::abs(value) < 0x1p63;  // labels, indices: never "1e+16"
  replace(text, "{value}",
          whole ? std::to_string(static_cast<std::int64_t>(value)) : fmt::format("{}", value));
  return text;
}

}  // namespace

DataError::DataError(std::string message, std::int64_t row, double value)
    : ValueError(filled_in(message, row, value)), message_(std::move(message)), row_(row), value_(value) {}

}  // namespace kiln
