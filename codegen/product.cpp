#include "codegen/product.h"

#include <algorithm>
#include <limits>

#include "codegen/tiling.h"
#include "graph/elemental.h"

namespace kiln::codegen {
namespace {

/// Steps of a product by which a right operand's rows are asked for before they are read.
constexpr std::int64_t steps_ahead = 16;

/// Asks for the cache line of an element that is read as it is.
void ask_for(Lowering& l, const Expr& element, CacheLevel into = CacheLevel::nearest) {
  if (element->kind == ExprKind::load && !element->predicate)
    l.add(prefetch(element->buffer, element->index, into));
}

std::int64_t line_elements(DType dtype) {
  return line_bytes / static_cast<std::int64_t>(size_of(dtype));
}

/// Asks for a row of a right operand.
template <class Rhs>
void ask_for_row(Lowering& l, DType dtype, std::int64_t columns, CacheLevel into, const Rhs& rhs) {
  const std::int64_t line = line_elements(dtype);
  for (std::int64_t c = 0; c < columns; c += line) ask_for(l, rhs(Index(c)), into);
}

/// A register tile's accumulators, and the loops that go with them.
class RegisterTile {
 public:
  RegisterTile(Lowering& l, const char* name, DType dtype, std::int64_t rows, std::int64_t columns)
      : l_(l), reg_(l.make_register(name, dtype, RegisterKind::tile, {rows}, columns)) {}

  Expr at(const Index& r, const Index& c) const { return read(reg_, {r, c}); }

  template <class Body>
  void each(const Body& body) const {
    each(reg_->extent, body);
  }
  /// With the lanes behind a tail's columns, whose sums are of no meaning.
  template <class Body>
  void each_lane(const Body& body) const {
    each((reg_->extent + l_.lanes() - 1) / l_.lanes() * l_.lanes(), body);
  }

  template <class Value>
  void set(const Value& value) const {
    each([&](const Index& r, const Index& c) { l_.add(write(reg_, {r, c}, value(r, c))); });
  }

  /// Adds lhs(r) * rhs(c). A row's factor outside: the columns' vectors, which are few, stay in registers
  /// while the factors come and go. The other way round all factors stay, and tiles of 8 x 3 vectors spill.
  template <class Lhs, class Rhs>
  void multiply_add(const Lhs& lhs, const Rhs& rhs) const {
    l_.unrolled("r", reg_->dims[0], [&](const Index& r) {
      const Expr left = l_.let(lhs(r));
      l_.vector(
          "c", reg_->extent,
          [&](const Index& c) { l_.add(write(reg_, {r, c}, fma(left, rhs(c), at(r, c)))); }, true);
    });
  }

 private:
  template <class Body>
  void each(std::int64_t columns, const Body& body) const {
    l_.unrolled("r", reg_->dims[0],
                [&](const Index& r) { l_.vector("c", columns, [&](const Index& c) { body(r, c); }, true); });
  }

  Lowering& l_;
  Reg reg_;
};

class ProductKernel {
 public:
  ProductKernel(Lowering& l, const Product& p) : l_(l), p_(p) {}

