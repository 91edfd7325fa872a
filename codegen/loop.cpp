#include "codegen/loop.h"

#include <fmt/format.h>

#include <utility>

namespace kiln::codegen {
namespace {

Expr make(ExprNode node) {
  return std::make_shared<const ExprNode>(std::move(node));
}

void expect(bool ok, const Expr& a, const Expr& b, std::string_view what) {
  if (ok) return;
  throw InternalError(
      fmt::format("loop form: {} of {} and {}", what, short_name(a->dtype), short_name(b->dtype)));
}

}  // namespace

// ---- values -----------------------------------------------------------------------------------------------

Expr constant_expr(DType dtype, double number) {
  if (!is_float(dtype)) return integer_expr(dtype, static_cast<std::int64_t>(number));
  ExprNode node;
  node.dtype = dtype;
  node.number = number;
  return make(std::move(node));
}

Expr integer_expr(DType dtype, std::int64_t value) {
  if (is_float(dtype)) return constant_expr(dtype, static_cast<double>(value));
  ExprNode node;
  node.dtype = dtype;
  node.integer = value;
  return make(std::move(node));
}

Expr load(int buffer, DType dtype, Index index, Expr predicate) {
  ExprNode node;
  node.kind = ExprKind::load;
  node.dtype = dtype;
  node.buffer = buffer;
  node.index = std::move(index);
  node.predicate = std::move(predicate);
  return make(std::move(node));
}

Expr read(Reg reg, std::vector<Index> subscripts) {
  ExprNode node;
  node.kind = ExprKind::read;
  node.dtype = reg->dtype;
  node.reg = std::move(reg);
  node.subscripts = std::move(subscripts);
  return make(std::move(node));
}

Expr index_expr(Index index, DType dtype) {
  if (index.is_constant()) return integer_expr(dtype, index->constant);
  ExprNode node;
  node.kind = ExprKind::index;
  node.dtype = dtype;
  node.index = std::move(index);
  return make(std::move(node));
}

Expr less(Index a, Index b) {
  if (a->high <= b->low) return integer_expr(DType::bool_, 1);
  if (a->low >= b->high - 1) return integer_expr(DType::bool_, 0);
  ExprNode node;
  node.kind = ExprKind::less;
  node.dtype = DType::bool_;
  node.index = std::move(a);
  node.other = std::move(b);
  return make(std::move(node));
}

Expr in_range(const Index& index, std::int64_t low, std::int64_t high) {
  Expr result;
  if (index->low < low) result = less(Index(low - 1), index);
  if (index->high > high) result = both(std::move(result), less(index, Index(high)));
  return result;
}

Expr both(Expr a, Expr b) {
  if (!a) return b;
  if (!b) return a;
  if (a->kind == ExprKind::constant) return a->integer != 0 ? b : a;
  if (b->kind == ExprKind::constant) return b->integer != 0 ? a : b;
  return apply(graph::Op::bit_and, {std::move(a), std::move(b)});
}

Expr apply(graph::Op op, std::vector<Expr> operands) {
  if (operands.empty() || operands.size() > 3) {
    throw InternalError(fmt::format("loop form: {} with {} operands", graph::op_name(op), operands.size()));
  }
  if (op == graph::Op::select && operands.size() == 3) {
    return select_expr(operands[0], operands[1], operands[2]);
  }
  if (operands.size() == 2) {
    expect(operands[0]->dtype == operands[1]->dtype, operands[0], operands[1], graph::op_name(op));
  }
  ExprNode node;
  node.kind = ExprKind::apply;
  node.op = op;
  const bool truth = op == graph::Op::is_finite || op == graph::Op::logical_not;
  node.dtype = truth ? DType::bool_ : operands[0]->dtype;
  node.operands = std::move(operands);
  return make(std::move(node));
}

Expr compare_expr(std::string direction, Expr a, Expr b) {
  expect(a->dtype == b->dtype, a, b, "compare");
  ExprNode node;
  node.kind = ExprKind::apply;
  node.op = graph::Op::compare;
  node.dtype = DType::bool_;
  node.direction = std::move(direction);
  node.operands = {std::move(a), std::move(b)};
  return make(std::move(node));
}

Expr select_expr(Expr predicate, Expr a, Expr b) {
  expect(a->dtype == b->dtype, a, b, "select");
  if (!predicate) return a;
  if (predicate->dtype != DType::bool_) {
    throw InternalError(fmt::format("loop form: select by {}, expected bool", short_name(predicate->dtype)));
  }
  if (predicate->kind == ExprKind::constant) return predicate->integer != 0 ? a : b;
  ExprNode node;
  node.kind = ExprKind::apply;
  node.op = graph::Op::select;
  node.dtype = a->dtype;
  node.operands = {std::move(predicate), std::move(a), std::move(b)};
  return make(std::move(node));
}

Expr convert_expr(Expr x, DType dtype) {
  if (x->dtype == dtype) return x;
  ExprNode node;
  node.kind = ExprKind::apply;
  node.op = graph::Op::convert;
  node.dtype = dtype;
  node.operands = {std::move(x)};
  return make(std::move(node));
}

Expr fma(Expr a, Expr b, Expr c) {
  expect(a->dtype == b->dtype && is_float(a->dtype), a, b, "fma");
  expect(a->dtype == c->dtype, a, c, "fma");
  ExprNode node;
  node.kind = ExprKind::fma;
  node.dtype = a->dtype;
  node.operands = {std::move(a), std::move(b), std::move(c)};
  return make(std::move(node));
}

Expr fold_lanes(graph::Op op, Reg reg, std::vector<Index> subscripts) {
  ExprNode node;
  node.kind = ExprKind::fold_lanes;
  node.dtype = reg->dtype;
  node.op = op;
  node.reg = std::move(reg);
  node.subscripts = std::move(subscripts);
  return make(std::move(node));
}

// ---- statements -------------------------------------------------------------------------------------------

Stmt loop(LoopKind kind, Var variable, Block body) {
  Stmt s;
  s.loop = kind;
  s.variable = std::move(variable);
  s.body = std::move(body);
  return s;
}

Stmt vector_loop(Var variable, int lanes, Block body, bool unroll) {
  Stmt s = loop(LoopKind::vector, std::move(variable), std::move(body));
  s.lanes = lanes;
  s.unroll = unroll;
  return s;
}

Stmt store(int buffer, Index index, Expr value, Expr predicate) {
  Stmt s;
  s.kind = StmtKind::store;
  s.buffer = buffer;
  s.index = std::move(index);
  s.value = std::move(value);
  s.predicate = std::move(predicate);
  return s;
}

Stmt write(Reg reg, std::vector<Index> subscripts, Expr value) {
  Stmt s;
  s.kind = StmtKind::write;
  s.reg = std::move(reg);
  s.subscripts = std::move(subscripts);
  s.value = std::move(value);
  return s;
}

Stmt branch(Expr condition, Block then, Block otherwise) {
  Stmt s;
  s.kind = StmtKind::branch;
  s.value = std::move(condition);
  s.body = std::move(then);
  s.otherwise = std::move(otherwise);
  return s;
}

Stmt prefetch(int buffer, Index index, CacheLevel into) {
  Stmt s;
  s.kind = StmtKind::prefetch;
  s.buffer = buffer;
  s.index = std::move(index);
  s.into = into;
  return s;
}

Stmt turn(Reg reg, int unit) {
  Stmt s;
  s.kind = StmtKind::turn;
  s.unit = unit;
  s.reg = std::move(reg);
  return s;
}

Expr Kernel::new_temporary(Block& block, Expr value) {
  Stmt let;
  let.kind = StmtKind::let;
  let.temporary = temporaries++;
  let.value = value;
  ExprNode node;
  node.kind = ExprKind::temporary;
  node.dtype = value->dtype;
  node.temporary = let.temporary;
  block.push_back(std::move(let));
  return make(std::move(node));
}

}  // namespace kiln::codegen
