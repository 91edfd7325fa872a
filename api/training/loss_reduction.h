#pragma once
#include "kiln/losses.h"

namespace kiln::internal {

/// Weights (batch, ...) with axes of size 1 added behind until they have `values`' rank, then broadcast.
/// Throws ShapeError if they don't fit.
graph::Value spread_weights(const std::string& user, graph::Value weights, graph::Value values);

/// Each sample's loss times its weight (null: 1); 0 for those that don't count.
graph::Value unreduced_loss(const LossImpl& loss, graph::Value y_true, graph::Value y_pred,
                            graph::Value weights);

/// Throws ValueError for the reduction "none". `user` stands in the message.
void check_reduces(const LossImpl& loss, const char* user);

/// The loss of a batch, rank 0: each sample's loss times its weight (null: 1), reduced as the loss says.
graph::Value reduced_loss(const LossImpl& loss, graph::Value y_true, graph::Value y_pred,
                          graph::Value weights);

}  // namespace kiln::internal