  void build() {
    l_.set_lanes(p_.dtype);
    l_.narrow_lanes(p_.columns);
    std::vector<ProductTile> tiles =
        product_tiles(p_.rows, p_.columns, l_.lanes(), l_.target(), p_.row_group);
    if (p_.panel_columns > 0)
      std::erase_if(tiles,
                    [&](const ProductTile& t) { return p_.panel_columns % (t.vectors * l_.lanes()) != 0; });
    // The ways: the best tiles; and with the very best, other ways through a large right operand.
    const int count = static_cast<int>(std::min<std::size_t>(tiles.size(), 5));
    const int way = l_.choose_way(p_.panel_columns > 0 ? count : count + 2);
    const bool streams = way < count, passes = way <= count;
    ProductTile tile = tiles[streams ? static_cast<std::size_t>(way) : 0];
    // Totals are touched once a part: when parts are long, they may as well be spilled.
    constexpr std::int64_t long_part = 64;
    if (partial_sums() && product(std::span(p_.contraction).subspan(1)) < long_part) {
      const int fit = accumulator_registers(l_.target()) / 2 / tile.vectors;
      const int group = static_cast<int>(p_.row_group);
      tile.rows = std::max(group, std::min(tile.rows, fit) / group * group);
    }
    const std::int64_t width = std::int64_t{tile.vectors} * l_.lanes();
    width_ = width;
    if (has_long_epilogue(l_.group()) && tile.rows * tile.vectors > 4 && p_.columns >= l_.lanes())
      totals_ = l_.scratch_buffer(p_.dtype, tile.rows * width);
    const std::int64_t panels = (p_.columns + width - 1) / width,
                       row_tiles = (p_.rows + tile.rows - 1) / tile.rows;
    const std::int64_t tiles_of_rows = product(p_.outer) * row_tiles;
    const double work = static_cast<double>(tile.rows) * static_cast<double>(std::min(width, p_.columns)) *
                        static_cast<double>(std::max<std::int64_t>(1, product(p_.contraction)));
    if (p_.panel_columns > 0) {
      choose_steps_of_panels();
      return build_by_panels(tile.rows, panels, row_tiles);
    }
    if (streams) stream_rhs(tiles_of_rows);
    if (passes && passes_ == 1) choose_passes(std::min(width, p_.columns), tiles_of_rows, streams);
    if (packs_) return build_by_panels(tile.rows, panels, row_tiles);
    if (passes_ == 1) {
      block_ = 0;
      tiles_ = most_tiles;
      read_ahead(tiles_of_rows);
    }
    const auto at_panel = [&](const Indices& outer, const Index& panel, const Index& row_tile,
                              const Index& pass) {
      l_.part(panel, p_.columns, width, [&](const Index& column, std::int64_t columns) {
        l_.even_part(row_tile, p_.rows, tile.rows, p_.row_group, [&](const Index& row, std::int64_t rows) {
          register_tile(outer, row, rows, column, columns, pass);
        });
      });
    };
    if (const std::int64_t block = panels_in_a_row(width); block_ == 0 && row_tiles > 1 && panels > block) {
      std::vector<std::int64_t> points = p_.outer;
      points.insert(points.end(), {(panels + block - 1) / block, row_tiles, block});
      l_.tiles(points, work, [&](const Indices& point) {
        const Index panel = point.end()[-3] * block + point.back();
        l_.when(in_range(panel, 0, panels),
                [&] { at_panel(Indices(point.begin(), point.end() - 3), panel, point.end()[-2], 0); });
      });
      return;
    }
    // In passes, all rows of a panel follow one another.
    const bool panels_outermost = passes_ > 1 || reads_panels_once(product(p_.outer) * p_.rows);
    const std::size_t panel_axis = panels_outermost ? 0 : p_.outer.size();
    std::vector<std::int64_t> points = p_.outer;
    points.insert(points.begin() + static_cast<std::ptrdiff_t>(panel_axis), panels);
    points.push_back(row_tiles);
    const auto body = [&](const Indices& point, const Index& pass) {
      Indices outer(point.begin(), point.end() - 1);
      outer.erase(outer.begin() + static_cast<std::ptrdiff_t>(panel_axis));
      at_panel(outer, point[panel_axis], point.back(), pass);
    };
    l_.tiles_in_passes(points, work, passes_, tiles_, body);
  }

 private:
  /// What is asked for ahead of a right operand: the rows of later steps, or what a streamed one's next
  /// panel or next pass will read.
  enum class Ahead : std::uint8_t { nothing, steps, panel, pass };

  bool partial_sums() const { return p_.partial_sums && p_.contraction.size() > 1 && p_.contraction[0] > 1; }

  /// Short sums hardly do more than write a large result: panels that follow one another in a row, so that
  /// memory is written in long pieces. What they read of the right operand is small enough to stay.
  std::int64_t panels_in_a_row(std::int64_t width) const {
    constexpr std::int64_t longest_sum = 16;
    const auto size = static_cast<std::int64_t>(size_of(p_.dtype));
    const bool large = p_.rows * p_.columns * size > l_.target().l2_bytes;
    if (!large || product(p_.contraction) > longest_sum) return std::numeric_limits<std::int64_t>::max();
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(streamed_bytes) / (width * size));
  }

