#include <cmath>
#include <utility>

#include "graph/op_def.h"
#include "graph/passes/rules.h"
#include "kiln/graph/ops.h"

// What is not here, and must not be: x*0 -> 0, x-x -> 0, x/x -> 1, exp(a)*exp(b) -> exp(a+b), log(exp(x)) ->
// x and their kind. They hide NaN and infinity, by which a diverging training shows. Nor x+0 -> x for floats:
// it turns -0 into 0.
namespace kiln::graph {
namespace {

constexpr Value none = {};

Value x(const Node& n) {
  return n.operand(0);
}
Value y(const Node& n) {
  return n.operand(1);
}

// Operand i is, for every element, the number c; +0 and -0 differ.
bool is(Value v, double c) {
  const std::optional<double> u = uniform(v);
  return u && *u == c && std::signbit(*u) == std::signbit(c);
}
// The number that changes nothing when added: -0 for floats.
bool adds_nothing(Value v) {
  return is(v, is_float(v.dtype()) ? -0.0 : 0.0);
}
bool from(Value v, Op op) {
  return v.node->op == op;
}
Value inner(Value v, int i = 0) {
  return v.node->operand(i);
}
bool is_bool(Value v) {
  return v.dtype() == DType::bool_;
}

// 1/c if c is a power of two whose inverse is a normal number of v's type, so that x*(1/c) is x/c to the bit.
std::optional<double> exact_inverse(Value v) {
  const std::optional<double> c = uniform(v);
  int exponent = 0;
  if (!c || !is_float(v.dtype()) || std::abs(std::frexp(*c, &exponent)) != 0.5) return std::nullopt;
  const int limit = v.dtype() == DType::f32 ? 126 : 1022;
  if (std::abs(exponent) > limit) return std::nullopt;
  return 1 / *c;
}
Value like(Value v, double number) {
  return full(v.graph(), v.type(), number);
}

const Rule rules[] = {
    {Op::add, "x + -0 -> x", [](const Node& n) { return adds_nothing(y(n)) ? x(n) : none; }},
    {Op::add, "-0 + x -> x", [](const Node& n) { return adds_nothing(x(n)) ? y(n) : none; }},
    {Op::add, "x + -y -> x - y",
     [](const Node& n) { return from(y(n), Op::neg) ? x(n) - inner(y(n)) : none; }},
    {Op::add, "-x + y -> y - x",
     [](const Node& n) { return from(x(n), Op::neg) ? y(n) - inner(x(n)) : none; }},
    {Op::sub, "x - 0 -> x", [](const Node& n) { return is(y(n), 0.0) ? x(n) : none; }},
    {Op::sub, "x - -y -> x + y",
     [](const Node& n) { return from(y(n), Op::neg) ? x(n) + inner(y(n)) : none; }},
    {Op::mul, "x * 1 -> x", [](const Node& n) { return is(y(n), 1) ? x(n) : none; }},
    {Op::mul, "1 * x -> x", [](const Node& n) { return is(x(n), 1) ? y(n) : none; }},
    {Op::mul, "x * -1 -> -x", [](const Node& n) { return is(y(n), -1) ? -x(n) : none; }},
    {Op::mul, "-1 * x -> -x", [](const Node& n) { return is(x(n), -1) ? -y(n) : none; }},
    {Op::mul, "-x * -y -> x * y",
     [](const Node& n) {
       return from(x(n), Op::neg) && from(y(n), Op::neg) ? inner(x(n)) * inner(y(n)) : none;
     }},
    {Op::div, "x / 1 -> x", [](const Node& n) { return is(y(n), 1) ? x(n) : none; }},
    {Op::div, "x / 2^k -> x * 2^-k",
     [](const Node& n) {
       const std::optional<double> inverse = exact_inverse(y(n));
       return inverse ? x(n) * like(y(n), *inverse) : none;
     }},
    {Op::neg, "-(-x) -> x", [](const Node& n) { return from(x(n), Op::neg) ? inner(x(n)) : none; }},
    {Op::abs, "|-x| -> |x|", [](const Node& n) { return from(x(n), Op::neg) ? abs(inner(x(n))) : none; }},
    {Op::abs, "||x|| -> |x|", [](const Node& n) { return from(x(n), Op::abs) ? x(n) : none; }},
    {Op::pow, "x ^ 1 -> x", [](const Node& n) { return is(y(n), 1) ? x(n) : none; }},
    // Not x^0.5 -> sqrt(x): they differ at -0 and -infinity. x*x is the rounded square; pow may be an ulp
    // off.
    {Op::pow, "x ^ 2 -> x * x", [](const Node& n) { return is(y(n), 2) ? x(n) * x(n) : none; }},
    {Op::maximum, "max(x, x) -> x", [](const Node& n) { return x(n) == y(n) ? x(n) : none; }},
    {Op::minimum, "min(x, x) -> x", [](const Node& n) { return x(n) == y(n) ? x(n) : none; }},
    {Op::bit_and, "x & x -> x", [](const Node& n) { return x(n) == y(n) ? x(n) : none; }},
    {Op::bit_and, "x & true -> x", [](const Node& n) { return is_bool(x(n)) && is(y(n), 1) ? x(n) : none; }},
    {Op::bit_and, "true & x -> x", [](const Node& n) { return is_bool(x(n)) && is(x(n), 1) ? y(n) : none; }},
    {Op::bit_or, "x | x -> x", [](const Node& n) { return x(n) == y(n) ? x(n) : none; }},
    {Op::bit_or, "x | 0 -> x", [](const Node& n) { return is(y(n), 0) ? x(n) : none; }},
    {Op::bit_or, "0 | x -> x", [](const Node& n) { return is(x(n), 0) ? y(n) : none; }},
    {Op::bit_xor, "x ^ 0 -> x", [](const Node& n) { return is(y(n), 0) ? x(n) : none; }},
    {Op::bit_xor, "0 ^ x -> x", [](const Node& n) { return is(x(n), 0) ? y(n) : none; }},
    {Op::shift_left, "x << 0 -> x", [](const Node& n) { return is(y(n), 0) ? x(n) : none; }},
    {Op::shift_right, "x >> 0 -> x", [](const Node& n) { return is(y(n), 0) ? x(n) : none; }},
    {Op::logical_not, "not not x -> x",
     [](const Node& n) { return from(x(n), Op::logical_not) ? inner(x(n)) : none; }},
    {Op::stop_gradient, "stop_gradient(x) -> x (gradients are derived before)",
     [](const Node& n) { return x(n); }},
    {Op::convert, "convert to the same type",
     [](const Node& n) { return x(n).dtype() == n.type().dtype ? x(n) : none; }},
    {Op::select, "select of a known predicate",
     [](const Node& n) {
       const std::optional<double> known = uniform(n.operand(0));
       return known ? n.operand(*known != 0 ? 1 : 2) : none;
     }},
    {Op::select, "select(p, x, x) -> x",
     [](const Node& n) { return n.operand(1) == n.operand(2) ? n.operand(1) : none; }},
    {Op::select, "select(not p, x, y) -> select(p, y, x)",
     [](const Node& n) {
       return from(n.operand(0), Op::logical_not) ? select(inner(n.operand(0)), n.operand(2), n.operand(1))
                                                  : none;
     }},
};

// What `v` is a broadcast of, and along which axes.
struct Spread {
  Value source;
  Ints dims;
};
Spread spread_of(Value v) {
  if (from(v, Op::broadcast)) return {inner(v), v.node->attributes.ints("dims")};
  return {};
}

// op(broadcast(a), broadcast(b)) -> broadcast(op(a, b)) for one way of broadcasting; scalars go along with
// any.
Value shrink_broadcasts(const Node& n) {
  Spread widest;
  for (Value v : n.operands) {
    const Spread s = spread_of(v);
    if (!s.source) return none;
    if (!widest.source || s.source.rank() > widest.source.rank()) widest = s;
  }
  if (!widest.source || widest.source.shape().elements() >= n.type().shape.elements()) return none;
  std::vector<Value> operands;
  for (Value v : n.operands) {
    const Spread s = spread_of(v);
    if (s.source.shape() == widest.source.shape() && s.dims == widest.dims)
      operands.push_back(s.source);
    else if (s.source.rank() == 0)
      operands.push_back(broadcast_to(s.source, widest.source.shape()));
    else
      return none;
  }
  const Value small = n.graph->emit(n.op, std::move(operands), n.attributes).value();
  return broadcast(small, n.type().shape, widest.dims);
}

bool is_stored(Value v) {
  return v.node->op == Op::input || v.node->op == Op::state || v.node->op == Op::constant;
}

// v in another shape of as many elements, without a reshape of anything that is computed; or null.
Value in_shape(Value v, const Shape& shape, int depth = 0) {
  constexpr int deepest = 6;  // an optimizer's expression over weight and slots
  if (from(v, Op::reshape) && inner(v).shape() == shape) return inner(v);
  if (from(v, Op::broadcast) && inner(v).rank() == 0) return broadcast_to(inner(v), shape);
  if (is_stored(v)) return reshape(v, shape);
  if (definition(v.node->op).op_class != OpClass::elementwise || depth == deepest) return none;
  std::vector<Value> operands;
  for (Value operand : v.node->operands) {
    operands.push_back(in_shape(operand, shape, depth + 1));
    if (!operands.back()) return none;
  }
  return v.graph().emit(v.node->op, std::move(operands), v.node->attributes).value();
}

// op(reshape(a), b) -> reshape(op(a, b in a's shape)): then the op fuses with what made a.
Value sink_reshape(const Node& n) {
  for (Value v : n.operands) {
    if (!from(v, Op::reshape) || is_stored(inner(v))) continue;
    const Shape& shape = inner(v).shape();
    std::vector<Value> operands;
    for (Value operand : n.operands) {
      operands.push_back(in_shape(operand, shape));
      if (!operands.back()) return none;
    }
    const Value before = n.graph->emit(n.op, std::move(operands), n.attributes).value();
    return reshape(before, n.type().shape);
  }
  return none;
}

}  // namespace

std::span<const Rule> arithmetic_rules() {
  return rules;
}

Value shrink_elementwise(const Node& n) {
  if (Value v = shrink_broadcasts(n)) return v;
  return sink_reshape(n);
}

std::optional<double> uniform(Value v) {
  while (from(v, Op::broadcast) || from(v, Op::reshape) || from(v, Op::transpose)) v = inner(v);
  if (!from(v, Op::constant) || v.shape().elements() != 1) return std::nullopt;
  return v.node->attributes.tensor("value").reshape({}).item();
}

}  // namespace kiln::graph
