#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "api/data/rows.h"
#include "api/support/random.h"
#include "kiln/data/preparation.h"
#include "kiln/data/table.h"

namespace kiln::data {
namespace {

using Rows = std::vector<std::int64_t>;

std::int64_t test_rows(std::int64_t rows, double test_size) {
  if (!(test_size > 0) || (test_size >= 1 && test_size != std::floor(test_size)))
    throw ValueError(fmt::format(
        "train_test_split: test_size is {}; give a share in (0, 1) or a whole number of rows", test_size));
  const double exact = test_size < 1 ? test_size * static_cast<double>(rows) : test_size;
  // 0.1 * 30 is a little above 3 in binary, and still three rows.
  const double nearest = std::round(exact);
  const double test =
      std::abs(exact - nearest) < 1e-9 * static_cast<double>(rows) ? nearest : std::ceil(exact);
  if (test < 1 || test >= static_cast<double>(rows))
    throw ValueError(fmt::format(
        "train_test_split: test_size={} of {} rows leaves {} for training and {} to test; both need "
        "at least one",
        test_size, rows, static_cast<double>(rows) - test, test));
  return static_cast<std::int64_t>(test);
}

/// How many rows of each class make `total`, in proportion: rounded down, and the largest rests get one more.
Rows shares(const Rows& counts, std::int64_t total) {
  const std::int64_t all = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  Rows result(counts.size()), by_rest(counts.size());
  std::iota(by_rest.begin(), by_rest.end(), 0);
  std::int64_t left = total;
  for (std::size_t i = 0; i < counts.size(); i++) left -= result[i] = counts[i] * total / all;
  std::stable_sort(by_rest.begin(), by_rest.end(), [&](std::int64_t a, std::int64_t b) {
    const auto rest = [&](std::int64_t i) { return counts[static_cast<std::size_t>(i)] * total % all; };
    return rest(a) > rest(b);
  });
  for (std::int64_t i = 0; i < left; i++)
    result[static_cast<std::size_t>(by_rest[static_cast<std::size_t>(i)])]++;
  return result;
}

/// The rows of the test, of rows that are in random order.
Rows stratified(const Rows& order, const Tensor& classes, std::int64_t test) {
  const std::vector<double> of_row = classes.to_vector<double>();
  for (std::size_t i = 0; i < of_row.size(); i++)
    if (std::isnan(of_row[i]))
      throw ValueError(fmt::format("train_test_split: stratify is NaN in row {}; give each row a class", i));
  std::map<double, Rows> members;
  for (std::int64_t row : order) members[of_row[static_cast<std::size_t>(row)]].push_back(row);
  Rows counts;
  for (const auto& [number, rows] : members) {
    if (rows.size() < 2)
      throw ValueError(fmt::format(
          "train_test_split: stratify has class {} in one row only (row {}); each class needs two, "
          "one for each part",
          number, rows[0]));
    counts.push_back(static_cast<std::int64_t>(rows.size()));
  }
  const auto rows = static_cast<std::int64_t>(order.size()), kinds = static_cast<std::int64_t>(counts.size());
  if (std::min(test, rows - test) < kinds)
    throw ValueError(fmt::format(
        "train_test_split: stratify has {} classes, but the parts have {} and {} rows; each class "
        "needs a row in both",
        kinds, rows - test, test));
  const Rows of_class = shares(counts, test);
  Rows chosen;
  std::size_t i = 0;
  for (const auto& [number, rows_of_class] : members) {
    chosen.insert(chosen.end(), rows_of_class.begin(), rows_of_class.begin() + of_class[i]);
    i++;
  }
  return chosen;
}

struct Parts {
  Rows train, test;
};

Parts split(std::int64_t rows, const SplitArgs& args) {
  const std::int64_t test = test_rows(rows, args.test_size);
  const bool stratify = args.stratify.defined();
  if (stratify && !args.shuffle)
    throw ValueError("train_test_split: stratify picks rows at random, so it needs shuffle = true");
  if (stratify && (args.stratify.rank() < 1 || args.stratify.dim(0) != rows || args.stratify.size() != rows))
    throw ShapeError(
        fmt::format("train_test_split: stratify has shape {}, but it needs one class for each of the {} rows",
                    args.stratify.shape().to_string(), rows));
  Rows order(static_cast<std::size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  if (!args.shuffle) return {Rows(order.begin(), order.end() - test), Rows(order.end() - test, order.end())};
  order = internal::permutation(rows, args.seed ? *args.seed : internal::next_seed());
  if (!stratify) return {Rows(order.begin() + test, order.end()), Rows(order.begin(), order.begin() + test)};
  // Both parts keep the random order, in which the classes are mixed.
  const Rows chosen = stratified(order, args.stratify, test);
  std::vector<bool> in_test(order.size());
  for (std::int64_t row : chosen) in_test[static_cast<std::size_t>(row)] = true;
  Parts parts;
  for (std::int64_t row : order)
    (in_test[static_cast<std::size_t>(row)] ? parts.test : parts.train).push_back(row);
  return parts;
}

}  // namespace

std::vector<Tensor> train_test_split(const std::vector<Tensor>& arrays, SplitArgs args) {
  if (arrays.empty()) throw ShapeError("train_test_split: there are no arrays; give at least one");
  for (std::size_t i = 0; i < arrays.size(); i++) {
    const Tensor& t = arrays[i];
    if (!t.defined() || t.rank() < 1)
      throw ShapeError(fmt::format("train_test_split: array {} {}; it must have rows", i,
                                   t.defined() ? "has shape ()" : "is an empty Tensor"));
    if (t.dim(0) != arrays[0].dim(0))
      throw ShapeError(
          fmt::format("train_test_split: array 0 has {} rows, but array {} has {}; the same rows go "
                      "together",
                      arrays[0].dim(0), i, t.dim(0)));
  }
  const Parts parts = split(arrays[0].dim(0), args);
  std::vector<Tensor> result;
  for (const Tensor& t : arrays) {
    result.push_back(internal::picked_rows(t, parts.train));
    result.push_back(internal::picked_rows(t, parts.test));
  }
  return result;
}

std::array<Tensor, 2> train_test_split(const Tensor& x, SplitArgs args) {
  const std::vector<Tensor> parts = train_test_split(std::vector<Tensor>{x}, std::move(args));
  return {parts[0], parts[1]};
}

std::array<Table, 2> train_test_split(const Table& table, SplitArgs args) {
  const Parts parts = split(table.rows(), args);
  return {table.take(parts.train), table.take(parts.test)};
}

}  // namespace kiln::data
