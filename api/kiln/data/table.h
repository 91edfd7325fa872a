#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln::data {

/// Named columns of equal length, each of numbers or of strings. A value that is missing is NaN among
/// numbers and "" among strings. What takes a name throws ValueError with the nearest one if there is no such
/// column.
class KILN_API Table {
 public:
  Table() = default;
  /// The columns of an array (rows, columns), or of one column (rows,). Throws ShapeError if the names are
  /// not as many.
  static Table from_tensor(const Tensor& x, const std::vector<std::string>& names);

  /// Adds a column. Throws ValueError if the name is taken, ShapeError if the number of rows differs.
  Table& add(const std::string& name, std::vector<double> numbers);
  Table& add(const std::string& name, std::vector<std::string> strings);

  std::int64_t rows() const { return rows_; }
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const;
  bool is_number(const std::string& name) const;
  /// Throws TypeError if they are strings.
  const std::vector<double>& numbers(const std::string& name) const;
  /// Throws TypeError if they are numbers.
  const std::vector<std::string>& strings(const std::string& name) const;

  /// These columns, in this order.
  Table select(const std::vector<std::string>& names) const;
  /// All but these columns.
  Table drop(const std::vector<std::string>& names) const;
  /// These rows, in this order; -1 gives a row of missing values. Throws ValueError for others.
  Table take(std::span<const std::int64_t> rows) const;
  /// The rows without a missing value in these columns (default: in any).
  Table drop_missing(const std::vector<std::string>& names = {}) const;

  /// Columns of numbers (default: all) as float32 (rows, columns); for strings see TableEncoder. Throws
  /// TypeError for a column of strings, ValueError for missing values.
  Tensor to_tensor(const std::vector<std::string>& names = {}) const;

  /// The first rows, in columns.
  std::string to_string(std::int64_t rows = 10) const;

 private:
  using Column = std::variant<std::vector<double>, std::vector<std::string>>;
  const Column& column(const std::string& name) const;
  Table& add_column(const std::string& name, Column column);

  std::vector<std::string> names_;
  std::vector<Column> columns_;
  std::int64_t rows_ = 0;
};

struct ReadCsvArgs {
  char delimiter = ',';
  bool header = true;                     ///< the first row holds the names
  std::vector<std::string> names = {};    ///< instead of the header's, or of "0", "1", ...
  std::vector<std::string> strings = {};  ///< columns to keep as strings, such as postal codes
  std::vector<std::string> numbers = {};  ///< columns that must be numbers: else an error says where not
  /// What stands for a missing value, besides nothing at all.
  std::vector<std::string> na_values = {"NA", "N/A", "NaN", "nan", "null", "NULL", "None"};
};
/// Reads a file of comma-separated values (RFC 4180): fields may be in quotes, and then hold delimiters, line
/// ends and doubled quotes. Spaces around other fields and empty lines are left out. A column is one of
/// numbers if all its values are, missing ones aside, else of strings: also where whole numbers are beyond
/// 2^53, which float64 can't tell apart.
///
/// Throws FileError naming the file and the line for a file that can't be read, a row with more or fewer
/// fields than the first, quotes that aren't closed or stand in the middle of a field, a name that is missing
/// or there twice; ValueError for `names` that are not as many as the fields and for unknown `strings` or
/// `numbers`.
KILN_API Table read_csv(const std::string& path, ReadCsvArgs args = {});

struct ConcatArgs {
  std::int64_t axis = 0;  ///< 0: rows below rows; 1: columns beside columns
};
/// Tables put together. Along axis 0 all need the same columns (in any order), along axis 1 as many rows and
/// different names. Throws ShapeError, ValueError or TypeError where they haven't.
KILN_API Table concat(const std::vector<Table>& tables, ConcatArgs args = {});

struct MergeArgs {
  std::string on = "";        ///< the key: a column of both
  std::string how = "inner";  ///< rows whose key both have; "left": all rows of the left table
  std::vector<std::string> suffixes = {"_x", "_y"};  ///< for other columns that both have
};
/// Rows of two tables joined where a key is the same, as pandas does it: in the order of the left table, each
/// with every row of the right one that has its key. A missing key fits none. With "left", what isn't found
/// is missing. Throws ValueError for a key that isn't in both and unknown `how`, TypeError if the key is of
/// numbers in one and of strings in the other.
KILN_API Table merge(const Table& left, const Table& right, MergeArgs args);

struct TableEncoderArgs {
  std::vector<std::string> columns = {};    ///< default: all
  std::string strings = "one_hot";          ///< or "index": the category's number
  std::string unknown = "error";            ///< categories that `fit` hasn't seen; "ignore": zeros, or -1
  std::optional<double> fill_missing = {};  ///< for numbers; default: an error
};
/// Columns as one array (rows, features) of float32: numbers as they are, strings by the categories that they
/// had in the training data, in alphabetical order. Among strings, "" is a category like others.
class KILN_API TableEncoder {
 public:
  /// Throws ValueError for unknown options.
  explicit TableEncoder(TableEncoderArgs args = {});
  TableEncoder& fit(const Table& table);
  /// Throws StateError before `fit`, TypeError if a column is of another kind than in `fit`, ValueError for
  /// missing numbers and unknown categories.
  Tensor transform(const Table& table) const;
  Tensor fit_transform(const Table& table) { return fit(table).transform(table); }
  /// What each feature is: "age", "city=Paris".
  std::vector<std::string> feature_names() const;
  /// Throws ValueError if there is no such column of strings.
  const std::vector<std::string>& categories(const std::string& column) const;

 private:
  struct Column {
    std::string name;
    bool is_number;
    std::vector<std::string> categories;
  };
  std::int64_t width(const Column& column) const;
  TableEncoderArgs args_;
  std::vector<Column> columns_;
  bool fitted_ = false;
};

}  // namespace kiln::data
