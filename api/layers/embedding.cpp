#include "kiln/layers/embedding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "api/layers/configured.h"
#include "api/layers/einsum.h"
#include "api/layers/whole_numbers.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

// ---- Embedding --------------------------------------------------------------------------------------------

struct EmbeddingSpec : EmbeddingArgs {
  std::int64_t input_dim = 0, output_dim = 0;

  void fields(Fields& f) {
    f.required("input_dim", input_dim).required("output_dim", output_dim);
    f("embeddings_initializer", embeddings_initializer)("embeddings_regularizer", embeddings_regularizer);
    f("embeddings_constraint", embeddings_constraint);
    f.only("mask_zero", false);
  }
};

class EmbeddingImpl final : public ConfiguredLayer<EmbeddingSpec> {
 public:
  explicit EmbeddingImpl(EmbeddingSpec spec) : ConfiguredLayer(std::move(spec)) {
    if (spec_.input_dim < 1 || spec_.output_dim < 1)
      throw ValueError(fmt::format("Embedding: input_dim and output_dim must be positive, not {} and {}",
                                   spec_.input_dim, spec_.output_dim));
  }
  bool converts_input() const override { return false; }
  void build(const Shape&) override {
    embeddings_ = add_weight({.name = "embeddings",
                              .shape = {spec_.input_dim, spec_.output_dim},
                              .initializer = spec_.embeddings_initializer,
                              .regularizer = spec_.embeddings_regularizer,
                              .constraint = spec_.embeddings_constraint});
  }
  Value call(Call& context, Value x) override {
    const Value numbers =
        internal::whole_numbers_below(fmt::format("layer \"{}\" (Embedding)", name()), x, spec_.input_dim);
    return graph::gather(context(embeddings_), numbers, 0);
  }

 private:
  Variable embeddings_;
};

// ---- EinsumDense ------------------------------------------------------------------------------------------

/// Draws a kernel of several axes like the matrix that it is one of: Keras counts what goes in and what comes
/// out.
class AsMatrix final : public InitializerImpl {
 public:
  AsMatrix(Initializer initializer, std::int64_t in, std::int64_t out)
      : initializer_(std::move(initializer)), in_(in), out_(out) {}
  Tensor operator()(const Shape& shape, DType dtype) const override {
    return initializer_({in_, out_}, dtype).reshape(shape);
  }

 private:
  Initializer initializer_;
  std::int64_t in_, out_;
};

bool scales_by_fans(const Initializer& initializer) {
  static constexpr std::array names = {"VarianceScaling", "GlorotUniform", "GlorotNormal", "HeUniform",
                                       "HeNormal",        "LecunUniform",  "LecunNormal"};
  return std::find(names.begin(), names.end(), initializer.class_name()) != names.end();
}

struct EinsumDenseSpec : EinsumDenseArgs {
  std::string equation;
  Shape output_shape;

  void fields(Fields& f) {
    f.required("equation", equation);
    // Keras takes one number for a shape of one axis.
    Config shape = internal::to_config(output_shape);
    f.required("output_shape", shape);
    if (f.reads()) {
      if (shape.is_number()) shape = Config::List{shape};
      internal::from_config(shape, output_shape);
    }
    std::optional<std::string> axes = bias_axes.empty() ? std::nullopt : std::optional(bias_axes);
    f("activation", activation)("bias_axes", axes);
    bias_axes = axes.value_or("");
    f("kernel_initializer", kernel_initializer)("bias_initializer", bias_initializer);
    f("kernel_regularizer", kernel_regularizer)("bias_regularizer", bias_regularizer);
    f("activity_regularizer", activity_regularizer);
    f("kernel_constraint", kernel_constraint)("bias_constraint", bias_constraint);
  }
};

