#include "kiln/layers/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/layers/configured.h"
#include "api/layers/dropping.h"
#include "api/support/names.h"
#include "kiln/activations.h"
#include "kiln/layers/embedding.h"

namespace kiln::layers {
namespace {

using graph::Ints;
using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

void check_dropout(const char* class_name, double rate) {
  if (!(rate >= 0 && rate < 1))
    throw ValueError(fmt::format("{}: dropout must be in [0, 1), but it is {}", class_name, rate));
}

void check_inputs(const LayerImpl& layer, std::span<const Shape> inputs, bool of_any_rank = false) {
  const auto wrong = [&](const std::string& what) {
    throw ShapeError(fmt::format("layer \"{}\" ({}): {}", layer.name(), layer.class_name(), what));
  };
  if (inputs.size() != 2 && inputs.size() != 3)
    wrong(fmt::format(
        "it takes query and value, or query, value and key, as in {}(...)({{query, value}}), but got {} "
        "inputs",
        layer.class_name(), inputs.size()));
  for (const Shape& x : inputs)
    if (x.rank() < 3 || (x.rank() > 3 && !of_any_rank) || x.rank() != inputs[0].rank())
      wrong(fmt::format("its inputs need the axes (batch, steps, features), but received shape {}",
                        x.to_string()));
  const Shape &value = inputs[1], &key = inputs.back();
  for (int i = 1; i < value.rank() - 1; i++)
    if (value.dim(i) != key.dim(i) && value.dim(i) != None && key.dim(i) != None)
      wrong(fmt::format("value and key must have the same steps, but their shapes are {} and {}",
                        value.to_string(), key.to_string()));
}

/// For scores that multiply or add the features of query and key.
void check_features(const LayerImpl& layer, std::span<const Shape> inputs) {
  const Shape &query = inputs[0], &key = inputs.back();
  if (query.back() != key.back() && query.back() != None && key.back() != None)
    throw ShapeError(fmt::format(
        "layer \"{}\" ({}): query and key need as many features each, but their shapes are {} and {}; bring "
        "them to one size by Dense layers, or take MultiHeadAttention, which has them inside",
        layer.name(), layer.class_name(), query.to_string(), key.to_string()));
}

/// What scores are after the softmax: the weights of the values; (..., queries, values).
Value weights_of(Call& context, Value scores, bool causal, double dropout, std::optional<std::int64_t> seed) {
  if (causal) {
    const graph::Type type{DType::i32, scores.shape()};
    const Value query = graph::iota(scores.graph(), type, scores.rank() - 2),
                value = graph::iota(scores.graph(), type, scores.rank() - 1);
    // A score so low that its exponential is 0, as Keras has it: finite, so that no row is all -inf.
    scores = graph::select(graph::compare(value, query, "le"), scores, graph::scalar(scores, -3e38));
  }
  const Value weights = activations::softmax(scores);
  return internal::dropped(context, weights, weights.shape(), dropout, seed);
}

/// query + key for each pair: (batch, Tq, Tv, dim).
Value sums_of_pairs(Value query, Value key) {
  const Value queries = graph::expand_dims(query, 2);
  return queries + graph::expand_dims(key, 1);
}

/// Of matrices in a batch: weights (batch, Tq, Tv) times values (batch, Tv, dim).
Value weighted(Value weights, Value values) {
  return graph::dot(weights, values, {0}, {0}, {2}, {1});
}

// ---- Attention, AdditiveAttention -------------------------------------------------------------------------

struct AttentionSpec : AttentionArgs {
  void fields(Fields& f) {
    f("use_scale", use_scale)("score_mode", score_mode)("dropout", dropout)("seed", seed);
    if (f.reads() || use_causal_mask) f("use_causal_mask", use_causal_mask);
  }
};

class AttentionImpl final : public ConfiguredLayer<AttentionSpec> {
 public:
  explicit AttentionImpl(AttentionSpec spec) : ConfiguredLayer(std::move(spec)) {
    static constexpr std::array<std::string_view, 2> modes = {"dot", "concat"};
    check_dropout("Attention", spec_.dropout);
    if (spec_.score_mode != modes[0] && spec_.score_mode != modes[1])
      internal::unknown_name("Attention: score_mode", spec_.score_mode, modes);
  }
  void check(std::span<const Shape> inputs) const override {
    check_inputs(*this, inputs);
    check_features(*this, inputs);
  }
  void build_all(std::span<const Shape>) override {
    if (spec_.use_scale) scale_ = add_weight({.name = "scale", .shape = {}, .initializer = "ones"});
    if (spec_.score_mode == "concat")
      concat_ = add_weight({.name = "concat_score_weight", .shape = {}, .initializer = "ones"});
  }
  std::vector<Value> call_all(Call& context, std::span<const Value> xs) override {
    const Value query = xs[0], value = xs[1], key = xs.back();
    Value scores;
    if (spec_.score_mode == "dot") {
      scores = graph::dot(query, key, {0}, {0}, {2}, {2});
      if (spec_.use_scale) scores = scores * context(scale_);
    } else {
      Value sums = sums_of_pairs(query, key);
      if (spec_.use_scale) sums = sums * context(scale_);
      const Value sum = graph::reduce_sum(graph::tanh(sums), {3});
      scores = sum * context(concat_);
    }
    return {weighted(weights_of(context, scores, spec_.use_causal_mask, spec_.dropout, spec_.seed), value)};
  }

