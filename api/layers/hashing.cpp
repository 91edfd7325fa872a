#include "kiln/layers/hashing.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/layers/configured.h"
#include "api/layers/encoding.h"
#include "api/layers/hashes.h"

namespace kiln::layers {

namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

/// What both layers have: a number of bins, and results that are whole numbers or encoded.
struct BinsSpec {
  std::int64_t num_bins = 0;
  DType dtype = DType::f32;

  void choose_type(const char* class_name, const std::string& output_mode, std::optional<DType> given) {
    dtype = given.value_or(output_mode == "int" ? DType::i64 : DType::f32);
    if (output_mode == "int" && dtype != DType::i32 && dtype != DType::i64)
      throw ValueError(fmt::format(
          "{}: output_mode \"int\" gives whole numbers, so dtype must be int32 or int64, not {}; or choose "
          "output_mode \"one_hot\"",
          class_name, kiln::name(dtype)));
  }
  void check(const char* class_name) const {
    if (num_bins < 1)
      throw ValueError(fmt::format("{}: num_bins must be positive, not {}", class_name, num_bins));
  }
};
/// Bins, i64, in a layer's graph.
Value encoded_bins(Value bins, const BinsSpec& spec, const std::string& output_mode) {
  if (output_mode == "int") return graph::convert(bins, spec.dtype);
  return internal::encoded(graph::convert(bins, DType::i32), spec.num_bins, output_mode, spec.dtype);
}

// ---- Hashing ----------------------------------------------------------------------------------------------

struct HashingSpec : HashingArgs, BinsSpec {
  using BinsSpec::dtype;
  void fields(Fields& f) {
    f.required("num_bins", num_bins)("salt", salt)("mask_value", mask_value)("output_mode", output_mode);
    f.only("sparse", false);
    if (f.reads() && !f.has("dtype")) BinsSpec::choose_type("Hashing", output_mode, {});
  }
};
class HashingImpl final : public ConfiguredLayer<HashingSpec> {
 public:
  explicit HashingImpl(HashingSpec spec) : ConfiguredLayer(std::move(spec)) {
    spec_.BinsSpec::check("Hashing");
    internal::check_encoding("Hashing", spec_.output_mode, true);
    spec_.choose_type("Hashing", spec_.output_mode, spec_.BinsSpec::dtype);
    const Config& mask = spec_.mask_value;
    if (!mask.is_null() && !mask.is_string() && !mask.is_int())
      throw ValueError(
          fmt::format("Hashing: mask_value must be a text or a whole number, not {}", mask.to_json()));
  }
  bool converts_input() const override { return false; }
  Value call(Call&, Value x) override {
    if (is_float(x.dtype())) x = graph::convert(x, DType::i64);
    Value bins = internal::hash_bin(x, hashed_bins(), spec_.salt);
    if (masks()) {
      expect_mask(spec_.mask_value.is_int(), "whole numbers");
      const Value wide = graph::convert(x, DType::i64);
      Tensor mask({spec_.mask_value.as_int()});
      const Value masked = graph::compare(wide, graph::constant(x.graph(), mask.reshape({})), "eq");
      bins = graph::select(masked, graph::scalar(bins, 0), bins + 1.0);
    }
    return encoded_bins(bins, spec_, spec_.output_mode);
  }
  Tensor on_host(const Strings& texts) const {
    if (masks()) expect_mask(spec_.mask_value.is_string(), "texts");
    const std::string mask = spec_.mask_value.is_string() ? spec_.mask_value.as_string() : "";
    return encoded(
        texts.texts(), texts.shape(), [&](const std::string& text) { return text == mask; },
        [](const std::string& text) { return text; });
  }
  Tensor on_host(const Tensor& numbers) const {
    if (masks()) expect_mask(spec_.mask_value.is_int(), "whole numbers");
    const std::int64_t mask = spec_.mask_value.is_int() ? spec_.mask_value.as_int() : 0;
    return encoded(
        numbers.to_vector<std::int64_t>(), numbers.shape(),
        [&](std::int64_t number) { return number == mask; },
        [](std::int64_t number) { return std::to_string(number); });
  }