class EinsumDenseImpl final : public ConfiguredLayer<EinsumDenseSpec> {
 public:
  explicit EinsumDenseImpl(EinsumDenseSpec spec)
      : ConfiguredLayer(std::move(spec)), letters_("EinsumDense", spec_.equation) {
    const auto has = [](const std::string& part, char c) { return part.find(c) != std::string::npos; };
    for (char c : spec_.bias_axes)
      if (!has(letters_.result, c))
        throw ValueError(fmt::format("EinsumDense: bias_axes has \"{}\", which the result of \"{}\" hasn't",
                                     c, spec_.equation));
    for (char c : letters_.rhs)
      if (!has(letters_.lhs, c) && !has(letters_.result, c))
        throw ValueError(
            fmt::format("EinsumDense: the kernel's \"{}\" in \"{}\" is neither the input's nor the result's",
                        c, spec_.equation));
  }
  void build(const Shape& input) override {
    const std::map<char, std::int64_t> sizes = sizes_of(input);
    Shape kernel;
    std::int64_t in = 1, out = 1;
    for (char c : letters_.rhs) {
      kernel.push_back(sizes.at(c));
      (letters_.result.find(c) == std::string::npos ? in : out) *= sizes.at(c);
    }
    const Initializer& given = spec_.kernel_initializer;
    kernel_ = add_weight({.name = "kernel",
                          .shape = kernel,
                          .initializer = scales_by_fans(given)
                                             ? Initializer(std::make_shared<AsMatrix>(given, in, out))
                                             : given,
                          .regularizer = spec_.kernel_regularizer,
                          .constraint = spec_.kernel_constraint});
    if (spec_.bias_axes.empty()) return;
    // From the first of its axes on, 1 for those that it hasn't.
    Shape bias;
    for (char c : letters_.result) {
      const bool own = spec_.bias_axes.find(c) != std::string::npos;
      if (own || !bias.empty()) bias.push_back(own ? sizes.at(c) : 1);
    }
    const std::size_t open = letters_.result.find('.');
    if (open != std::string::npos && open > 0)
      for (int i = input.rank() - static_cast<int>(letters_.lhs.size()); i > 0; i--) bias.push_back(1);
    bias_ = add_weight({.name = "bias",
                        .shape = bias,
                        .initializer = spec_.bias_initializer,
                        .regularizer = spec_.bias_regularizer,
                        .constraint = spec_.bias_constraint});
  }
  Value call(Call& context, Value x) override {
    const Value product = internal::einsum(fmt::format("layer \"{}\" (EinsumDense)", name()), spec_.equation,
                                           x, context(kernel_));
    return spec_.activation(bias_.defined() ? product + context(bias_) : product);
  }

 private:
  /// Of each letter: from the input, or from output_shape.
  std::map<char, std::int64_t> sizes_of(const Shape& input) const {
    std::map<char, std::int64_t> sizes;
    const bool open = letters_.lhs.find('.') != std::string::npos;
    const int hidden = input.rank() - static_cast<int>(letters_.lhs.size()) + (open ? 1 : 0);
    if (hidden < 0 || (!open && hidden != 0))
      throw ShapeError(fmt::format(
          "layer \"{}\" (EinsumDense): the equation \"{}\" is for an input of {} axes, but its shape is "
          "{}; \"...\" stands for any number of axes",
          name(), spec_.equation, letters_.lhs.size(), input.to_string()));
    int axis = 0;
    for (char c : letters_.lhs) {
      if (c == '.')
        axis += hidden;
      else
        sizes[c] = input.dim(axis++);
    }
    // The batch comes first, be it a letter or the first that "..." stands for.
    std::string named;
    for (char c : letters_.result)
      if (c != '.') named.push_back(c);
    if (letters_.result.front() != '.') named.erase(0, 1);
    if (static_cast<int>(named.size()) != spec_.output_shape.rank())
      throw ShapeError(
          fmt::format("layer \"{}\" (EinsumDense): output_shape {} should have a size for each of \"{}\"",
                      name(), spec_.output_shape.to_string(), named));
    for (std::size_t i = 0; i < named.size(); i++) {
      const std::int64_t given = spec_.output_shape[i];
      const auto known = sizes.find(named[i]);
      if (known == sizes.end())
        sizes[named[i]] = given;
      else if (given != None && known->second != None && known->second != given)
        throw ShapeError(fmt::format(
            "layer \"{}\" (EinsumDense): output_shape {} has {} for \"{}\", but the input of "
            "shape {} has {}",
            name(), spec_.output_shape.to_string(), given, named[i], input.to_string(), known->second));
    }
    for (char c : letters_.rhs)
      if (sizes.count(c) == 0 || sizes.at(c) == None)
        throw ShapeError(
            fmt::format("layer \"{}\" (EinsumDense): the size of \"{}\" in \"{}\" must be known, to size "
                        "the kernel; the input has shape {} and output_shape is {}",
                        name(), c, spec_.equation, input.to_string(), spec_.output_shape.to_string()));
    return sizes;
  }

  internal::EinsumEquation letters_;
  Variable kernel_, bias_;
};

}  // namespace

Layer Embedding(std::int64_t input_dim, std::int64_t output_dim, EmbeddingArgs args) {
  return make_layer<EmbeddingImpl>(EmbeddingSpec{std::move(args), input_dim, output_dim});
}
Layer EinsumDense(std::string equation, Shape output_shape, EinsumDenseArgs args) {
  return make_layer<EinsumDenseImpl>(
      EinsumDenseSpec{std::move(args), std::move(equation), std::move(output_shape)});
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_embedding_layers(LayerRegistry& registry) {
  registry.add<layers::EmbeddingImpl>("Embedding");
  registry.add<layers::EinsumDenseImpl>("EinsumDense");
}

}  // namespace kiln::internal