  /// Where the right operand doesn't stay in the cache, but the left one's few rows (of images, say) do, they
  /// pass by each panel, instead of all panels by each of them.
  bool reads_panels_once(std::int64_t all_rows) const {
    if (!p_.one_rhs || p_.contraction.empty()) return false;
    const auto size = static_cast<std::int64_t>(size_of(p_.dtype));
    return rhs_bytes() > l_.target().l2_bytes / 2 &&
           all_rows * p_.contraction.back() * size <= last_cache_bytes(l_.target());
  }
  std::int64_t rhs_bytes() const {
    return product(p_.contraction) * p_.columns * static_cast<std::int64_t>(size_of(p_.dtype));
  }

  /// A right operand larger than the cache is gone through in passes over all rows, a part of the k loops
  /// each; the sums wait meanwhile. That changes no bit of them. `in_place`: one pass may do without a copy.
  void choose_passes(std::int64_t width, std::int64_t tiles_of_rows, bool in_place) {
    constexpr std::int64_t fewest_tiles = 4;  // that share a part
    if (!p_.one_rhs || partial_sums() || p_.contraction.empty() || tiles_of_rows < fewest_tiles) return;
    const std::int64_t steps = p_.contraction.back();
    const auto size = static_cast<std::int64_t>(size_of(p_.dtype));
    const std::int64_t block =
        cached_steps(steps, product(p_.contraction), width * size, p_.columns * size, l_.target());
    if (block == 0) return;
    const bool comes_from_memory = rhs_bytes() > last_cache_bytes(l_.target());  // asking hides less of that
    if (in_place && block == product(p_.contraction) && product(p_.outer) == 1 &&
        ((asks_for_steps(tiles_of_rows) && !comes_from_memory) ||
         panel_stays(steps, width * size, p_.columns * size, l_.target())))
      return;
    packs_ = tiles_of_rows >= fewest_packed_tiles;
    set_passes(block, most_large_tiles);
  }

  /// Few tiles of rows use each element of a large right operand seldom: to read it is what takes the time.
  /// It is quick by few steps' rows side by side, each in long pieces, rather than by one panel of all rows.
  void stream_rhs(std::int64_t tiles_of_rows) {
    if (!p_.one_rhs || partial_sums() || p_.contraction.size() != 1) return;
    const std::int64_t steps = p_.contraction[0];
    const std::int64_t row_bytes = p_.columns * static_cast<std::int64_t>(size_of(p_.dtype));
    const std::int64_t block = streamed_steps(steps, row_bytes, tiles_of_rows, l_.target());
    if (block == 0) return;
    set_passes(block, std::max(fewest_streamed_tiles, static_cast<double>(row_bytes) / streamed_bytes));
    streamed_ = passes_ > 1;
    constexpr std::int64_t few_tiles = 2;  // up to here there is hardly anything to do but read
    if (streamed_) ahead_ = tiles_of_rows <= few_tiles ? Ahead::pass : Ahead::panel;
  }

  /// A right operand that few tiles of rows share is mostly read from afar, in pieces too short for the
  /// machine's own prefetching.
  void read_ahead(std::int64_t tiles_of_rows) {
    if (asks_for_steps(tiles_of_rows)) ahead_ = Ahead::steps;
  }
  bool asks_for_steps(std::int64_t tiles_of_rows) const {
    return p_.one_rhs && p_.rows > 1 && tiles_of_rows <= most_asking_tiles &&
           rhs_bytes() > l_.target().l1_bytes && !l_.target().is_small;
  }

  /// The sums wait in the output between passes of `block` steps; where it lies over an input, in scratch
  /// memory, if panels are copied.
  void set_passes(std::int64_t block, double tiles) {
    const std::int64_t passes = product(p_.contraction) / block;
    if (passes > 1) {
      waiting_output_ = l_.private_output(p_.dtype);
      if (waiting_output_ >= 0) waiting_ = l_.output_buffer(waiting_output_);
      if (waiting_ < 0 && !packs_) return;
    }
    block_ = block;
    passes_ = passes;
    tiles_ = tiles;
  }