 private:
  /// With one bin, it holds all.
  bool masks() const { return !spec_.mask_value.is_null() && spec_.num_bins > 1; }
  std::int64_t hashed_bins() const { return spec_.num_bins - (masks() ? 1 : 0); }
  void expect_mask(bool fits, const char* what) const {
    if (!fits)
      throw TypeError(fmt::format("layer \"{}\" (Hashing): the input holds {}, but mask_value is {}", name(),
                                  what, spec_.mask_value.to_json()));
  }
  template <class T>
  Tensor encoded(const std::vector<T>& values, const Shape& shape, const auto& is_mask,
                 const auto& text_of) const {
    std::vector<std::int64_t> bins;
    bins.reserve(values.size());
    for (const T& value : values) {
      if (masks() && is_mask(value))
        bins.push_back(0);
      else
        bins.push_back(internal::hash_bin(text_of(value), hashed_bins(), spec_.salt) + (masks() ? 1 : 0));
    }
    return internal::encoded(bins, shape, spec_.num_bins, spec_.output_mode, dtype());
  }
};

// ---- HashedCrossing ---------------------------------------------------------------------------------------

struct HashedCrossingSpec : HashedCrossingArgs, BinsSpec {
  using BinsSpec::dtype;
  void fields(Fields& f) {
    f.required("num_bins", num_bins)("output_mode", output_mode);
    f.only("sparse", false);
    if (f.reads() && !f.has("dtype")) BinsSpec::choose_type("HashedCrossing", output_mode, {});
  }
};
class HashedCrossingImpl final : public ConfiguredLayer<HashedCrossingSpec> {
 public:
  explicit HashedCrossingImpl(HashedCrossingSpec spec) : ConfiguredLayer(std::move(spec)) {
    spec_.BinsSpec::check("HashedCrossing");
    if (spec_.output_mode != "int") {
      static constexpr std::array<std::string_view, 2> modes = {"int", "one_hot"};
      if (spec_.output_mode != "one_hot")
        internal::unknown_name("HashedCrossing: output_mode", spec_.output_mode, modes);
    }
    spec_.choose_type("HashedCrossing", spec_.output_mode, spec_.BinsSpec::dtype);
  }
  Config get_config() const override { return internal::without_trainable(ConfiguredLayer::get_config()); }
  bool converts_input() const override { return false; }
  void build_all(std::span<const Shape>) override {}
  void check(std::span<const Shape> inputs) const override {
    if (inputs.size() < 2)
      throw ShapeError(
          fmt::format("layer \"{}\" (HashedCrossing) takes two or more features, but got {}; call it with a "
                      "list: cross({{a, b}})",
                      name(), inputs.size()));
    for (const Shape& x : inputs) {
      if (x.rank() < 1 || x.rank() > 2 || (x.rank() == 2 && x.back() != 1))
        throw ShapeError(fmt::format(
            "layer \"{}\" (HashedCrossing): features have the shape (batch,) or (batch, 1), but one "
            "has {}",
            name(), x.to_string()));
      if (x != inputs[0])
        throw ShapeError(
            fmt::format("layer \"{}\" (HashedCrossing): features must have equal shapes, but have {} "
                        "and {}",
                        name(), inputs[0].to_string(), x.to_string()));
    }
  }
  std::vector<Value> call_all(Call&, std::span<const Value> xs) override {
    for (Value x : xs) expect_whole(x.dtype());
    const Value bins = internal::crossed_bin(std::vector<Value>(xs.begin(), xs.end()), spec_.num_bins);
    return {encoded_bins(bins, spec_, spec_.output_mode)};
  }
  Tensor on_host(const std::vector<Feature>& features) const {
    std::vector<Shape> shapes;
    std::vector<std::vector<std::uint64_t>> hashed;
    for (const Feature& feature : features) {
      std::vector<std::uint64_t>& column = hashed.emplace_back();
      if (const auto* texts = std::get_if<Strings>(&feature)) {
        shapes.push_back(texts->shape());
        for (const std::string& text : texts->texts()) column.push_back(internal::fingerprint(text));
      } else {
        const Tensor& numbers = std::get<Tensor>(feature);
        expect_whole(numbers.dtype());
        shapes.push_back(numbers.shape());
        for (std::int64_t n : numbers.to_vector<std::int64_t>())
          column.push_back(static_cast<std::uint64_t>(n));
      }
    }
    check(shapes);
    std::vector<std::int64_t> bins;
    for (std::size_t i = 0; i < hashed[0].size(); i++) {
      std::vector<std::uint64_t> together;
      for (const auto& column : hashed) together.push_back(column[i]);
      bins.push_back(internal::crossed_bin(together, spec_.num_bins));
    }
    return internal::encoded(bins, shapes[0], spec_.num_bins, spec_.output_mode, dtype());
  }

 private:
  void expect_whole(DType type) const {
    if (is_float(type))
      throw TypeError(
          fmt::format("layer \"{}\" (HashedCrossing): features are texts or whole numbers, but one is of the "
                      "type {}; give Input the dtype int64, or use Discretization first",
                      name(), kiln::name(type)));
  }
};

}  // namespace

HashingLayer Hashing(std::int64_t num_bins, HashingArgs args) {
  HashingSpec spec{{std::move(args)}, {num_bins}};
  internal::check_encoding("Hashing", spec.output_mode, true);
  spec.choose_type("Hashing", spec.output_mode, spec.HashingArgs::dtype);
  return HashingLayer(make_layer<HashingImpl>(std::move(spec)).shared());
}
Tensor HashingLayer::operator()(const Strings& texts) const {
  return internal::impl_as<HashingImpl>(*this, "Hashing").on_host(texts);
}
Tensor HashingLayer::operator()(const Tensor& numbers) const {
  return internal::impl_as<HashingImpl>(*this, "Hashing").on_host(numbers);
}

HashedCrossingLayer HashedCrossing(std::int64_t num_bins, HashedCrossingArgs args) {
  HashedCrossingSpec spec{{std::move(args)}, {num_bins}};
  spec.choose_type("HashedCrossing", spec.output_mode, spec.HashedCrossingArgs::dtype);
  return HashedCrossingLayer(make_layer<HashedCrossingImpl>(std::move(spec)).shared());
}
Tensor HashedCrossingLayer::operator()(const std::vector<Feature>& features) const {
  return internal::impl_as<HashedCrossingImpl>(*this, "HashedCrossing").on_host(features);
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_hashing_layers(LayerRegistry& registry) {
  registry.add<layers::HashingImpl>("Hashing");
  registry.add<layers::HashedCrossingImpl>("HashedCrossing");
}

}  // namespace kiln::internal
