#pragma once
#include "kiln/graph/graph.h"

namespace kiln::graph {

/// LeNet's training step on Fashion-MNIST as the API would build it: u8 images, rescaling, two convolutions with
/// sigmoids and maximum pooling, three dense layers, softmax cross-entropy, Adam, accuracy.
Graph lenet_step(std::int64_t batch);

}  // namespace kiln::graph
