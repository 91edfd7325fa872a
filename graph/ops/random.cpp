#include <limits>

#include "graph/ops/register.h"
#include "graph/ops/support.h"
#include "kiln/runtime/philox.h"

namespace kiln::graph {
namespace {

std::vector<Type> infer_random_bits(const InferContext& c) {
  if (c.type(0).dtype != DType::i64)
    type_error(c, fmt::format("the key must be int64 {{seed, step}}; got {}", name(c.type(0).dtype)));
  if (c.shape(0) != Shape{2})
    shape_error(c,
                fmt::format("the key must be {{seed, step}} of shape (2,); got {}", c.shape(0).to_string()));
  const std::int64_t stream = c.attributes.integer("stream");
  if (stream < std::numeric_limits<std::int32_t>::min() || stream > std::numeric_limits<std::int32_t>::max())
    shape_error(c, fmt::format("the stream must fit 32 bits; got {}", stream));
  const Shape shape(c.attributes.ints("shape"));
  // The counter's low word counts blocks of four; past that the words would repeat.
  constexpr std::int64_t words = std::int64_t{4} << 32;
  if (shape.elements() > words)
    shape_error(c,
                fmt::format("one stream has 2^34 words; {} needs {}", shape.to_string(), shape.elements()));
  return {{DType::i32, shape}};
}

void evaluate_random_bits(const EvalContext& c) {
  const std::int64_t* key = c.operands[0].data<std::int64_t>();
  const auto stream = static_cast<std::int32_t>(c.node.attributes.integer("stream"));
  auto* bits = c.results[0].data<std::int32_t>();
  for (std::int64_t i = 0; i < c.results[0].size(); i++)
    bits[i] = static_cast<std::int32_t>(random_word(key[0], key[1], stream, random_bits_word(i)));
}

}  // namespace

Value random_bits(Value key, Shape shape, std::int64_t stream) {
  return emit(Op::random_bits, {key}, {{"shape", shape.sizes()}, {"stream", stream}});
}

// The conversions and the power of two are exact: the result is a multiple of 2^-24 (2^-32), below 1.
Value random_uniform(Value key, Shape shape, std::int64_t stream, DType dtype) {
  const Value bits = random_bits(key, std::move(shape), stream);
  switch (dtype) {
    case DType::f32:
      return convert(shift_right(bits, scalar(bits, 8)), DType::f32) * 0x1p-24;
    case DType::f64: {
      const Value wide = convert(bits, DType::i64);  // sign-extended
      return convert(bit_and(wide, scalar(wide, 4294967295.0)), DType::f64) * 0x1p-32;
    }
    default:
      throw TypeError(
          fmt::format("{}: random_uniform gives float32 or float64, not {}", key.graph().label, name(dtype)));
  }
}

void register_random_ops(Registry& registry) {
  registry.add({.op = Op::random_bits,
                .op_class = OpClass::movement,  // as iota: each element is computed from its index alone
                .operands = 1,
                .attributes = {{"shape", AttrKind::ints}, {"stream", AttrKind::integer}},
                .infer = infer_random_bits,
                .gradient = nullptr,
                .evaluate = evaluate_random_bits});
}

}  // namespace kiln::graph
