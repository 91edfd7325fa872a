#include "kiln/strings.h"

#include <fmt/format.h>

#include "kiln/runtime/error.h"

namespace kiln {

Strings::Strings(std::vector<std::string> texts)
    : texts_(std::move(texts)), shape_{static_cast<std::int64_t>(texts_.size())} {}
Strings::Strings(std::initializer_list<const char*> texts)
    : Strings(std::vector<std::string>(texts.begin(), texts.end())) {}

Strings::Strings(const std::vector<std::vector<std::string>>& rows)
    : shape_{static_cast<std::int64_t>(rows.size()),
             rows.empty() ? 0 : static_cast<std::int64_t>(rows[0].size())} {
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (rows[i].size() != rows[0].size())
      throw ShapeError(fmt::format("Strings: row 0 has {} texts, but row {} has {}; make them equally long",
                                   rows[0].size(), i, rows[i].size()));
    texts_.insert(texts_.end(), rows[i].begin(), rows[i].end());
  }
}
Strings::Strings(std::initializer_list<std::initializer_list<const char*>> rows)
    : Strings([&] {
        std::vector<std::vector<std::string>> all;
        for (const auto& row : rows) all.emplace_back(row.begin(), row.end());
        return all;
      }()) {}

Strings::Strings(std::vector<std::string> texts, Shape shape)
    : texts_(std::move(texts)), shape_(std::move(shape)) {
  if (shape_.elements() != static_cast<std::int64_t>(texts_.size()))
    throw ShapeError(
        fmt::format("Strings: {} texts don't fill the shape {}", texts_.size(), shape_.to_string()));
}

}  // namespace kiln
