#pragma once
#include <string>
#include <vector>

#include "kiln/graph/ops.h"

/// Whole numbers as ones among zeros, in a graph and on the host: "one_hot", "multi_hot", "count"; see
/// CategoryEncoding.
namespace kiln::internal {

/// Throws ValueError unless `mode` is one of those three or, with `whole_numbers`, "int".
void check_encoding(const std::string& class_name, const std::string& mode, bool whole_numbers);

/// Numbers, i32; negative ones are none. For "int" themselves, else encoded in the type `dtype`.
graph::Value encoded(graph::Value numbers, std::int64_t depth, const std::string& mode, DType dtype);

/// The same on the host. For "int" as they are, of the type `dtype`.
Tensor encoded(const std::vector<std::int64_t>& numbers, const Shape& shape, std::int64_t depth,
               const std::string& mode, DType dtype);

}  // namespace kiln::internal