 private:
  Variable scale_, concat_;
};

struct AdditiveAttentionSpec : AdditiveAttentionArgs {
  void fields(Fields& f) {
    f("use_scale", use_scale)("dropout", dropout)("seed", seed);
    if (f.reads() || use_causal_mask) f("use_causal_mask", use_causal_mask);
  }
};

class AdditiveAttentionImpl final : public ConfiguredLayer<AdditiveAttentionSpec> {
 public:
  explicit AdditiveAttentionImpl(AdditiveAttentionSpec spec) : ConfiguredLayer(std::move(spec)) {
    check_dropout("AdditiveAttention", spec_.dropout);
  }
  void check(std::span<const Shape> inputs) const override {
    check_inputs(*this, inputs);
    check_features(*this, inputs);
  }
  void build_all(std::span<const Shape> inputs) override {
    if (!spec_.use_scale) return;
    if (inputs[0].back() == None)
      throw ShapeError(
          fmt::format("layer \"{}\" (AdditiveAttention): the query's features must be known, to size scale, "
                      "but its shape is {}",
                      name(), inputs[0].to_string()));
    scale_ = add_weight({.name = "scale", .shape = {inputs[0].back()}});
  }
  std::vector<Value> call_all(Call& context, std::span<const Value> xs) override {
    const Value query = xs[0], value = xs[1], key = xs.back();
    Value sums = graph::tanh(sums_of_pairs(query, key));
    if (spec_.use_scale) sums = sums * context(scale_);
    const Value scores = graph::reduce_sum(sums, {3});
    return {weighted(weights_of(context, scores, spec_.use_causal_mask, spec_.dropout, spec_.seed), value)};
  }

 private:
  Variable scale_;
};

// ---- with several heads -----------------------------------------------------------------------------------

template <class Args>
void projection_fields(Fields& f, Args& a) {
  f("use_bias", a.use_bias)("dropout", a.dropout)("seed", a.seed);
  f("kernel_initializer", a.kernel_initializer)("bias_initializer", a.bias_initializer);
  f("kernel_regularizer", a.kernel_regularizer)("bias_regularizer", a.bias_regularizer);
  f("activity_regularizer", a.activity_regularizer);
  f("kernel_constraint", a.kernel_constraint)("bias_constraint", a.bias_constraint);
  if (f.reads() || a.use_causal_mask) f("use_causal_mask", a.use_causal_mask);
  f.only("use_gate", false);
}

/// A layer inside: its weights exist once the outer one is built.
Value inside(Call& context, const Layer& layer, Value x) {
  return layer.impl().emit(context, {&x, 1}).front();
}

/// What heads are: (batch, steps, heads, dim) of queries, keys, values, all with the same heads.
Value attend(Call& context, Value query, Value key, Value value, bool causal, double dropout,
             std::optional<std::int64_t> seed) {
  const double scale = 1 / std::sqrt(static_cast<double>(query.shape().back()));
  const Value scores = graph::dot(query * scale, key, {0, 2}, {0, 2}, {3}, {3});  // (batch, heads, Tq, Tv)
  const Value weights = weights_of(context, scores, causal, dropout, seed);
  const Value heads = graph::dot(weights, value, {0, 1}, {0, 2}, {3}, {1});  // (batch, heads, Tq, dim)
  return graph::transpose(heads, {0, 2, 1, 3});
}

/// What has projections inside: of query, key and value, and of the heads' results.
template <class Spec>
class HeadsImpl : public ConfiguredLayer<Spec> {
 public:
  using ConfiguredLayer<Spec>::ConfiguredLayer;

