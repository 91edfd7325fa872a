#include "api/layers/whole_numbers.h"

#include <fmt/format.h>

namespace kiln::internal {

using graph::Value;

Value whole_numbers_below(const std::string& user, Value x, std::int64_t limit) {
  // Wider types are checked as they are: converting them first could bring a wrong number into the range.
  if (x.dtype() != DType::i32 && x.dtype() != DType::i64) x = graph::convert(x, DType::i32);
  const Value samples = graph::reshape(x, {x.shape()[0], x.shape().tail().elements()});
  const Value least = graph::reduce_min(samples, {1}), most = graph::reduce_max(samples, {1});
  const Value below = graph::compare(most, graph::scalar(most, static_cast<double>(limit)), "lt");
  const Value inside = graph::bit_and(graph::compare(least, graph::scalar(least, 0), "ge"), below);
  graph::check(inside, graph::select(below, least, most),
               fmt::format("{}: number {{value}} in row {{row}} is outside [0, {})", user, limit));
  return graph::convert(x, DType::i32);
}

}  // namespace kiln::internal
