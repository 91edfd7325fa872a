#include "api/layers/encoding.h"

#include <algorithm>
#include <array>

#include "api/support/names.h"
#include "api/training/targets.h"

namespace kiln::internal {

using graph::Value;

void check_encoding(const std::string& class_name, const std::string& mode, bool whole_numbers) {
  static constexpr std::array<std::string_view, 4> modes = {"one_hot", "multi_hot", "count", "int"};
  const std::span<const std::string_view> known = std::span(modes).first(whole_numbers ? 4 : 3);
  if (std::find(known.begin(), known.end(), mode) == known.end())
    unknown_name(class_name + ": output_mode", mode, known);
}

Value encoded(Value numbers, std::int64_t depth, const std::string& mode, DType dtype) {
  if (mode == "int") return numbers;
  if (mode == "one_hot" && numbers.rank() > 1 && numbers.shape().back() == 1)
    numbers = graph::squeeze(numbers, {numbers.rank() - 1});
  const Value hot = graph::convert(one_hot(numbers, depth), dtype);
  if (mode == "one_hot") return hot;
  const int axis = numbers.rank() > 1 ? numbers.rank() - 1 : 0;
  return mode == "count" ? graph::reduce_sum(hot, {axis}) : graph::reduce_max(hot, {axis});
}

Tensor encoded(const std::vector<std::int64_t>& numbers, const Shape& shape, std::int64_t depth,
               const std::string& mode, DType dtype) {
  if (mode == "int") return Tensor(numbers, shape).astype(dtype);
  Shape result = shape;
  if (!result.empty() && (mode != "one_hot" || (result.rank() > 1 && result.back() == 1)))
    result = shape.slice(0, shape.rank() - 1);
  // How many numbers share a row of the result.
  const std::int64_t rows = result.elements();
  const std::int64_t together = rows == 0 ? 1 : static_cast<std::int64_t>(numbers.size()) / rows;
  result.push_back(depth);
  std::vector<double> hot(static_cast<std::size_t>(result.elements()), 0);
  for (std::size_t i = 0; i < numbers.size(); i++) {
    if (numbers[i] < 0 || numbers[i] >= depth) continue;
    double& place =
        hot[static_cast<std::size_t>(static_cast<std::int64_t>(i) / together * depth + numbers[i])];
    place = mode == "count" ? place + 1 : 1;
  }
  return Tensor(hot, result).astype(dtype);
}

}  // namespace kiln::internal
