#pragma once
#include <optional>

#include "kiln/axes.h"
#include "kiln/constraints.h"
#include "kiln/layer.h"

namespace kiln::layers {

struct AttentionArgs {
  bool use_scale = false;          ///< a weight that the scores are multiplied by
  std::string score_mode = "dot";  ///< or "concat": the sum of tanh(query + key)
  double dropout = 0;              ///< of the scores' softmax, while training
  std::optional<std::int64_t> seed = {};
  bool use_causal_mask = false;  ///< no query sees later values (in Keras an argument of the call)
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// Attention()({query, value}) or ({query, value, key}): query (batch, Tq, dim), value (batch, Tv, dim), key
/// as value (which it is by default) -> (batch, Tq, dim): softmax(query key^T) value (Luong et al. 2015).
/// Weights: scale (), with score_mode "concat" concat_score_weight (). Throws ShapeError for other shapes.
KILN_API Layer Attention(AttentionArgs args = {});

struct AdditiveAttentionArgs {
  bool use_scale = true;
  double dropout = 0;
  std::optional<std::int64_t> seed = {};
  bool use_causal_mask = false;
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// The same with scores sum(scale tanh(query + key)) and a weight scale (dim,) (Bahdanau et al. 2015).
KILN_API Layer AdditiveAttention(AdditiveAttentionArgs args = {});

struct MultiHeadAttentionArgs {
  std::optional<std::int64_t> value_dim = {};  ///< default: key_dim
  double dropout = 0;
  bool use_bias = true;
  std::optional<std::int64_t> output_shape = {};  ///< features of the result; default: the query's
  std::optional<Axes> attention_axes = {};        ///< default: all but batch, heads and features
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint kernel_constraint = {};
  Constraint bias_constraint = {};
  std::optional<std::int64_t> seed = {};
  bool use_causal_mask = false;  ///< no query sees later values (in Keras an argument of the call)
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// MultiHeadAttention(heads, key_dim)({query, value}) or ({query, value, key}): the three are projected to
/// each head's dimensions, softmax(query key^T / sqrt(key_dim)) value is taken for each head, and all heads'
/// results are projected to the output (Vaswani et al. 2017): query (batch, Tq, dim), value and key (batch,
/// Tv, ...) -> (batch, Tq, output_shape or dim). Weights: kernel and bias of the layers query, key, value and
/// attention_output inside. Throws ValueError for numbers below 1, ShapeError for inputs of other ranks.
KILN_API Layer MultiHeadAttention(std::int64_t num_heads, std::int64_t key_dim,
                                  MultiHeadAttentionArgs args = {});

struct GroupQueryAttentionArgs {
  double dropout = 0;
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};
  Constraint kernel_constraint = {};
  Constraint bias_constraint = {};
  std::optional<std::int64_t> seed = {};
  bool use_causal_mask = false;
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";
};
/// The same with fewer heads of keys and values, each of which serves a group of the queries' heads (Ainslie
/// et al. 2023). Throws ValueError unless num_key_value_heads divides num_query_heads.
KILN_API Layer GroupQueryAttention(std::int64_t head_dim, std::int64_t num_query_heads,
                                   std::int64_t num_key_value_heads, GroupQueryAttentionArgs args = {});
KILN_API Layer GroupedQueryAttention(std::int64_t head_dim, std::int64_t num_query_heads,
                                     std::int64_t num_key_value_heads, GroupQueryAttentionArgs args = {});

}  // namespace kiln::layers
