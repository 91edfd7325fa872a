// Random words: Philox 4x32-10, as runtime/include/kiln/runtime/philox.h writes it, on 32-bit words held in
// i64. A block's four words are vectors apart (random_bits_word), so that kernels which write them one after
// the other, as maps do, compute a block once: LLVM sees that it is the same.
#include <array>

#include "codegen/ops/register.h"
#include "kiln/runtime/philox.h"

namespace kiln::codegen {
namespace {

using Words = std::array<Expr, 4>;

Expr word(std::int64_t value) {
  return integer_expr(DType::i64, value);
}
Expr low_half(Expr x) {
  return apply(Op::bit_and, {std::move(x), word(0xFFFFFFFF)});
}
Expr high_half(Expr x) {
  return apply(Op::shift_right, {std::move(x), word(32)});
}
Expr exclusive_or(Expr a, Expr b) {
  return apply(Op::bit_xor, {std::move(a), std::move(b)});
}

Words philox(Lowering& l, Words c, std::array<Expr, 2> key) {
  for (int round = 0; round < 10; round++) {
    if (round > 0) {
      key[0] = l.let(low_half(apply(Op::add, {key[0], word(0x9E3779B9)})));
      key[1] = l.let(low_half(apply(Op::add, {key[1], word(0xBB67AE85)})));
    }
    const Expr p0 = l.let(apply(Op::mul, {word(0xD2511F53), c[0]}));
    const Expr p1 = l.let(apply(Op::mul, {word(0xCD9E8D57), c[2]}));
    c = {l.let(exclusive_or(exclusive_or(high_half(p1), c[1]), key[0])), l.let(low_half(p1)),
         l.let(exclusive_or(exclusive_or(high_half(p0), c[3]), key[1])), l.let(low_half(p0))};
  }
  return c;
}

Expr random_bits_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Index number = row_major(index, node.type().shape.sizes());
  const Expr seed = l.let(l.operand(node, 0, {Index(0)}, predicate));
  const Expr step = l.let(l.operand(node, 0, {Index(1)}, predicate));
  const std::int64_t stream = node.attributes.integer("stream") & 0xFFFFFFFF;
  const Words words = philox(
      l,
      {low_half(index_expr(floor_div(number, random_words) * random_counters + mod(number, random_counters))),
       word(stream), l.let(low_half(step)), l.let(high_half(step))},
      {l.let(low_half(seed)), l.let(high_half(seed))});
  Expr result = words[3];
  const Index which = mod(floor_div(number, random_counters), 4);
  for (std::int64_t i = 2; i >= 0; i--)
    result = select_expr(less(which, Index(i + 1)), words[static_cast<std::size_t>(i)], std::move(result));
  return convert_expr(std::move(result), DType::i32);
}

}  // namespace

void register_random_lowering(LoweringTable& table) {
  entry(table, Op::random_bits).element = random_bits_element;
}

}  // namespace kiln::codegen
