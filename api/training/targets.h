#pragma once
#include <string>

#include "kiln/graph/ops.h"

/// How labels meet predictions: used by losses and metrics alike.
namespace kiln::internal {

/// y_true with y_pred's shape and type: a last axis of size 1 is added or dropped; anything else is a
/// ShapeError with both shapes.
graph::Value same_shape(const std::string& user, graph::Value y_true, graph::Value y_pred);

/// Class numbers as i32 of shape y_pred.shape without the last axis. Emits a check that each is inside
/// [0, classes).
graph::Value class_labels(const std::string& user, graph::Value y_true, graph::Value y_pred);

/// bool (..., classes): true where the class number is the label.
graph::Value one_hot(graph::Value labels, std::int64_t classes);

}  // namespace kiln::internal