  /// The indices of step `step` of a pass.
  Indices steps_of(const Index& pass, const Index& step) const {
    const std::span<const std::int64_t> loops(p_.contraction);
    const std::int64_t parts = loops.back() / block_;
    Indices k = unflatten(floor_div(pass, parts), loops.first(loops.size() - 1));
    k.push_back(mod(pass, parts) * block_ + step);
    return k;
  }

  /// A right operand that lies in panels: so many steps at a time that a panel's part stays in the cache.
  void choose_steps_of_panels() {
    const std::int64_t steps = p_.contraction[0],
                       row_bytes = width_ * static_cast<std::int64_t>(size_of(p_.dtype));
    const std::int64_t block = cached_steps(steps, steps, row_bytes, row_bytes, l_.target());
    block_ = block == 0 ? steps : block;
    passes_ = steps == 0 ? 1 : steps / block_;
    ahead_ = Ahead::steps;
  }

  /// Each part of a panel serves a block of the rows' tiles. Where its rows lie far apart, they are copied to
  /// where they follow one another.
  void build_by_panels(std::int64_t tile_rows, std::int64_t panels, std::int64_t row_tiles) {
    if (packs_) packed_ = l_.scratch_buffer(p_.dtype, block_ * width_);
    std::vector<std::int64_t> tiles_of_rows = p_.outer;
    tiles_of_rows.push_back(row_tiles);
    const std::int64_t count = product(tiles_of_rows),
                       bytes = tile_rows * block_ * static_cast<std::int64_t>(size_of(p_.dtype)),
                       block = packs_ ? packed_row_tiles(count, bytes, panels, l_.target())
                                      : panel_row_tiles(count, bytes, panels, l_.target());
    if (passes_ > 1 && waiting_ < 0) waiting_ = l_.scratch_buffer(p_.dtype, block * tile_rows * width_);
    const auto multiply = [&](const Index& number, const Index& column, std::int64_t columns,
                              const Index& pass) {
      Indices outer = unflatten(number, tiles_of_rows);
      const Index row_tile = outer.back();
      outer.pop_back();
      l_.even_part(row_tile, p_.rows, tile_rows, p_.row_group, [&](const Index& row, std::int64_t rows) {
        register_tile(outer, row, rows, column, columns, pass);
      });
    };
    // Blocks outermost: what a pass reads of their rows may still be in the last cache at the next panel.
    const std::int64_t points[] = {(count + block - 1) / block, panels};
    const double work = static_cast<double>(block * tile_rows * width_ * product(p_.contraction));
    l_.tiles(points, work, [&](const Indices& point) {
      l_.part(point[1], p_.columns, width_, [&](const Index& column, std::int64_t columns) {
        l_.serial("pass", passes_, [&](const Index& pass) {
          if (packs_) pack_panel(column, columns, pass);
          l_.serial("i", block, [&](const Index& i) {
            const Index number = point[0] * block + i;
            waiting_row_ = i * tile_rows;
            l_.when(in_range(number, 0, count), [&] { multiply(number, column, columns, pass); });
          });
        });
      });
    });
  }

  /// Copies a panel's part of the right operand, whose rows lie far apart in memory and meet in few sets of
  /// the cache, to where they follow one another.
  void pack_panel(const Index& column, std::int64_t columns, const Index& pass) {
    const Indices outer(p_.outer.size(), Index(0));
    l_.serial("k", block_, [&](const Index& step) {
      l_.vector("c", columns, [&](const Index& c) {
        l_.add(store(packed_, step * width_ + c, p_.rhs(l_, outer, steps_of(pass, step), column + c)));
      });
    });
  }

