#pragma once
#include <string>

#include "kiln/graph/ops.h"

/// How labels meet predictions: used by losses and metrics alike.
namespace kiln::internal {

/// y_true with y_pred's shape and type: a last axis of size 1 is added or dropped; anything else is a
/// ShapeError with both shapes.
graph::Value same_shape(const std::string& user, graph::Value y_true, graph::Value y_pred);

/// Emits a check that stops the step with a ValueError if one of x's numbers isn't in [0, limit): it names
/// `user`, the number, which it calls `noun`, and its row. One row of the check is one sample of x, (batch,
/// ...).
void check_below(const std::string& user, const char* noun, graph::Value x, std::int64_t limit);

/// Class numbers as i32 of shape y_pred.shape without the last axis. Emits a check that each is inside
/// [0, classes).
graph::Value class_labels(const std::string& user, graph::Value y_true, graph::Value y_pred);

/// bool (..., classes): true where the class number is the label.
graph::Value one_hot(graph::Value labels, std::int64_t classes);

}  // namespace kiln::internal
