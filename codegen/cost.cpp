#include "codegen/cost.h"

#include <algorithm>

namespace kiln::codegen {
namespace {

/// Calls `visit` for the expression and everything inside it.
template <class Visit>
void walk(const Expr& e, const Visit& visit);

template <class Visit>
void walk(const Index& index, const Visit& visit) {
  if (index->value) walk(index->value, visit);
  for (const Index& operand : index->operands) walk(operand, visit);
}

template <class Visit>
void walk(const Expr& e, const Visit& visit) {
  if (!e) return;
  visit(*e);
  walk(e->index, visit);
  walk(e->other, visit);
  walk(e->predicate, visit);
  for (const Expr& operand : e->operands) walk(operand, visit);
}

/// Calls `visit` for every expression of the block, loops inside included.
template <class Visit>
void walk(const Block& block, const Visit& visit) {
  for (const Stmt& s : block) {
    walk(s.value, visit);
    walk(s.predicate, visit);
    walk(s.index, visit);
    walk(s.body, visit);
    walk(s.otherwise, visit);
  }
}

double cost_of(graph::Op op) {
  using graph::Op;
  switch (op) {
    case Op::exp:
    case Op::expm1:
    case Op::log:
    case Op::log1p:
    case Op::tanh:
    case Op::sigmoid:
    case Op::erf:
    case Op::sin:
    case Op::cos:
      return 15;
    case Op::pow:
    case Op::rem:
      return 30;
    case Op::div:
    case Op::sqrt:
    case Op::rsqrt:
      return 6;
    default:
      return 1;
  }
}

double index_cost(const Index& index, const Var& var, int lanes) {
  std::int64_t factor = 0;
  if (!affine_in(index, var, factor)) return 3.0 * lanes;
  if (factor == 0) return 0.5;
  if (factor == 1) return 1;
  return factor == -1 ? 2 : 1.0 * lanes;
}

bool is_affine(const Index& index, const Var& var) {
  std::int64_t factor = 0;
  return affine_in(index, var, factor);
}

double flops(const Block& block) {
  double total = 0;
  for (const Stmt& s : block) {
    walk(s.value, [&](const ExprNode& e) {
      const bool counts = is_float(e.dtype) && e.op != graph::Op::select && e.op != graph::Op::convert;
      if (e.kind == ExprKind::fma) total += 2;
      if (e.kind == ExprKind::apply && counts) total += 1;
    });
    // The other branch of a kernel is a smaller tile: counting the first alone is near enough.
    total += flops(s.body) * (s.kind == StmtKind::loop ? static_cast<double>(s.variable->extent) : 1.0);
  }
  return total;
}

}  // namespace

double vector_cost(const Block& body, const Var& var, int lanes) {
  double total = 0;
  walk(body, [&](const ExprNode& e) {
    if (e.kind == ExprKind::apply) total += cost_of(e.op);
    if (e.kind == ExprKind::fma) total += 1;
    if (e.kind == ExprKind::load) total += index_cost(e.index, var, lanes) + (e.predicate ? 1 : 0);
    if (e.kind == ExprKind::index || e.kind == ExprKind::less) total += is_affine(e.index, var) ? 1 : 8;
  });
  for (const Stmt& s : body)
    if (s.kind == StmtKind::store) total += index_cost(s.index, var, lanes);
  return total;
}

bool all_affine(const Block& body, const Var& var) {
  bool affine = true;
  walk(body, [&](const ExprNode& e) {
    if (e.kind == ExprKind::load || e.kind == ExprKind::index || e.kind == ExprKind::less)
      affine = affine && is_affine(e.index, var) && is_affine(e.other, var);
  });
  for (const Stmt& s : body) affine = affine && is_affine(s.index, var);
  return affine;
}

double scalar_work(const Block& body) {
  double total = 0;
  walk(body, [&](const ExprNode& e) {
    if (e.kind == ExprKind::apply) total += cost_of(e.op);
    if (e.kind == ExprKind::load || e.kind == ExprKind::fma) total += 1;
  });
  return std::max(total, 1.0);
}

double count_flops(const Kernel& kernel) {
  return flops(kernel.body);
}

}  // namespace kiln::codegen