  std::vector<Layer> sublayers() const final {
    if (!query_.defined()) return {};
    return {query_, key_, value_, output_};
  }
  void set_trainable(bool trainable) final {
    LayerImpl::set_trainable(trainable);
    for (Layer layer : sublayers()) layer.set_trainable(trainable);
  }

 protected:
  EinsumDenseArgs projection(const char* name, const char* bias_axes) const {
    const Spec& spec = this->spec_;
    return {.bias_axes = spec.use_bias ? bias_axes : "",
            .kernel_initializer = spec.kernel_initializer,
            .bias_initializer = spec.bias_initializer,
            .kernel_regularizer = spec.kernel_regularizer,
            .bias_regularizer = spec.bias_regularizer,
            .activity_regularizer = spec.activity_regularizer,
            .kernel_constraint = spec.kernel_constraint,
            .bias_constraint = spec.bias_constraint,
            .dtype = spec.dtype,
            .name = name};
  }
  /// Makes the projections' weights; `of_heads` is the shape of what the heads give.
  void build_projections(std::span<const Shape> inputs, const Shape& of_heads) {
    query_.impl().ensure_built(inputs.first(1));
    key_.impl().ensure_built(inputs.last(1));
    value_.impl().ensure_built(inputs.subspan(1, 1));
    output_.impl().ensure_built({&of_heads, 1});
    if (!this->trainable()) set_trainable(false);
  }

  Layer query_, key_, value_, output_;
};

struct MultiHeadAttentionSpec : MultiHeadAttentionArgs {
  std::int64_t num_heads = 0, key_dim = 0;

  void fields(Fields& f) {
    f.required("num_heads", num_heads).required("key_dim", key_dim)("value_dim", value_dim);
    // Keras takes a number or a list of one.
    Config shape = output_shape ? Config(Config::List{*output_shape}) : Config();
    f("output_shape", shape);
    if (f.reads() && shape.is_list()) {
      if (shape.as_list().size() != 1)
        throw ValueError(
            "MultiHeadAttention: output_shape of several axes isn't supported; use EinsumDense behind it");
      shape = Config(shape.as_list()[0]);
    }
    if (f.reads()) internal::from_config(shape, output_shape);
    Config axes = attention_axes ? internal::to_config(attention_axes->values()) : Config();
    f("attention_axes", axes);
    if (f.reads() && !axes.is_null()) internal::from_config(axes, attention_axes.emplace(0));
    projection_fields(f, *this);
  }
};

class MultiHeadAttentionImpl final : public HeadsImpl<MultiHeadAttentionSpec> {
 public:
  explicit MultiHeadAttentionImpl(MultiHeadAttentionSpec spec) : HeadsImpl(std::move(spec)) {
    check_dropout("MultiHeadAttention", spec_.dropout);
    if (spec_.num_heads < 1 || spec_.key_dim < 1 || spec_.value_dim.value_or(1) < 1)
      throw ValueError(
          fmt::format("MultiHeadAttention: num_heads, key_dim and value_dim must be positive, not {}, {} and "
                      "{}",
                      spec_.num_heads, spec_.key_dim, value_dim()));
  }
  void check(std::span<const Shape> inputs) const override {
    check_inputs(*this, inputs, /*of_any_rank=*/true);
    if (spec_.attention_axes)
      for (std::int64_t axis : spec_.attention_axes->of_rank(user(), inputs[0].rank()))
        if (axis == 0 || axis == inputs[0].rank() - 1)
          throw ShapeError(
              fmt::format("{}: attention_axes are steps, neither batch nor features, but axis {} of the "
                          "query of shape {} is none",
                          user(), axis, inputs[0].to_string()));
  }
  void build_all(std::span<const Shape> inputs) override {
    const std::int64_t heads = spec_.num_heads, out = spec_.output_shape.value_or(inputs[0].back());
    query_ = EinsumDense("...x,xhd->...hd", {heads, spec_.key_dim}, projection("query", "hd"));
    key_ = EinsumDense("...x,xhd->...hd", {heads, spec_.key_dim}, projection("key", "hd"));
    value_ = EinsumDense("...x,xhd->...hd", {heads, value_dim()}, projection("value", "hd"));
    output_ = EinsumDense("...hd,hdo->...o", {out}, projection("attention_output", "o"));
    const Shape joined = inputs[0].slice(0, inputs[0].rank() - 1);
    std::vector<std::int64_t> sizes = joined.sizes();
    sizes.insert(sizes.end(), {heads, value_dim()});
    const Shape of_heads(sizes);
    build_projections(inputs, of_heads);
  }
  std::vector<Value> call_all(Call& context, std::span<const Value> xs) override {
    // Steps as one axis behind those that don't attend, which count as more samples.
    const Value query = one_axis(inside(context, query_, xs[0])),
                key = one_axis(inside(context, key_, xs.back())),
                value = one_axis(inside(context, value_, xs[1]));
    const Value heads = attend(context, query, key, value, spec_.use_causal_mask, spec_.dropout, spec_.seed);
    return {inside(context, output_, all_axes(heads, xs[0].shape()))};
  }

