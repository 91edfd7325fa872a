#pragma once
#include <string>

#include "kiln/graph/ops.h"

namespace kiln::internal {

/// x as whole numbers, of which each must be in [0, limit): emits a check that stops the step with a
/// ValueError, which names `user`, the number and its row.
graph::Value whole_numbers_below(const std::string& user, graph::Value x, std::int64_t limit);

}  // namespace kiln::internal
