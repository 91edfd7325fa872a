// Tables put together: by rows, by columns, by a key.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "api/support/names.h"
#include "kiln/data/table.h"

namespace kiln::data {
namespace {

void copy_column(Table& to, const std::string& name, const Table& from, const std::string& of) {
  if (from.is_number(of))
    to.add(name, from.numbers(of));
  else
    to.add(name, from.strings(of));
}

Table below_each_other(const std::vector<Table>& tables) {
  Table result;
  for (const std::string& name : tables[0].names()) {
    std::vector<double> numbers;
    std::vector<std::string> strings;
    for (std::size_t i = 0; i < tables.size(); i++) {
      const Table& t = tables[i];
      if (!t.has(name) || t.names().size() != tables[0].names().size())
        throw ValueError(
            fmt::format("concat: table 0 has {} columns, one of them \"{}\"; table {} {}; rows go below "
                        "each other only where all columns are the same",
                        tables[0].names().size(), name, i,
                        t.has(name) ? fmt::format("has {}", t.names().size()) : "has no such column"));
      if (t.is_number(name) != tables[0].is_number(name))
        throw TypeError(fmt::format("concat: column \"{}\" holds {} in table 0, but {} in table {}", name,
                                    tables[0].is_number(name) ? "numbers" : "strings",
                                    t.is_number(name) ? "numbers" : "strings", i));
      if (t.is_number(name))
        numbers.insert(numbers.end(), t.numbers(name).begin(), t.numbers(name).end());
      else
        strings.insert(strings.end(), t.strings(name).begin(), t.strings(name).end());
    }
    if (tables[0].is_number(name))
      result.add(name, std::move(numbers));
    else
      result.add(name, std::move(strings));
  }
  return result;
}

Table beside_each_other(const std::vector<Table>& tables) {
  Table result;
  for (std::size_t i = 0; i < tables.size(); i++) {
    if (tables[i].rows() != tables[0].rows())
      throw ShapeError(fmt::format(
          "concat: table 0 has {} rows, but table {} has {}; to put together what a key joins, use merge",
          tables[0].rows(), i, tables[i].rows()));
    for (const std::string& name : tables[i].names()) {
      if (result.has(name))
        throw ValueError(
            fmt::format("concat: column \"{}\" is in table {} and in one before; drop one of them", name, i));
      copy_column(result, name, tables[i], name);
    }
  }
  return result;
}

/// The right table's rows by key.
template <class Key>
std::map<Key, std::vector<std::int64_t>> rows_by_key(const std::vector<Key>& keys) {
  std::map<Key, std::vector<std::int64_t>> rows;
  for (std::size_t i = 0; i < keys.size(); i++) {
    if constexpr (std::is_same_v<Key, double>) {
      if (std::isnan(keys[i])) continue;  // would have no place in an order
    } else {
      if (keys[i].empty()) continue;
    }
    rows[keys[i]].push_back(static_cast<std::int64_t>(i));
  }
  return rows;
}

struct Pairs {
  std::vector<std::int64_t> left, right;
};

template <class Key>
Pairs pairs(const std::vector<Key>& left, const std::vector<Key>& right, bool keep_left) {
  const auto rows = rows_by_key(right);
  Pairs result;
  for (std::size_t i = 0; i < left.size(); i++) {
    bool found = false;
    const bool comparable = left[i] == left[i];
    if (const auto at = comparable ? rows.find(left[i]) : rows.end(); at != rows.end()) {
      found = true;
      for (std::int64_t row : at->second) {
        result.left.push_back(static_cast<std::int64_t>(i));
        result.right.push_back(row);
      }
    }
    if (!found && keep_left) {
      result.left.push_back(static_cast<std::int64_t>(i));
      result.right.push_back(-1);
    }
  }
  return result;
}

void check_key(const char* side, const Table& table, const std::string& on) {
  if (table.has(on)) return;
  const std::vector<std::string_view> names(table.names().begin(), table.names().end());
  throw ValueError(fmt::format("merge: the {} table has no column \"{}\" to join on; it has {}", side, on,
                               internal::quoted_list(names)));
}

}  // namespace

Table concat(const std::vector<Table>& tables, ConcatArgs args) {
  if (args.axis != 0 && args.axis != 1)
    throw ValueError(
        fmt::format("concat: axis is {}; give 0 (rows below rows) or 1 (columns beside columns)", args.axis));
  if (tables.empty()) throw ValueError("concat: there are no tables; give at least one");
  return args.axis == 0 ? below_each_other(tables) : beside_each_other(tables);
}

Table merge(const Table& left, const Table& right, MergeArgs args) {
  static constexpr std::array<std::string_view, 2> ways = {"inner", "left"};
  if (args.how != ways[0] && args.how != ways[1]) internal::unknown_name("merge: how", args.how, ways);
  if (args.on.empty())
    throw ValueError("merge: there is no key; give .on = \"column\", a column of both tables");
  if (args.suffixes.size() != 2 || args.suffixes[0] == args.suffixes[1])
    throw ValueError(
        fmt::format("merge: {} suffixes were given; two different ones are needed, such as \"_x\" and "
                    "\"_y\"",
                    args.suffixes.size()));
  check_key("left", left, args.on);
  check_key("right", right, args.on);
  const bool number = left.is_number(args.on);
  if (number != right.is_number(args.on))
    throw TypeError(fmt::format("merge: the key \"{}\" holds {} in the left table, but {} in the right one",
                                args.on, number ? "numbers" : "strings", number ? "strings" : "numbers"));
  const bool keep_left = args.how == "left";
  const Pairs rows = number ? pairs(left.numbers(args.on), right.numbers(args.on), keep_left)
                            : pairs(left.strings(args.on), right.strings(args.on), keep_left);
  const Table from_left = left.take(rows.left), from_right = right.take(rows.right);
  Table result;
  for (const std::string& name : left.names())
    copy_column(result, name != args.on && right.has(name) ? name + args.suffixes[0] : name, from_left, name);
  for (const std::string& name : right.names())
    if (name != args.on)
      copy_column(result, left.has(name) ? name + args.suffixes[1] : name, from_right, name);
  return result;
}

}  // namespace kiln::data
