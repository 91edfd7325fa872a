// Matrix products, in the form that canonicalize gives them: [batch,] M,K (or K,M) by [batch,] K,N; and by
// weights in panels.
#include "codegen/ops/register.h"
#include "codegen/product.h"
#include "codegen/reduction.h"

namespace kiln::codegen {
namespace {

struct Dot {
  explicit Dot(const Node& n) : node(&n) {
    const Shape& left = n.operand(0).shape();
    const Shape& right = n.operand(1).shape();
    batched = !n.attributes.ints("lhs_batch").empty();
    const std::size_t first = batched ? 1 : 0;
    transposed = n.attributes.ints("lhs_contract")[0] == static_cast<std::int64_t>(first);
    if (batched) batch.push_back(left[0]);
    rows = left[transposed ? first + 1 : first];
    length = right[first];
    columns = right[first + 1];
  }

  Indices index(const Indices& outer, const Index& a, const Index& b) const {
    return batched ? Indices{outer[0], a, b} : Indices{a, b};
  }
  Expr lhs(Lowering& l, const Indices& outer, const Index& row, const Index& k) const {
    return l.operand(*node, 0, transposed ? index(outer, k, row) : index(outer, row, k));
  }
  Expr rhs(Lowering& l, const Indices& outer, const Index& k, const Index& column) const {
    return l.operand(*node, 1, index(outer, k, column));
  }

  const Node* node;
  bool batched = false, transposed = false;
  std::vector<std::int64_t> batch;
  std::int64_t rows = 0, columns = 0, length = 0;
};

/// A single column: the sum itself is what vectors can run along.
void column_kernel(Lowering& l, const Dot& dot) {
  const Node& node = *dot.node;
  Reduction r;
  r.kept = dot.batch;
  r.kept.insert(r.kept.end(), {dot.rows, 1});
  r.reduced = {dot.length};
  r.vector_reduced = !dot.transposed && dot.length > 1;
  r.state = {node.type().dtype};
  r.initial = [&node](std::size_t, const Index&) { return constant_expr(node.type().dtype, 0); };
  r.step = [dot](Lowering& low, const std::vector<Expr>& state, const Indices& kept, const Indices& reduced) {
    const Indices outer(kept.begin(), kept.end() - 2);
    Expr left = dot.lhs(low, outer, kept.end()[-2], reduced[0]);
    return std::vector<Expr>{fma(std::move(left), dot.rhs(low, outer, reduced[0], kept.back()), state[0])};
  };
  r.join = [](Lowering&, const std::vector<Expr>& a, const std::vector<Expr>& b) {
    return std::vector<Expr>{apply(Op::add, {a[0], b[0]})};
  };
  r.fold = [](Lowering& low, const std::vector<Reg>& lanes) {
    return std::vector<Expr>{low.let(fold_lanes(Op::add, lanes[0], {Index(0)}))};
  };
  r.partial_sums = true;
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[0]));
  };
  lower_reduction(l, std::move(r));
}

/// The right operand in panels.
void dot_panels_kernel(Lowering& l) {
  const Node& node = l.root();
  const Shape& panels = node.operand(1).shape();
  Product p;
  p.dtype = node.type().dtype;
  p.rows = node.type().shape[0];
  p.columns = node.type().shape[1];
  p.contraction = {panels[1]};
  p.one_rhs = true;
  p.panel_columns = graph::panel_columns;
  p.lhs = [&](Lowering& low, const Indices&, const Index& row, const Indices& k) {
    return low.operand(node, 0, {row, k[0]});
  };
  p.rhs = [&](Lowering& low, const Indices&, const Indices& k, const Index& column) {
    return low.operand(node, 1,
                       {floor_div(column, graph::panel_columns), k[0], mod(column, graph::panel_columns)});
  };
  p.result = [](const Indices&, const Index& row, const Index& column) { return Indices{row, column}; };
  lower_product(l, p);
}

void dot_kernel(Lowering& l) {
  const Dot dot(l.root());
  if (dot.columns == 1) return column_kernel(l, dot);
  Product p;
  p.dtype = l.root().type().dtype;
  p.outer = dot.batch;
  p.rows = dot.rows;
  p.columns = dot.columns;
  p.contraction = {dot.length};
  p.one_rhs = !dot.batched;
  p.lhs = [&](Lowering& low, const Indices& outer, const Index& row, const Indices& k) {
    return dot.lhs(low, outer, row, k[0]);
  };
  p.rhs = [&](Lowering& low, const Indices& outer, const Indices& k, const Index& column) {
    return dot.rhs(low, outer, k[0], column);
  };
  p.result = [&](const Indices& outer, const Index& row, const Index& column) {
    return dot.index(outer, row, column);
  };
  lower_product(l, p);
}

}  // namespace

void register_dot_lowering(LoweringTable& table) {
  entry(table, Op::dot).root = dot_kernel;
  entry(table, Op::dot_panels).root = dot_panels_kernel;
}

}  // namespace kiln::codegen
