#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "api/support/names.h"
#include "kiln/data/table.h"

namespace kiln::data {

TableEncoder::TableEncoder(TableEncoderArgs args) : args_(std::move(args)) {
  static constexpr std::array<std::string_view, 2> codes = {"one_hot", "index"},
                                                   unknown = {"error", "ignore"};
  if (args_.strings != codes[0] && args_.strings != codes[1])
    internal::unknown_name("TableEncoder: strings", args_.strings, codes);
  if (args_.unknown != unknown[0] && args_.unknown != unknown[1])
    internal::unknown_name("TableEncoder: unknown", args_.unknown, unknown);
}

TableEncoder& TableEncoder::fit(const Table& table) {
  std::vector<Column> columns;
  for (const std::string& name : args_.columns.empty() ? table.names() : args_.columns) {
    Column column{name, table.is_number(name), {}};
    if (!column.is_number) {
      const std::vector<std::string>& values = table.strings(name);
      const std::set<std::string> sorted(values.begin(), values.end());
      column.categories.assign(sorted.begin(), sorted.end());
    }
    columns.push_back(std::move(column));
  }
  columns_ = std::move(columns);
  fitted_ = true;
  return *this;
}

std::int64_t TableEncoder::width(const Column& column) const {
  const bool one = column.is_number || args_.strings == "index";
  return one ? 1 : static_cast<std::int64_t>(column.categories.size());
}

Tensor TableEncoder::transform(const Table& table) const {
  if (!fitted_)
    throw StateError("TableEncoder: transform was called before fit; call fit on the training data first");
  std::int64_t features = 0;
  for (const Column& c : columns_) features += width(c);
  Tensor result = Tensor::zeros({table.rows(), features});
  float* first = result.data<float>();
  for (const Column& column : columns_) {
    const bool number = table.is_number(column.name);
    if (number != column.is_number)
      throw TypeError(fmt::format("TableEncoder: column \"{}\" holds {}, but {} when fit was called",
                                  column.name, number ? "numbers" : "strings",
                                  number ? "strings" : "numbers"));
    for (std::int64_t row = 0; row < table.rows(); row++) {
      float* at = first + row * features;
      const auto i = static_cast<std::size_t>(row);
      if (number) {
        const double value = table.numbers(column.name)[i];
        if (std::isnan(value) && !args_.fill_missing)
          throw ValueError(
              fmt::format("column \"{}\" has no value in row {}; call drop_missing on the table, or give "
                          "TableEncoder a fill_missing",
                          column.name, row));
        *at = static_cast<float>(std::isnan(value) ? *args_.fill_missing : value);
        continue;
      }
      const std::string& value = table.strings(column.name)[i];
      const auto found = std::lower_bound(column.categories.begin(), column.categories.end(), value);
      const bool known = found != column.categories.end() && *found == value;
      if (!known && args_.unknown == "error")
        throw ValueError(fmt::format(
            "TableEncoder: column \"{}\" has \"{}\" in row {}, which isn't among the {} categories "
            "that fit saw; give .unknown = \"ignore\", or fit on data that has it",
            column.name, value, row, column.categories.size()));
      const std::int64_t category = known ? found - column.categories.begin() : -1;
      if (args_.strings == "index")
        *at = static_cast<float>(category);
      else if (known)
        at[category] = 1;
    }
    first += width(column);
  }
  return result;
}

std::vector<std::string> TableEncoder::feature_names() const {
  std::vector<std::string> names;
  for (const Column& c : columns_) {
    if (c.is_number || args_.strings == "index")
      names.push_back(c.name);
    else
      for (const std::string& category : c.categories) names.push_back(c.name + "=" + category);
  }
  return names;
}

const std::vector<std::string>& TableEncoder::categories(const std::string& column) const {
  std::vector<std::string_view> known;
  for (const Column& c : columns_) {
    if (c.is_number) continue;
    if (c.name == column) return c.categories;
    known.push_back(c.name);
  }
  internal::unknown_name("TableEncoder: column of strings", column, known);
}

}  // namespace kiln::data
