#include "api/layers/whole_numbers.h"

#include "api/training/targets.h"

namespace kiln::internal {

using graph::Value;

Value whole_numbers_below(const std::string& user, Value x, std::int64_t limit) {
  // Wider types are checked as they are: converting them first could bring a wrong number into the range.
  if (x.dtype() != DType::i32 && x.dtype() != DType::i64) x = graph::convert(x, DType::i32);
  check_below(user, "number", x, limit);
  return graph::convert(x, DType::i32);
}

}  // namespace kiln::internal