  /// Asks for later tiles' part of the left operand, a line a step: it comes from far away, in pieces too
  /// short for the machine's own prefetching. `k_at`: the contraction's indices at a step.
  template <class At>
  void prefetch_lhs(const Indices& outer, const Index& row, std::int64_t rows, const Index& step,
                    const At& k_at) {
    if (rows == p_.rows) return;
    const auto lhs = [&](const Index& r, const Index& s) { return p_.lhs(l_, outer, r, k_at(s)); };
    const Expr here = lhs(row, step);
    std::int64_t stride = 0;
    if (here->kind != ExprKind::load || here->predicate || step->kind != IndexKind::variable ||
        !affine_in(here->index, step->variable, stride))
      return;
    if (stride == 1) {  // a row's steps lie side by side: the next tile's rows
      const std::int64_t steps_for_all_rows = rows <= 8 ? 8 : 16;  // at most those that a line serves
      const Index next = mod(step, steps_for_all_rows);
      return ask_for(l_, lhs(row + rows + next, step - next));
    }
    const Var next = make_var("r", 2);
    const Expr in_order = lhs(row + Index(next), step);
    if (in_order->kind != ExprKind::load || !affine_in(in_order->index, next, stride) || stride != 1) return;
    constexpr std::int64_t lines = 2;  // a step's rows lie side by side: their second line from here
    ask_for(l_, lhs(row + rows - 1 + lines * line_elements(p_.dtype), step), CacheLevel::second);
  }

  /// Asks for what `ahead_` says, beside this step's row of the right operand.
  void prefetch_rhs(const Indices& outer, Indices k, Index column, std::int64_t columns) {
    // The nearest cache has room for few lines on their way: what is asked for in bulk goes to the second.
    CacheLevel into = CacheLevel::second;
    switch (ahead_) {
      case Ahead::nothing:
        return;
      case Ahead::steps:
        into = CacheLevel::nearest;
        k.back() = k.back() + steps_ahead;
        break;
      case Ahead::pass:
        k.back() = k.back() + block_;
        break;
      case Ahead::panel:
        if (columns < width_) return;
        column = column + width_;
        break;
    }
    ask_for_row(l_, p_.dtype, columns, into,
                [&](const Index& c) { return p_.rhs(l_, outer, k, column + c); });
  }

  /// Asks for where a tile's results will be written, if that is far away: the rest of its line has to come
  /// before a store is done, and long sums leave time for it. (What the epilogue reads there, too, such as a
  /// weight that is updated, it reads early enough.)
  void ask_for_outputs(const Indices& outer, const Index& row, std::int64_t rows, const Index& column,
                       std::int64_t columns) {
    constexpr std::int64_t long_sum = 64;
    if (passes_ > 1 || product(p_.contraction) < long_sum) return;
    const std::vector<Value>& outputs = l_.group().outputs;
    for (int i = 0; i < static_cast<int>(outputs.size()); i++) {
      const graph::Type& type = outputs[static_cast<std::size_t>(i)].type();
      const std::int64_t bytes = type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
      if (type.shape != l_.root().type().shape || !is_far(bytes, l_.target()) || !l_.is_private_output(i))
        continue;
      const int buffer = l_.output_buffer(i);
      for (std::int64_t r = 0; r < rows; r++)
        for (std::int64_t c = 0; c < columns; c += line_elements(type.dtype))
          l_.add(prefetch(buffer, l_.output_position(i, p_.result(outer, row + r, column + c))));
    }
  }

