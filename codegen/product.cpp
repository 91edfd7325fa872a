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
    // Totals are touched once a part: when parts are long, they may as well be spilled.
    constexpr std::int64_t long_part = 64;
    if (partial_sums() && product(std::span(p_.contraction).subspan(1)) < long_part) {
      const int fit = accumulator_registers(l_.target()) / 2 / tile.vectors;
      tile.rows = std::max(1, std::min(tile.rows, fit));
    }
    const std::int64_t width = std::int64_t{tile.vectors} * l_.lanes();
    const std::int64_t panels = (p_.columns + width - 1) / width,
                       row_tiles = (p_.rows + tile.rows - 1) / tile.rows;
    const double work = static_cast<double>(tile.rows) * static_cast<double>(std::min(width, p_.columns)) *
                        static_cast<double>(std::max<std::int64_t>(1, product(p_.contraction)));
    if (product(p_.outer) * row_tiles == 1)
      stream_rhs();
    else
      choose_passes(std::min(width, p_.columns), product(p_.outer) * row_tiles);
    // In passes, all rows of a panel follow one another.
    std::vector<std::int64_t> points = p_.outer;
    const std::size_t panel_axis = passes_ > 1 ? 0 : points.size();
    points.insert(points.begin() + static_cast<std::ptrdiff_t>(panel_axis), panels);
    points.push_back(row_tiles);
    l_.tiles_in_passes(points, work, passes_, tiles_, [&](const Indices& point, const Index& pass) {
      Indices outer(point.begin(), point.end() - 1);
      outer.erase(outer.begin() + static_cast<std::ptrdiff_t>(panel_axis));
      l_.part(point[panel_axis], p_.columns, width, [&](const Index& column, std::int64_t columns) {
        l_.part(point.back(), p_.rows, tile.rows, [&](const Index& row, std::int64_t rows) {
          register_tile(outer, row, rows, column, columns, pass);
        });
      });
    });
  }

 private:
  bool partial_sums() const { return p_.partial_sums && p_.contraction.size() > 1 && p_.contraction[0] > 1; }

  /// A right operand larger than the cache is gone through in passes over all rows, a part of the k loops
  /// each; the sums wait in the output meanwhile. That changes no bit of them.
  void choose_passes(std::int64_t width, std::int64_t tiles_of_rows) {
    constexpr std::int64_t fewest_tiles = 4;  // that share a part
    if (!p_.one_rhs || partial_sums() || p_.contraction.empty() || tiles_of_rows < fewest_tiles) return;
    const std::int64_t steps = p_.contraction.back();
    const std::int64_t bytes = width * static_cast<std::int64_t>(size_of(p_.dtype));
    const std::int64_t block = cached_steps(steps, product(p_.contraction), bytes, l_.target());
    if (block == 0 || product(p_.contraction) == block) return;
    set_passes(block, most_large_tiles);
  }

  /// A single tile of rows reads each element of a large right operand once: memory is the limit. It is met
  /// by reading few steps' rows side by side, each in long pieces, rather than one panel of all of them.
  void stream_rhs() {
    if (partial_sums() || p_.contraction.size() != 1) return;
    const std::int64_t steps = p_.contraction[0];
    const std::int64_t row_bytes = p_.columns * static_cast<std::int64_t>(size_of(p_.dtype));
    const std::int64_t block = streamed_steps(steps, row_bytes, l_.target());
    if (block > 0) set_passes(block, std::max(1.0, static_cast<double>(row_bytes) / streamed_bytes));
  }

  /// The sums wait in the output between passes of `block` steps.
  void set_passes(std::int64_t block, double tiles) {
    waiting_ = l_.private_output(p_.dtype);
    if (waiting_ < 0) return;
    block_ = block;
    passes_ = product(p_.contraction) / block;
    tiles_ = tiles;
  }

  void register_tile(const Indices& outer, const Index& row, std::int64_t rows, const Index& column,
                     std::int64_t columns, const Index& pass) {
    const Reg sum = tile("acc", rows, columns);
    const auto waiting_place = [&](const Index& r, const Index& c) {
      return row_major(p_.result(outer, row + r, column + c), l_.root().type().shape.sizes());
    };
    const auto zero = [&](const Index&, const Index&) { return constant_expr(p_.dtype, 0); };
    l_.when(
        less(pass, Index(1)), [&] { set(sum, zero); },
        [&] {
          set(sum,
              [&](const Index& r, const Index& c) { return load(waiting_, p_.dtype, waiting_place(r, c)); });
        });
    const std::span<const std::int64_t> loops(p_.contraction);
    if (partial_sums()) {
      const Reg part = tile("part", rows, columns);
      l_.serial("k", loops[0], [&](const Index& first) {
        set(part, zero);
        l_.nest("k", loops.subspan(1), false, [&](const Indices& rest) {
          Indices k{first};
          k.insert(k.end(), rest.begin(), rest.end());
          multiply_add(part, outer, row, column, k);
        });
        set(sum, [&](const Index& r, const Index& c) {
          return apply(Op::add, {read(sum, {r, c}), read(part, {r, c})});
        });
      });
    } else if (passes_ > 1) {
      const std::int64_t parts = loops.back() / block_;
      Indices k = unflatten(floor_div(pass, parts), loops.first(loops.size() - 1));
      l_.serial("k", block_, [&](const Index& step) {
        k.push_back(mod(pass, parts) * block_ + step);
        multiply_add(sum, outer, row, column, k);
      });
    } else {
      l_.nest("k", loops, false, [&](const Indices& k) { multiply_add(sum, outer, row, column, k); });
    }
    const auto finish = [&] {
      each(sum, [&](const Index& r, const Index& c) {
        l_.bind(l_.root().value(), l_.let(read(sum, {r, c})));
        l_.store_outputs(p_.result(outer, row + r, column + c));
      });
    };
    l_.when(less(Index(passes_ - 2), pass), finish, [&] {
      each(sum, [&](const Index& r, const Index& c) {
        l_.add(store(waiting_, waiting_place(r, c), read(sum, {r, c})));
      });
    });
  }

  /// A row's factor outside: the columns' vectors, which are few, stay in registers while the factors come
  /// and go. The other way round all factors stay, and tiles of 8 x 3 vectors spill.
  void multiply_add(const Reg& sum, const Indices& outer, const Index& row, const Index& column,
                    const Indices& k) {
    l_.unrolled("r", sum->dims[0], [&](const Index& r) {
      const Expr left = l_.let(p_.lhs(l_, outer, row + r, k));
      l_.vector(
          "c", sum->extent,
          [&](const Index& c) {
            l_.add(write(sum, {r, c}, fma(left, p_.rhs(l_, outer, k, column + c), read(sum, {r, c}))));
          },
          true);
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
  std::int64_t passes_ = 1;  ///< over the rows of a panel, `block_` steps each
  std::int64_t block_ = 0;
  double tiles_ = most_tiles;
  int waiting_ = -1;  ///< parameter where sums wait between passes
};

}  // namespace

void lower_product(Lowering& lowering, const Product& p) {
  if (product(p.outer) * p.rows * p.columns == 0) return;
  ProductKernel(lowering, p).build();
}

}  // namespace kiln::codegen