 private:
  std::int64_t value_dim() const { return spec_.value_dim.value_or(spec_.key_dim); }
  std::string user() const { return fmt::format("layer \"{}\" (MultiHeadAttention)", name()); }

  struct Order {
    Ints axes;           ///< those that don't attend, then those that do
    std::size_t others;  ///< how many don't
  };
  /// Of an input's axes but the last.
  Order order(int rank) const {
    Ints steps;
    if (spec_.attention_axes)
      steps = spec_.attention_axes->of_rank(user(), rank);
    else
      for (int i = 1; i < rank - 1; i++) steps.push_back(i);
    Ints axes;
    for (int i = 0; i < rank - 1; i++)
      if (std::find(steps.begin(), steps.end(), i) == steps.end()) axes.push_back(i);
    const std::size_t others = axes.size();
    axes.insert(axes.end(), steps.begin(), steps.end());
    return {axes, others};
  }
  /// (batch, ..., heads, dim) as (samples, steps, heads, dim).
  Value one_axis(Value x) const {
    auto [axes, others] = order(x.rank() - 1);
    axes.insert(axes.end(), {x.rank() - 2, x.rank() - 1});
    const Value ordered = graph::transpose(x, axes);
    std::int64_t samples = 1, steps = 1;
    for (int i = 0; i < x.rank() - 2; i++)
      (i < static_cast<int>(others) ? samples : steps) *= ordered.shape().dim(i);
    return graph::reshape(ordered, {samples, steps, x.shape().dim(-2), x.shape().dim(-1)});
  }
  /// And back, with the axes of an input.
  Value all_axes(Value x, const Shape& input) const {
    const Ints axes = order(input.rank()).axes;
    std::vector<std::int64_t> sizes;
    Ints back(axes.size());
    for (std::size_t i = 0; i < axes.size(); i++) {
      sizes.push_back(input[static_cast<std::size_t>(axes[i])]);
      back[static_cast<std::size_t>(axes[i])] = static_cast<std::int64_t>(i);
    }
    sizes.insert(sizes.end(), {x.shape().dim(-2), x.shape().dim(-1)});
    back.insert(back.end(), {input.rank() - 1, input.rank()});
    return graph::transpose(graph::reshape(x, Shape(sizes)), back);
  }
};

struct GroupQueryAttentionSpec : GroupQueryAttentionArgs {
  std::int64_t head_dim = 0, num_query_heads = 0, num_key_value_heads = 0;