  void register_tile(const Indices& outer, const Index& row, std::int64_t rows, const Index& column,
                     std::int64_t columns, const Index& pass) {
    ask_for_outputs(outer, row, rows, column, columns);
    const RegisterTile sum(l_, "acc", p_.dtype, rows, columns);
    const auto waiting_place = [&](const Index& r, const Index& c) {
      return waiting_output_ < 0 ? (waiting_row_ + r) * width_ + c
                                 : l_.output_position(waiting_output_, p_.result(outer, row + r, column + c));
    };
    const auto zero = [&](const Index&, const Index&) { return constant_expr(p_.dtype, 0); };
    l_.when(
        less(pass, Index(1)), [&] { sum.set(zero); },
        [&] {
          sum.set(
              [&](const Index& r, const Index& c) { return load(waiting_, p_.dtype, waiting_place(r, c)); });
        });
    const std::span<const std::int64_t> loops(p_.contraction);
    if (partial_sums()) {
      const RegisterTile part(l_, "part", p_.dtype, rows, columns);
      l_.serial("k", loops[0], [&](const Index& first) {
        part.set(zero);
        l_.nest("k", loops.subspan(1), false, [&](const Indices& rest) {
          Indices k{first};
          k.insert(k.end(), rest.begin(), rest.end());
          multiply_add(part, outer, row, column, k);
        });
        sum.set(
            [&](const Index& r, const Index& c) { return apply(Op::add, {sum.at(r, c), part.at(r, c)}); });
      });
    } else if (block_ > 0) {
      l_.serial("k", block_, [&](const Index& step) {
        const auto k_at = [&](const Index& s) { return steps_of(pass, s); };
        const Indices k = k_at(step);
        prefetch_lhs(outer, row, rows, step, k_at);
        prefetch_rhs(outer, k, column, columns);
        sum.multiply_add([&](const Index& r) { return p_.lhs(l_, outer, row + r, k); },
                         [&](const Index& c) {
                           return packed_ < 0 ? p_.rhs(l_, outer, k, column + c)
                                              : load(packed_, p_.dtype, step * width_ + c);
                         });
      });
    } else {
      l_.nest("k", loops, false, [&](const Indices& k) {
        if (k.size() == 1) prefetch_lhs(outer, row, rows, k[0], [](const Index& s) { return Indices{s}; });
        if (!k.empty()) prefetch_rhs(outer, k, column, columns);
        multiply_add(sum, outer, row, column, k);
      });
    }
    const auto finish = [&] { store_results(sum, outer, row, rows, column, columns); };
    l_.when(less(Index(passes_ - 2), pass), finish, [&] {
      sum.each([&](const Index& r, const Index& c) {
        l_.add(store(waiting_, waiting_place(r, c), sum.at(r, c)));
      });
    });
  }

  /// The totals' epilogue and stores, written out, or in a loop over the tile.
  void store_results(const RegisterTile& sum, const Indices& outer, const Index& row, std::int64_t rows,
                     const Index& column, std::int64_t columns) {
    const auto output = [&](const Index& r, const Index& c, Expr total) {
      l_.bind(l_.root().value(), l_.let(std::move(total)));
      l_.store_outputs(p_.result(outer, row + r, column + c));
    };
    if (totals_ < 0) {
      sum.each([&](const Index& r, const Index& c) { output(r, c, sum.at(r, c)); });
      return;
    }
    const auto place = [&](const Index& r, const Index& c) { return r * width_ + c; };
    // Whole vectors, for a CPU waits long for what it has just stored under a mask.
    sum.each_lane([&](const Index& r, const Index& c) { l_.add(store(totals_, place(r, c), sum.at(r, c))); });
    // Vectors side by side, so that one is computed while another waits.
    constexpr std::int64_t side_by_side = 4;
    const std::int64_t vectors = (columns + l_.lanes() - 1) / l_.lanes(),
                       some = (side_by_side + vectors - 1) / vectors;
    const auto outputs = [&](const Index& first, std::int64_t count) {
      l_.unrolled("r", count, [&](const Index& r) {
        const auto total = [&](const Index& c) { return load(totals_, p_.dtype, place(first + r, c)); };
        l_.vector("c", columns, [&](const Index& c) { output(first + r, c, total(c)); }, true);
      });
    };
    l_.serial("r", rows / some, [&](const Index& r) { outputs(r * some, some); });
    outputs(Index(rows / some * some), rows % some);
  }

  void multiply_add(const RegisterTile& sum, const Indices& outer, const Index& row, const Index& column,
                    const Indices& k) {
    sum.multiply_add([&](const Index& r) { return p_.lhs(l_, outer, row + r, k); },
                     [&](const Index& c) { return p_.rhs(l_, outer, k, column + c); });
  }

