#include "codegen/product.h"

#include <algorithm>

#include "codegen/tiling.h"

namespace kiln::codegen {
namespace {

class ProductKernel {
 public:
  ProductKernel(Lowering& l, const Product& p) : l_(l), p_(p) {}

  void build() {
    l_.set_lanes(p_.dtype);
    l_.narrow_lanes(p_.columns);
    ProductTile tile = product_tile(p_.rows, p_.columns, l_.lanes(), l_.target());
    // Totals lie in registers too.
    if (partial_sums() && tile.rows > 1) tile.rows = std::max(1, std::min<int>(tile.rows, accumulator_registers(l_.target()) / 2 / tile.vectors));
    const std::int64_t width = std::int64_t{tile.vectors} * l_.lanes();
    std::vector<std::int64_t> points = p_.outer;
    points.push_back((p_.columns + width - 1) / width);
    points.push_back((p_.rows + tile.rows - 1) / tile.rows);
    const double work = static_cast<double>(tile.rows) * static_cast<double>(std::min(width, p_.columns)) *
                        static_cast<double>(std::max<std::int64_t>(1, product(p_.contraction)));
    l_.tiles(points, work, [&](const Indices& point) {
      const Indices outer(point.begin(), point.end() - 2);
      l_.part(point.end()[-2], p_.columns, width, [&](const Index& column, std::int64_t columns) {
        l_.part(point.back(), p_.rows, tile.rows, [&](const Index& row, std::int64_t rows) {
          register_tile(outer, row, rows, column, columns);
        });
      });
    });
  }

 private:
  bool partial_sums() const { return p_.partial_sums && p_.contraction.size() > 1 && p_.contraction[0] > 1; }

  void register_tile(const Indices& outer, const Index& row, std::int64_t rows, const Index& column,
                     std::int64_t columns) {
    const Reg sum = tile("acc", rows, columns);
    set(sum, [&](const Index&, const Index&) { return constant_expr(p_.dtype, 0); });
    const std::span<const std::int64_t> loops(p_.contraction);
    if (partial_sums()) {
      const Reg part = tile("part", rows, columns);
      l_.serial("k", loops[0], [&](const Index& first) {
        set(part, [&](const Index&, const Index&) { return constant_expr(p_.dtype, 0); });
        l_.nest("k", loops.subspan(1), false, [&](const Indices& rest) {
          Indices k{first};
          k.insert(k.end(), rest.begin(), rest.end());
          multiply_add(part, outer, row, column, k);
        });
        set(sum, [&](const Index& r, const Index& c) {
          return apply(Op::add, {read(sum, {r, c}), read(part, {r, c})});
        });
      });
    } else {
      l_.nest("k", loops, false, [&](const Indices& k) { multiply_add(sum, outer, row, column, k); });
    }
    each(sum, [&](const Index& r, const Index& c) {
      l_.bind(l_.root().value(), l_.let(read(sum, {r, c})));
      l_.store_outputs(p_.result(outer, row + r, column + c));
    });
  }

  /// A row's factor outside: the columns' vectors, which are few, stay in registers while the factors come and
  /// go. The other way round all factors stay, and tiles of 8 x 3 vectors spill.
  void multiply_add(const Reg& sum, const Indices& outer, const Index& row, const Index& column, const Indices& k) {
    l_.unrolled("r", sum->dims[0], [&](const Index& r) {
      const Expr left = l_.let(p_.lhs(l_, outer, row + r, k));
      l_.vector("c", sum->extent, [&](const Index& c) {
        l_.add(write(sum, {r, c}, fma(left, p_.rhs(l_, outer, k, column + c), read(sum, {r, c}))));
      }, true);
    });
  }

  Reg tile(const char* name, std::int64_t rows, std::int64_t columns) {
    return l_.make_register(name, p_.dtype, RegisterKind::tile, {rows}, columns);
  }

  template <class Body>
  void each(const Reg& reg, const Body& body) {
    l_.unrolled("r", reg->dims[0], [&](const Index& r) {
      l_.vector("c", reg->extent, [&](const Index& c) { body(r, c); }, true);
    });
  }

  template <class Value>
  void set(const Reg& reg, const Value& value) {
    each(reg, [&](const Index& r, const Index& c) { l_.add(write(reg, {r, c}, value(r, c))); });
  }

  Lowering& l_;
  const Product& p_;
};

}  // namespace

void lower_product(Lowering& lowering, const Product& p) {
  if (product(p.outer) * p.rows * p.columns == 0) return;
  ProductKernel(lowering, p).build();
}

}  // namespace kiln::codegen
