#include "kiln/data/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "api/support/names.h"

namespace kiln::data {
namespace {

using Numbers = std::vector<double>;
using Strings = std::vector<std::string>;

[[noreturn]] void no_column(const std::string& name, const Strings& names) {
  const std::vector<std::string_view> known(names.begin(), names.end());
  internal::unknown_name("Table: column", name, known);
}

bool missing(double number) {
  return std::isnan(number);
}
bool missing(const std::string& text) {
  return text.empty();
}
double none_of(const Numbers&) {
  return std::numeric_limits<double>::quiet_NaN();
}
std::string none_of(const Strings&) {
  return "";
}
std::string text_of(double number) {
  return missing(number) ? "NaN" : fmt::format("{:.6g}", number);
}
std::string text_of(const std::string& text) {
  return text;
}

}  // namespace

Table Table::from_tensor(const Tensor& x, const std::vector<std::string>& names) {
  if (!x.defined() || x.rank() < 1 || x.rank() > 2)
    throw ShapeError(fmt::format("Table::from_tensor: x {}; it must be (rows,) or (rows, columns)",
                                 x.defined() ? "has shape " + x.shape().to_string() : "is an empty Tensor"));
  const std::int64_t columns = x.rank() == 1 ? 1 : x.dim(1);
  if (static_cast<std::int64_t>(names.size()) != columns)
    throw ShapeError(fmt::format("Table::from_tensor: {} names for the {} columns of x, whose shape is {}",
                                 names.size(), columns, x.shape().to_string()));
  const Numbers values = x.to_vector<double>();
  Table table;
  for (std::size_t c = 0; c < names.size(); c++) {
    Numbers column;
    for (std::size_t i = c; i < values.size(); i += names.size()) column.push_back(values[i]);
    table.add(names[c], std::move(column));
  }
  return table;
}

Table& Table::add_column(const std::string& name, Column column) {
  const auto rows = static_cast<std::int64_t>(std::visit([](const auto& c) { return c.size(); }, column));
  if (has(name))
    throw ValueError(fmt::format("Table: there is a column \"{}\" already; give another name", name));
  if (!names_.empty() && rows != rows_)
    throw ShapeError(
        fmt::format("Table: column \"{}\" has {} rows, but the table has {}", name, rows, rows_));
  rows_ = rows;
  names_.push_back(name);
  columns_.push_back(std::move(column));
  return *this;
}

Table& Table::add(const std::string& name, std::vector<double> numbers) {
  return add_column(name, std::move(numbers));
}
Table& Table::add(const std::string& name, std::vector<std::string> strings) {
  return add_column(name, std::move(strings));
}

bool Table::has(const std::string& name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

const Table::Column& Table::column(const std::string& name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end()) no_column(name, names_);
  return columns_[static_cast<std::size_t>(found - names_.begin())];
}

bool Table::is_number(const std::string& name) const {
  return std::holds_alternative<Numbers>(column(name));
}

const std::vector<double>& Table::numbers(const std::string& name) const {
  const auto* numbers = std::get_if<Numbers>(&column(name));
  if (numbers == nullptr)
    throw TypeError(
        fmt::format("Table: column \"{}\" holds strings; read it with strings(), or make numbers of "
                    "it with TableEncoder",
                    name));
  return *numbers;
}

const std::vector<std::string>& Table::strings(const std::string& name) const {
  const auto* strings = std::get_if<Strings>(&column(name));
  if (strings == nullptr)
    throw TypeError(fmt::format("Table: column \"{}\" holds numbers; read it with numbers()", name));
  return *strings;
}

Table Table::select(const std::vector<std::string>& names) const {
  Table result;
  for (const std::string& name : names) result.add_column(name, column(name));
  if (names.empty()) result.rows_ = 0;
  return result;
}

Table Table::drop(const std::vector<std::string>& names) const {
  for (const std::string& name : names) column(name);  // must be there
  Strings kept;
  for (const std::string& name : names_)
    if (std::find(names.begin(), names.end(), name) == names.end()) kept.push_back(name);
  return select(kept);
}

Table Table::take(std::span<const std::int64_t> rows) const {
  for (std::int64_t row : rows)
    if (row < -1 || row >= rows_)
      throw ValueError(fmt::format("Table: there is no row {} among {}", row, rows_));
  Table result;
  for (std::size_t i = 0; i < names_.size(); i++)
    result.add_column(names_[i],
                      std::visit(
                          [&](const auto& from) -> Column {
                            std::remove_cvref_t<decltype(from)> to;
                            for (std::int64_t row : rows)
                              to.push_back(row < 0 ? none_of(from) : from[static_cast<std::size_t>(row)]);
                            return to;
                          },
                          columns_[i]));
  return result;
}

Table Table::drop_missing(const std::vector<std::string>& names) const {
  std::vector<bool> whole(static_cast<std::size_t>(rows_), true);
  for (const std::string& name : names.empty() ? names_ : names)
    std::visit(
        [&](const auto& values) {
          for (std::size_t i = 0; i < values.size(); i++)
            if (missing(values[i])) whole[i] = false;
        },
        column(name));
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < rows_; row++)
    if (whole[static_cast<std::size_t>(row)]) rows.push_back(row);
  return take(rows);
}

Tensor Table::to_tensor(const std::vector<std::string>& names) const {
  const Strings& chosen = names.empty() ? names_ : names;
  for (const std::string& name : chosen) numbers(name);  // strings are an error here, not to be encoded
  return TableEncoder({.columns = chosen}).fit_transform(*this);
}

std::string Table::to_string(std::int64_t rows) const {
  const std::int64_t shown = std::clamp<std::int64_t>(rows, 0, rows_);
  std::vector<Strings> cells;
  for (std::size_t i = 0; i < names_.size(); i++) {
    Strings column{names_[i]};
    std::visit(
        [&](const auto& values) {
          for (std::int64_t row = 0; row < shown; row++)
            column.push_back(text_of(values[static_cast<std::size_t>(row)]));
        },
        columns_[i]);
    cells.push_back(std::move(column));
  }
  std::string text;
  for (std::size_t row = 0; row <= static_cast<std::size_t>(shown) && !cells.empty(); row++) {
    for (const Strings& column : cells) {
      std::size_t width = 0;
      for (const std::string& cell : column) width = std::max(width, cell.size());
      text += fmt::format("{:>{}}", column[row], width + 2);
    }
    text += "\n";
  }
  return text + fmt::format("{} rows, {} columns\n", rows_, names_.size());
}

}  // namespace kiln::data