  Lowering& l_;
  const Product& p_;
  std::int64_t passes_ = 1;  ///< over the rows of a panel, `block_` steps each
  std::int64_t block_ = 0;
  bool streamed_ = false;  ///< passes of few steps, for few rows
  bool packs_ = false;     ///< panels are copied, for many rows
  Ahead ahead_ = Ahead::nothing;
  double tiles_ = most_tiles;
  int packed_ = -1;               ///< parameter that holds a pass's part of the right operand
  int waiting_ = -1;              ///< parameter where sums wait between passes
  int waiting_output_ = -1;       ///< the output that it is; -1: scratch memory
  Index waiting_row_ = Index(0);  ///< there, of this tile of rows
  std::int64_t width_ = 0;        ///< columns of a tile
  int totals_ = -1;  ///< parameter where a tile's totals lie for a loop of their own; -1: written out
};

}  // namespace

bool has_long_epilogue(const Group& group) {
  return std::any_of(group.nodes.begin(), group.nodes.end(), [&](const Node* n) {
    return n != group.root && graph::is_elemental(*n) && graph::is_expensive(*n);
  });
}

void lower_product(Lowering& lowering, const Product& p) {
  if (product(p.outer) * p.rows * p.columns == 0) return;
  ProductKernel(lowering, p).build();
}

void InnerProduct::Sums::store_all(Lowering& l, int buffer, std::int64_t width) const {
  const std::int64_t lanes = l.lanes();
  l.unrolled("r", rows, [&](const Index& r) {
    l.vector(
        "c", (columns + lanes - 1) / lanes * lanes,
        [&](const Index& c) { l.add(codegen::store(buffer, r * width + c, at(r, c))); }, true);
  });
}

void lower_inner_product(Lowering& l, const InnerProduct& p) {
  const ProductTile shape =
      p.tile ? *p.tile : product_tile(p.rows, p.columns, l.lanes(), l.target(), p.row_group);
  const std::int64_t width = std::int64_t{shape.vectors} * l.lanes();
  const auto tile = [&](const Index& outer, const Index& row, std::int64_t rows, const Index& column,
                        std::int64_t columns) {
    const RegisterTile sum(l, "acc", p.dtype, rows, columns);
    sum.set([&](const Index& r, const Index& c) {
      return p.initial ? p.initial(l, outer, row + r, column + c) : constant_expr(p.dtype, 0);
    });
    l.nest("k", p.contraction, false, [&](const Indices& k) {
      if (p.rhs_is_far) {
        Indices later = k;
        later.back() = later.back() + steps_ahead;
        ask_for_row(l, p.dtype, columns, CacheLevel::nearest,
                    [&](const Index& c) { return p.rhs(l, outer, later, column + c); });
      }
      const auto add_step = [&] {
        sum.multiply_add([&](const Index& r) { return p.lhs(l, outer, row + r, k); },
                         [&](const Index& c) { return p.rhs(l, outer, k, column + c); });
      };
      p.step_counts ? l.when(p.step_counts(l, k), add_step) : add_step();
    });
    if (p.finish) {
      const auto at = [&](const Index& r, const Index& c) { return sum.at(r, c); };
      return p.finish(l, outer, {row, rows, column, columns, at});
    }
    sum.each([&](const Index& r, const Index& c) { p.store(l, outer, row + r, column + c, sum.at(r, c)); });
  };
  const auto parts = [](std::int64_t extent, std::int64_t size) { return (extent + size - 1) / size; };
  l.serial("o", p.outer, [&](const Index& outer) {
    l.serial("panel", parts(p.columns, width), [&](const Index& panel) {
      l.part(panel, p.columns, width, [&](const Index& column, std::int64_t columns) {
        const EvenParts tiles(p.rows / p.row_group, shape.rows / p.row_group);
        l.serial("tile", tiles.count, [&](const Index& number) {
          l.even_part(number, p.rows, shape.rows, p.row_group,
                      [&](const Index& row, std::int64_t rows) { tile(outer, row, rows, column, columns); });
        });
      });
    });
  });
}

}  // namespace kiln::codegen
