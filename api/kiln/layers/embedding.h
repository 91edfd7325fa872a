#pragma once
#include <optional>

#include "kiln/activations.h"
#include "kiln/constraints.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct EmbeddingArgs {
  Initializer embeddings_initializer = "uniform";
  Regularizer embeddings_regularizer = {};
  Constraint embeddings_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// A row of the weight embeddings (input_dim, output_dim) for each whole number of the input: (batch, ...) ->
/// (batch, ..., output_dim). Numbers outside [0, input_dim) stop the step with a ValueError that names number
/// and row. Throws ValueError for sizes below 1.
KILN_API Layer Embedding(std::int64_t input_dim, std::int64_t output_dim, EmbeddingArgs args = {});

struct EinsumDenseArgs {
  activations::Function activation = {};
  std::string bias_axes = "";  ///< letters of the result; none: no bias
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint kernel_constraint = {};
  Constraint bias_constraint = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// activation(einsum(equation, x, kernel) + bias): `EinsumDense("abc,cd->abd", {None, 64}, {.bias_axes =
/// "d"})` is a Dense(64) of each step. `output_shape` is the result's without the batch and what "..." stands
/// for; None where the input's size tells. Throws ValueError for an equation that isn't one, ShapeError if
/// sizes don't fit.
KILN_API Layer EinsumDense(std::string equation, Shape output_shape, EinsumDenseArgs args = {});

}  // namespace kiln::layers
