#include <csv.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "api/support/names.h"
#include "kiln/data/table.h"
#include "kiln/runtime/file.h"

namespace kiln::data {
namespace {

struct Row {
  std::int64_t line = 0;  ///< where it begins
  std::vector<std::string> fields;
};

/// The file's rows. libcsv finds fields and rows; fed line by line, it leaves the counting of lines to us.
class Parser {
 public:
  Parser(const std::string& path, char delimiter) : path_(path) {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0)
      throw InternalError("libcsv could not be set up");
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
  }
  ~Parser() { csv_free(&parser_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  std::vector<Row> parse(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
    while (!text.empty()) {
      line_++;
      const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
      const std::size_t read = csv_parse(&parser_, line.data(), line.size(), field, row, this);
      if (read < line.size()) {
        if (csv_error(&parser_) != CSV_EPARSE) fail(line_, csv_strerror(csv_error(&parser_)));
        fail(line_,
             fmt::format("a quote stands where none may, near character {}; a field with quotes in it is "
                         "put into quotes, and they are doubled",
                         read + 1));
      }
      text.remove_prefix(line.size());
    }
    if (csv_fini(&parser_, field, row, this) != 0)
      fail(current_.empty() ? next_line_ : current_line_,
           "the row that begins here has quotes that aren't closed before the end of the file");
    return std::move(rows_);
  }

 private:
  [[noreturn]] void fail(std::int64_t line, const std::string& reason) const {
    throw FileError(fmt::format("{}: line {}: {}", path_, line, reason));
  }
  static void field(void* text, std::size_t size, void* self) {
    auto& parser = *static_cast<Parser*>(self);
    const std::string_view value(text == nullptr ? "" : static_cast<const char*>(text), size);
    // The row began where its first field did, which may have line ends in it.
    if (parser.current_.empty())
      parser.current_line_ = parser.line_ - std::count(value.begin(), value.end(), '\n');
    parser.current_.emplace_back(value);
  }
  static void row(int, void* self) {
    auto& parser = *static_cast<Parser*>(self);
    parser.rows_.push_back({parser.current_line_, std::move(parser.current_)});
    parser.current_.clear();
    parser.next_line_ = parser.line_ + 1;
  }

  std::string path_;
  csv_parser parser_{};
  std::int64_t line_ = 0, current_line_ = 1, next_line_ = 1;
  std::vector<std::string> current_;
  std::vector<Row> rows_;
};

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string content_of(const std::string& path) {
  const runtime::InputFile file(path);
  std::string text(file.size(), '\0');
  file.read(text.data(), 0, text.size());
  return text;
}

std::optional<double> number_of(const std::string& text) {
  const char* first = text.data();
  const char* last = first + text.size();
  if (first != last && *first == '+') first++;
  if (first == last || (*first == '-' && text[0] == '+')) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(first, last, value);
  if (end != last) return {};
  if (error == std::errc::result_out_of_range) {
    // Too large or too small for a double: as strtod has it.
    return std::strtod(text.c_str(), nullptr);
  }
  if (error != std::errc()) return {};
  // A whole number that no double is, such as a long key, stays a text.
  const bool whole = text.find_first_not_of("+-0123456789") == std::string::npos;
  if (whole && std::abs(value) > 9007199254740992.0) return {};
  return value;
}

std::vector<std::string> names_of(const std::string& path, const std::vector<Row>& rows,
                                  const ReadCsvArgs& args) {
  const std::size_t columns = rows[0].fields.size();
  std::vector<std::string> names = args.names;
  if (!names.empty() && names.size() != columns)
    throw ValueError(fmt::format("read_csv: {} names for the {} columns of {}", names.size(), columns, path));
  if (names.empty() && args.header) names = rows[0].fields;
  if (names.empty())
    for (std::size_t i = 0; i < columns; i++) names.push_back(std::to_string(i));
  for (std::size_t i = 0; i < columns; i++) {
    const auto before = names.begin() + static_cast<std::ptrdiff_t>(i);
    const bool twice = std::find(names.begin(), before, names[i]) != before;
    if (!args.names.empty() && (names[i].empty() || twice))
      throw ValueError(fmt::format("read_csv: names has \"{}\"{}; each column needs a name of its own",
                                   names[i], twice ? " twice" : ""));
    if (names[i].empty())
      throw FileError(
          fmt::format("{}: line {}: column {} of the header has no name; give .names, or .header = "
                      "false if there are none",
                      path, rows[0].line, i + 1));
    if (twice)
      throw FileError(fmt::format(
          "{}: line {}: two columns are called \"{}\"; give .names, or .header = false if the first "
          "row holds values",
          path, rows[0].line, names[i]));
  }
  return names;
}

}  // namespace

Table read_csv(const std::string& path, ReadCsvArgs args) {
  if (args.delimiter == '"' || args.delimiter == '\n' || args.delimiter == '\r' || args.delimiter == ' ' ||
      args.delimiter == '\0')
    throw ValueError(
        "read_csv: the delimiter can't be a quote, a space or a line end; give ',' or ';' or '\\t'");
  std::vector<Row> rows = Parser(path, args.delimiter).parse(content_of(path));
  if (rows.empty()) throw FileError(path + ": the file is empty; a CSV file needs a row");
  const std::size_t columns = rows[0].fields.size();
  const std::vector<std::string> names = names_of(path, rows, args);
  const std::vector<std::string_view> known(names.begin(), names.end());
  for (const auto& [what, given] : {std::pair("strings", &args.strings), std::pair("numbers", &args.numbers)})
    for (const std::string& name : *given)
      if (!contains(names, name))
        internal::unknown_name(fmt::format("read_csv: {}: column", what), name, known);
  for (const Row& row : rows)
    if (row.fields.size() != columns)
      throw FileError(
          fmt::format("{}: line {}: the row has {} fields, but the first has {}; the last one is "
                      "\"{}\"",
                      path, row.line, row.fields.size(), columns, row.fields.back()));
  if (args.header) rows.erase(rows.begin());

  Table table;
  for (std::size_t c = 0; c < columns; c++) {
    const bool must_be_numbers = contains(args.numbers, names[c]);
    bool all_numbers = must_be_numbers || !contains(args.strings, names[c]);
    std::vector<double> numbers;
    std::vector<std::string> strings;
    for (Row& row : rows) {
      std::string& field = row.fields[c];
      if (std::find(args.na_values.begin(), args.na_values.end(), field) != args.na_values.end())
        field.clear();
      if (all_numbers) {
        const std::optional<double> number =
            field.empty() ? std::numeric_limits<double>::quiet_NaN() : number_of(field);
        if (!number && must_be_numbers)
          throw FileError(fmt::format("{}: line {}: column \"{}\" holds \"{}\", which is no number", path,
                                      row.line, names[c], field));
        all_numbers = number.has_value();
        if (number) numbers.push_back(*number);
      }
      strings.push_back(std::move(field));
    }
    if (all_numbers)
      table.add(names[c], std::move(numbers));
    else
      table.add(names[c], std::move(strings));
  }
  return table;
}

}  // namespace kiln::data
