// Matrix products, in the form that canonicalize gives them: [batch,] M,K (or K,M) by [batch,] K,N; and by
// weights in panels.
#include <algorithm>
#include <array>
#include <cmath>

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

bool is_finite(const Tensor& t) {
  const Tensor dense = t.contiguous();
  return visit(t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* elements = dense.data<T>();
    return std::all_of(elements, elements + dense.size(),
                       [](T x) { return std::isfinite(static_cast<double>(x)); });
  });
}

/// Is SparseRow right, and quicker? The matrix comes from the second or the last cache, in rows so long that
/// it is quick by rows, and that a look at each factor costs little. (From memory, panels are quicker; and
/// they are what threads share.)
bool skips_zeros(const Lowering& l, const Dot& dot) {
  constexpr std::int64_t fewest_columns = 256;
  const Target& target = l.target();
  if (dot.batched || dot.rows != 1 || dot.columns < fewest_columns || target.is_small || target.has_team ||
      !target.has_vectors())
    return false;
  const Node& matrix = *dot.node->operand(1).node;
  if (matrix.op != Op::constant) return false;
  const Tensor& t = matrix.attributes.tensor("value");
  const auto bytes = static_cast<std::int64_t>(t.nbytes());
  return bytes > target.l1_bytes && bytes <= last_cache_bytes(target) && is_finite(t);
}

/// One row by a matrix of constants, whose rows are read only where the factor isn't zero (half of an image's
/// are, or of those that relu gives). The steps that count are listed first, without branches, which the CPU
/// would predict wrongly half the time; then they are added, in their order. A finite number times zero
/// wouldn't change a sum, but for the sign of a zero.
class SparseRow {
 public:
  SparseRow(Lowering& l, const Dot& dot) : l_(l), dot_(dot), dtype_(dot.node->type().dtype) {
    l_.set_lanes(dtype_);
  }

  void build() {
    const std::int64_t points = (dot_.columns + most_columns - 1) / most_columns,
                       lines = (dot_.columns + points * line - 1) / (points * line), width = lines * line;
    list_ = l_.scratch_buffer(DType::i32, block);
    sums_ = l_.scratch_buffer(dtype_, width);
    l_.tiles(std::array{points}, static_cast<double>(width * dot_.length), [&](const Indices& point) {
      l_.part(point[0], dot_.columns, width, [&](const Index& column, std::int64_t columns) {
        l_.vector("c", columns, [&](const Index& c) { l_.add(store(sums_, c, constant_expr(dtype_, 0))); });
        l_.serial("block", (dot_.length + block - 1) / block, [&](const Index& number) {
          l_.part(number, dot_.length, block, [&](const Index& first, std::int64_t steps) {
            add_rows(first, steps, list_steps(first, steps), column, columns);
          });
        });
        l_.vector("c", columns, [&](const Index& c) {
          l_.bind(dot_.node->value(), l_.let(load(sums_, dtype_, c)));
          l_.store_outputs({0, column + c});
        });
      });
    });
  }

 private:
  static constexpr std::int64_t block = 128, most_columns = 512, line = 16;

  Expr factor(const Index& k) { return dot_.lhs(l_, {}, 0, k); }

  /// Lists those of the steps whose factors aren't zero, and gives their number.
  Index list_steps(const Index& first, std::int64_t steps) {
    const Reg count = l_.make_register("count", l_.address_type(), RegisterKind::scalar);
    const auto number = [&](std::int64_t most) {
      return Index::from_value(l_.let(read(count, {})), 0, most + 1);
    };
    l_.add(write(count, {}, integer_expr(l_.address_type(), 0)));
    l_.serial("k", steps, [&](const Index& k) {
      const Index n = number(steps - 1);
      l_.add(store(list_, n, index_expr(k, DType::i32)));
      const Expr counts = compare_expr("ne", factor(first + k), constant_expr(dtype_, 0));
      l_.add(write(count, {}, apply(Op::add, {n->value, convert_expr(counts, l_.address_type())})));
    });
    return number(steps);
  }

  void add_rows(const Index& first, std::int64_t steps, const Index& count, const Index& column,
                std::int64_t columns) {
    InnerProduct p;
    p.dtype = dtype_;
    p.columns = columns;
    p.contraction = {steps};
    const auto vectors = static_cast<int>((columns + l_.lanes() - 1) / l_.lanes());
    p.tile = ProductTile{1, std::min(vectors, accumulator_registers(l_.target()))};
    p.step_counts = [&](Lowering&, const Indices& k) { return less(k[0], count); };
    const auto step = [&](const Indices& k) {
      const Expr listed = l_.let(load(list_, DType::i32, k[0]));
      return first + Index::from_value(l_.let(convert_expr(listed, l_.address_type())), 0, steps);
    };
    p.lhs = [&](Lowering&, const Index&, const Index&, const Indices& k) { return factor(step(k)); };
    p.rhs = [&](Lowering&, const Index&, const Indices& k, const Index& c) {
      return dot_.rhs(l_, {}, step(k), column + c);
    };
    p.initial = [&](Lowering&, const Index&, const Index&, const Index& c) { return load(sums_, dtype_, c); };
    p.store = [&](Lowering&, const Index&, const Index&, const Index& c, Expr sum) {
      l_.add(store(sums_, c, std::move(sum)));
    };
    lower_inner_product(l_, p);
  }

  Lowering& l_;
  const Dot& dot_;
  DType dtype_;
  int list_ = -1, sums_ = -1;
};

void dot_kernel(Lowering& l) {
  const Dot dot(l.root());
  if (dot.columns == 1) return column_kernel(l, dot);
  if (skips_zeros(l, dot)) return SparseRow(l, dot).build();
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
