#pragma once
#include "kiln/graph/graph.h"

namespace kiln::graph::testing {

/// LeNet-5's training step on (batch, 28, 28, 1) u8 images and i32 labels: forward, sparse cross-entropy with
/// a check of the labels, gradients, Adam, accuracy. Output: the loss. `relu` instead of sigmoid if wanted.
Graph lenet_training(std::int64_t batch, bool relu = false);
/// The same network's predictions.
Graph lenet_inference(std::int64_t batch);

}  // namespace kiln::graph::testing