  void fields(Fields& f) {
    f.required("head_dim", head_dim).required("num_query_heads", num_query_heads);
    f.required("num_key_value_heads", num_key_value_heads);
    projection_fields(f, *this);
  }
};

class GroupQueryAttentionImpl final : public HeadsImpl<GroupQueryAttentionSpec> {
 public:
  explicit GroupQueryAttentionImpl(GroupQueryAttentionSpec spec) : HeadsImpl(std::move(spec)) {
    check_dropout("GroupQueryAttention", spec_.dropout);
    if (spec_.head_dim < 1 || spec_.num_query_heads < 1 || spec_.num_key_value_heads < 1 ||
        spec_.num_query_heads % spec_.num_key_value_heads != 0)
      throw ValueError(
          fmt::format("GroupQueryAttention: head_dim and the numbers of heads must be positive, and "
                      "num_key_value_heads must divide num_query_heads, but they are {}, {} and {}",
                      spec_.head_dim, spec_.num_query_heads, spec_.num_key_value_heads));
  }
  // Keras's class behind the name GroupQueryAttention.
  std::string class_name() const override { return "GroupedQueryAttention"; }
  void check(std::span<const Shape> inputs) const override { check_inputs(*this, inputs); }
  void build_all(std::span<const Shape> inputs) override {
    const std::int64_t queries = spec_.num_query_heads, groups = spec_.num_key_value_heads,
                       dim = spec_.head_dim;
    query_ = EinsumDense("bqm,muh->bquh", {None, queries, dim}, projection("query", "uh"));
    key_ = EinsumDense("bkm,mvh->bkvh", {None, groups, dim}, projection("key", "vh"));
    value_ = EinsumDense("bkm,mvh->bkvh", {None, groups, dim}, projection("value", "vh"));
    output_ = EinsumDense("bquh,uhm->bqm", {None, inputs[0].back()}, projection("attention_output", "m"));
    const Shape of_heads{None, inputs[0][1], queries, dim};
    build_projections(inputs, of_heads);
  }
  std::vector<Value> call_all(Call& context, std::span<const Value> xs) override {
    const Value query = inside(context, query_, xs[0]), key = for_all_heads(inside(context, key_, xs.back())),
                value = for_all_heads(inside(context, value_, xs[1]));
    const Value heads = attend(context, query, key, value, spec_.use_causal_mask, spec_.dropout, spec_.seed);
    return {inside(context, output_, heads)};
  }

 private:
  /// Each head of keys or values as many times as queries share it.
  Value for_all_heads(Value x) const {
    const std::int64_t times = spec_.num_query_heads / spec_.num_key_value_heads;
    if (times == 1) return x;
    const Shape& s = x.shape();
    const Value repeated = graph::broadcast(x, {s[0], s[1], s[2], times, s[3]}, {0, 1, 2, 4});
    return graph::reshape(repeated, {s[0], s[1], s[2] * times, s[3]});
  }
};

}  // namespace

Layer Attention(AttentionArgs args) {
  return make_layer<AttentionImpl>(AttentionSpec{std::move(args)});
}
Layer AdditiveAttention(AdditiveAttentionArgs args) {
  return make_layer<AdditiveAttentionImpl>(AdditiveAttentionSpec{std::move(args)});
}
Layer MultiHeadAttention(std::int64_t num_heads, std::int64_t key_dim, MultiHeadAttentionArgs args) {
  return make_layer<MultiHeadAttentionImpl>(MultiHeadAttentionSpec{std::move(args), num_heads, key_dim});
}
Layer GroupQueryAttention(std::int64_t head_dim, std::int64_t num_query_heads,
                          std::int64_t num_key_value_heads, GroupQueryAttentionArgs args) {
  return make_layer<GroupQueryAttentionImpl>(
      GroupQueryAttentionSpec{std::move(args), head_dim, num_query_heads, num_key_value_heads});
}
Layer GroupedQueryAttention(std::int64_t head_dim, std::int64_t num_query_heads,
                            std::int64_t num_key_value_heads, GroupQueryAttentionArgs args) {
  return GroupQueryAttention(head_dim, num_query_heads, num_key_value_heads, std::move(args));
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_attention_layers(LayerRegistry& registry) {
  using namespace layers;
  registry.add<AttentionImpl>("Attention");
  registry.add<AdditiveAttentionImpl>("AdditiveAttention");
  registry.add<MultiHeadAttentionImpl>("MultiHeadAttention");
  registry.add<GroupQueryAttentionImpl>("GroupQueryAttention");
  registry.add<GroupQueryAttentionImpl>("GroupedQueryAttention");
}

}  // namespace kiln::internal
