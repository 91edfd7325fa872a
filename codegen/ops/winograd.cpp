// Convolutions in Winograd's form. A tile of the kernel's work is a block of tiles of the image, which stays
// in the cache from one phase to the next: their elements are transformed, multiplied by the transformed
// kernel at each of the 36 positions, and the sums transformed back, where the epilogue meets them.
#include "graph/ops/winograd.h"

#include <array>
#include <optional>

#include "codegen/ops/register.h"
#include "codegen/pooling.h"
#include "codegen/product.h"
#include "codegen/tiling.h"
#include "codegen/winograd_squares.h"
#include "graph/ops/batch_last.h"

namespace kiln::codegen {
namespace {

using graph::winograd::positions;
using graph::winograd::side;
using winograd::Line;
using winograd::Squares;
using winograd::Transforms;

/// What both kernels share: the image in tiles, and the transform of its elements.
class WinogradKernel {
 public:
  explicit WinogradKernel(Lowering& l)
      : l_(l),
        node_(l.root()),
        x_(is_batch_last(node_) ? graph::batch_first(node_.operand(0).shape()) : node_.operand(0).shape()),
        low_(node_.attributes.ints("low")),
        window_(node_.attributes.integer("window")),
        edge_(graph::winograd::results(window_)),
        tiles_(x_, low_, node_.attributes.ints("high"), window_),
        dtype_(node_.type().dtype) {
    l_.set_lanes(dtype_);
  }

 protected:
  static bool is_batch_last(const Node& node) {
    return node.op == Op::winograd_conv && node.attributes.flag("batch_last");
  }

  struct Place {
    Index image, row, column;  ///< of the tile's first result
  };
  Place place(const Index& tile) const {
    const Indices at = unflatten(tile, std::array{tiles_.images, tiles_.down, tiles_.across});
    return {at[0], at[1] * edge_, at[2] * edge_};
  }
  Expr results_inside(const Place& at) const {
    return both(in_range(at.row, 0, tiles_.height - edge_ + 1),
                in_range(at.column, 0, tiles_.width - edge_ + 1));
  }
  Expr result_inside(const Index& row, const Index& column) const {
    return both(in_range(row, 0, tiles_.height), in_range(column, 0, tiles_.width));
  }

  /// Squares are read in pieces too short for the machine's own prefetching. Where an operand comes from far
  /// away, the tiles of an image together ask for all of a later one, each for an equal piece a page ahead.
  void read_ahead(int operand, const Index& tile) {
    const auto size = static_cast<std::int64_t>(size_of(dtype_));
    const Expr first = l_.operand(node_, operand, {0, 0, 0, 0}),
               next = l_.operand(node_, operand, {1, 0, 0, 0});
    if (first->kind != ExprKind::load || !is_far(l_.buffer_elements(first->buffer) * size, l_.target()))
      return;
    const std::int64_t image = node_.operand(operand).shape().tail().elements(),
                       tiles = tiles_.down * tiles_.across;
    if (!(next->index - first->index).is_constant(image)) return;  // a part of a wider array
    const Index here = first->index + floor_div(tile * image, tiles);
    for (std::int64_t byte = 0; byte < image * size / tiles; byte += line_bytes)
      l_.add(prefetch(first->buffer, here + (page_bytes + byte) / size, CacheLevel::second));
  }

  /// A vector loop whose vectors aren't wider than its extent.
  void over(const char* name, std::int64_t extent, const Lowering::Body& body) {
    l_.narrow_lanes(extent);
    l_.vector(name, extent, body);
    l_.set_lanes(dtype_);
  }

  void transform_input(const Squares& inputs, const Index& tile, const Place& at, const Index& channel,
                       std::int64_t channels) {
    transform_inputs(inputs, tile, at, channels,
                     [&](const Index& row, const Index& column, const Index& c, const Expr& predicate) {
                       return l_.operand(node_, 0, {at.image, row, column, channel + c}, predicate);
                     });
  }
  /// Squares number `slot`; `x_at(row, column, v, predicate)`: x's elements, for v in a vector loop over
  /// `extent`.
  template <class XAt>
  void transform_inputs(const Squares& inputs, const Index& slot, const Place& at, std::int64_t extent,
                        const XAt& x_at) {
    const Index row = at.row - low_[0], column = at.column - low_[1];
    const auto transform = [&](bool inside) {
      over("c", extent, [&](const Index& c) {
        Transforms t(l_);
        const auto element = [&](std::int64_t i, std::int64_t j) {
          const Expr predicate =
              inside ? nullptr : both(in_range(row + i, 0, x_[1]), in_range(column + j, 0, x_[2]));
          return x_at(row + i, column + j, c, predicate);
        };
        t.on_square(
            side, [&](const Line& line) { return t.input(line); }, element,
            [&](std::int64_t i, std::int64_t j, const Expr& value) {
              l_.add(inputs.set(i * side + j, slot, c, value));
            });
      });
    };
    l_.when(
        both(in_range(row, 0, x_[1] - side + 1), in_range(column, 0, x_[2] - side + 1)),
        [&] { transform(true); }, [&] { transform(false); });
  }

  /// A product at each of the positions, whose operands and result are still to be filled in.
  InnerProduct at_positions(std::int64_t rows, std::int64_t columns, std::int64_t contraction) const {
    InnerProduct p;
    p.dtype = dtype_;
    p.outer = positions;
    p.rows = rows;
    p.columns = columns;
    p.contraction = {contraction};
    return p;
  }
  void lower(const InnerProduct& p) {
    l_.narrow_lanes(p.columns);
    lower_inner_product(l_, p);
    l_.set_lanes(dtype_);
  }

  Lowering& l_;
  const Node& node_;
  Shape x_;  ///< (N, H, W, C)
  const Ints& low_;
  std::int64_t window_, edge_;  ///< edge_: results along a tile's side
  graph::winograd::Tiles tiles_;
  DType dtype_;
};

// ---- winograd_conv ----------------------------------------------------------------------------------------

class ConvKernel : WinogradKernel {
 public:
  using WinogradKernel::WinogradKernel;

  void build() {
    const std::int64_t channels = x_[3], filters = node_.operand(1).shape()[2];
    if (tiles_.count() * filters == 0) return;
    if (is_batch_last(node_)) return build_batch_last(channels, filters);
    if (sums_in_registers(channels, filters, l_.lanes(), l_.target()))
      return build_in_registers(channels, filters);
    const WinogradBlock block = winograd_block(tiles_.count(), channels, filters, l_.lanes(), l_.target());
    const Squares inputs(l_, dtype_, block.tiles, channels), sums(l_, dtype_, block.tiles, block.filters);
    const std::vector<std::int64_t> points{(tiles_.count() + block.tiles - 1) / block.tiles,
                                           filters / block.filters};
    const double work =
        static_cast<double>(positions * block.tiles) * static_cast<double>(channels * block.filters);
    l_.tiles(points, work, [&](const Indices& point) {
      const Index filter = point[1] * block.filters;
      const auto each_tile = [&](const auto& body) {
        l_.serial("tile", block.tiles, [&](const Index& tile) {
          const Index number = point[0] * block.tiles + tile;
          l_.when(in_range(number, 0, tiles_.count()), [&] { body(tile, place(number)); });
        });
      };
      each_tile([&](const Index& tile, const Place& at) { transform_input(inputs, tile, at, 0, channels); });
      multiply(inputs, sums, block, filter);
      each_tile([&](const Index& tile, const Place& at) {
        transform_results(sums, tile, at, filter, block.filters);
      });
    });
  }

 private:
  /// A few tiles at a time, whose sums stay in registers: a column of a square's positions is summed, and by
  /// its transform 6 sums become 4 or 2. Each block reads all of the kernel, which the first cache
  /// holds. The sums are those of blocks of many tiles, in the same order.
  void build_in_registers(std::int64_t channels, std::int64_t filters) {
    const WinogradRegisters shape = winograd_registers(tiles_.count(), filters, l_.lanes(), l_.target());
    const std::int64_t width = shape.vectors * l_.lanes();
    const Squares inputs(l_, dtype_, shape.tiles, channels, 0);
    const auto work = static_cast<double>(positions * shape.tiles * channels * filters);
    l_.tiles(std::array{(tiles_.count() + shape.tiles - 1) / shape.tiles}, work, [&](const Indices& point) {
      const Index first = point[0] * shape.tiles;
      l_.serial("tile", shape.tiles, [&](const Index& tile) {
        l_.when(in_range(first + tile, 0, tiles_.count()),
                [&] { transform_input(inputs, tile, place(first + tile), 0, channels); });
      });
      l_.serial("panel", (filters + width - 1) / width, [&](const Index& panel) {
        l_.part(panel, filters, width, [&](const Index& filter, std::int64_t columns) {
          const Reg halves = half_transformed(inputs, shape, channels, filter, columns);
          for (std::int64_t tile = 0; tile < shape.tiles; tile++)
            l_.when(in_range(first + tile, 0, tiles_.count()),
                    [&] { store_tile(halves, tile, place(first + tile), filter, columns); });
        });
      });
    });
  }

  /// The sums of `columns` filters from `filter` on, transformed along the columns: (tile, column, row) and a
  /// vector. Behind the last tile they are of no meaning.
  Reg half_transformed(const Squares& inputs, const WinogradRegisters& shape, std::int64_t channels,
                       const Index& filter, std::int64_t columns) {
    const Reg halves =
        l_.make_register("half", dtype_, RegisterKind::tile, {shape.tiles, side, edge_}, columns);
    const auto each_filter = [&](const Lowering::Body& body) { l_.vector("f", columns, body, true); };
    const std::int64_t box[] = {side, shape.tiles};
    for (std::int64_t j = 0; j < side; j++) {
      const Reg sums = l_.make_register("acc", dtype_, RegisterKind::tile, {side, shape.tiles}, columns);
      const auto sum = [&](const Index& i, const Index& tile, const Index& f) {
        return read(sums, {i, tile, f});
      };
      l_.nest("r", box, true, [&](const Indices& at) {
        each_filter(
            [&](const Index& f) { l_.add(write(sums, {at[0], at[1], f}, constant_expr(dtype_, 0))); });
      });
      l_.serial("k", channels, [&](const Index& channel) {
        l_.nest("r", box, true, [&](const Indices& at) {
          const Index &i = at[0], &tile = at[1];
          const Expr x = l_.let(inputs.at(i * side + j, tile, channel));
          each_filter([&](const Index& f) {
            const Expr weight = l_.operand(node_, 1, {i * side + j, channel, filter + f});
            l_.add(write(sums, {i, tile, f}, fma(x, weight, sum(i, tile, f))));
          });
        });
      });
      l_.unrolled("tile", shape.tiles, [&](const Index& tile) {
        each_filter([&](const Index& f) {
          Line line;
          for (std::int64_t i = 0; i < side; i++) line.push_back(l_.let(sum(i, tile, f)));
          const Line half = Transforms(l_).results(line, edge_);
          for (std::int64_t i = 0; i < edge_; i++)
            l_.add(write(halves, {tile, j, i, f}, half[static_cast<std::size_t>(i)]));
        });
      });
    }
    return halves;
  }

  void store_tile(const Reg& halves, std::int64_t tile, const Place& at, const Index& filter,
                  std::int64_t columns) {
    const auto store = [&](bool inside) {
      l_.vector(
          "f", columns,
          [&](const Index& f) {
            std::vector<Line> lines(side);
            for (std::int64_t j = 0; j < side; j++)
              for (std::int64_t i = 0; i < edge_; i++)
                lines[static_cast<std::size_t>(j)].push_back(read(halves, {tile, j, i, f}));
            Transforms t(l_);
            store_results(t, lines, at, inside, [&](const Index& row, const Index& column) {
              return Indices{at.image, row, column, filter + f};
            });
          },
          true);
    };
    l_.when(results_inside(at), [&] { store(true); }, [&] { store(false); });
  }

  /// Vectors run along the batch, and a block is the same tile of many images. The sums are those above, in
  /// the same order.
  void build_batch_last(std::int64_t channels, std::int64_t filters) {
    const std::int64_t images = winograd_images(tiles_.images, channels, filters, l_.lanes(), l_.target());
    const std::int64_t blocks = (tiles_.images + images - 1) / images;
    const Squares inputs(l_, dtype_, channels, images), sums(l_, dtype_, filters, images);
    const double work = static_cast<double>(positions * images) * static_cast<double>(channels * filters);
    const std::int64_t tiles = tiles_.down * tiles_.across, pieces = x_[1] * x_[2] * channels;
    const bool copies = copies_images(pieces, images, x_[0], l_.target());
    const int copy = copies ? l_.scratch_buffer(dtype_, pieces * images) : -1;
    const auto place_in_copy = [&](const Index& row, const Index& column, const Index& channel) {
      return row_major({row, column, channel, 0}, std::array{x_[1], x_[2], channels, images});
    };
    const auto x_at = [&](const Indices& index, const Expr& predicate) {
      return l_.operand(node_, 0, index, predicate);
    };
    const auto build_tile = [&](const Place& at, const Index& first, std::int64_t count) {
      l_.serial("channel", channels, [&](const Index& channel) {
        transform_inputs(inputs, channel, at, count,
                         [&](const Index& row, const Index& column, const Index& n, const Expr& predicate) {
                           return copies
                                      ? load(copy, dtype_, place_in_copy(row, column, channel) + n, predicate)
                                      : x_at({row, column, channel, first + n}, predicate);
                         });
      });
      multiply_batch_last(inputs, sums, filters, count);
      l_.serial("filter", filters, [&](const Index& filter) {
        transform_results(sums, filter, at, count,
                          [&](const Index& row, const Index& column, const Index& n) {
                            return Indices{row, column, filter, first + n};
                          });
      });
    };
    if (copies) {
      l_.tiles(std::array{blocks}, work * static_cast<double>(tiles), [&](const Indices& point) {
        l_.part(point[0], tiles_.images, images, [&](const Index& first, std::int64_t count) {
          l_.nest("copy", std::array{x_[1], x_[2], channels}, false, [&](const Indices& at) {
            over("n", count, [&](const Index& n) {
              const Expr x = x_at({at[0], at[1], at[2], first + n}, nullptr);
              constexpr std::int64_t pieces_ahead = 8;
              if (x->kind == ExprKind::load)  // pieces lie far apart
                l_.add(prefetch(x->buffer, x->index + pieces_ahead * x_[0], CacheLevel::second));
              l_.add(store(copy, place_in_copy(at[0], at[1], at[2]) + n, x));
            });
          });
          l_.serial("tile", tiles, [&](const Index& tile) { build_tile(place(tile), first, count); });
        });
      });
      return;
    }
    // All tiles of the same images follow one another: what they share of the input is still in the cache.
    l_.tiles(std::array{blocks, tiles}, work, [&](const Indices& point) {
      l_.part(point[0], tiles_.images, images,
              [&](const Index& first, std::int64_t count) { build_tile(place(point[1]), first, count); });
    });
  }

  void multiply_batch_last(const Squares& inputs, const Squares& sums, std::int64_t filters,
                           std::int64_t images) {
    InnerProduct p = at_positions(filters, images, x_[3]);
    p.lhs = [&](Lowering& l, const Index& position, const Index& filter, const Indices& k) {
      return l.operand(node_, 1, {position, k[0], filter});
    };
    p.rhs = [&](Lowering&, const Index& position, const Indices& k, const Index& image) {
      return inputs.at(position, k[0], image);
    };
    p.store = [&](Lowering& l, const Index& position, const Index& filter, const Index& image, Expr value) {
      l.add(sums.set(position, filter, image, std::move(value)));
    };
    lower(p);
  }

  void multiply(const Squares& inputs, const Squares& sums, const WinogradBlock& block, const Index& filter) {
    InnerProduct p = at_positions(block.tiles, block.filters, x_[3]);
    p.rhs_is_far = kernel_is_large(x_[3], node_.operand(1).shape()[2], l_.target());
    p.lhs = [&](Lowering&, const Index& position, const Index& tile, const Indices& k) {
      return inputs.at(position, tile, k[0]);
    };
    p.rhs = [&](Lowering& l, const Index& position, const Indices& k, const Index& column) {
      return l.operand(node_, 1, {position, k[0], filter + column});
    };
    p.store = [&](Lowering& l, const Index& position, const Index& tile, const Index& column, Expr value) {
      l.add(sums.set(position, tile, column, std::move(value)));
    };
    lower(p);
  }

  void transform_results(const Squares& sums, const Index& tile, const Place& at, const Index& filter,
                         std::int64_t filters) {
    transform_results(sums, tile, at, filters, [&](const Index& row, const Index& column, const Index& f) {
      return Indices{at.image, row, column, filter + f};
    });
  }
  template <class YIndex>
  void transform_results(const Squares& sums, const Index& slot, const Place& at, std::int64_t extent,
                         const YIndex& y_index) {
    const auto transform = [&](bool inside) {
      over("f", extent, [&](const Index& f) {
        Transforms t(l_);
        const std::vector<Line> columns = t.on_columns(
            side, [&](const Line& line) { return t.results(line, edge_); },
            [&](std::int64_t i, std::int64_t j) { return sums.at(i * side + j, slot, f); });
        store_results(t, columns, at, inside,
                      [&](const Index& row, const Index& column) { return y_index(row, column, f); });
      });
    };
    l_.when(results_inside(at), [&] { transform(true); }, [&] { transform(false); });
  }

  /// The results of a tile, whose columns are transformed, and what becomes of them.
  template <class YIndex>
  void store_results(Transforms& t, const std::vector<Line>& columns, const Place& at, bool inside,
                     const YIndex& y_index) {
    const std::optional<Pool> pool = pool_of(l_.group());
    std::vector<Line> square(static_cast<std::size_t>(edge_));
    t.on_rows(
        columns, [&](const Line& line) { return t.results(line, edge_); },
        [&](std::int64_t i, std::int64_t j, const Expr& value) {
          square[static_cast<std::size_t>(i)].push_back(value);
          const Index row = at.row + i, column = at.column + j;
          if (pool) {
            pool_results(*pool, square, i, j, y_index(at.row, at.column), inside);
            return;
          }
          l_.isolated([&] {
            l_.bind(node_.value(), value);
            l_.store_outputs(y_index(row, column), inside ? nullptr : result_inside(row, column));
          });
        });
  }

  /// Once element (i, j) of a tile is the last of a window, the window's outputs. `first` is the index of the
  /// tile's first result.
  void pool_results(const Pool& pool, const std::vector<Line>& square, std::int64_t i, std::int64_t j,
                    const Indices& first, bool inside) {
    const std::size_t rows = is_batch_last(node_) ? 0 : 1, columns = rows + 1;
    const std::int64_t height = pool.window[rows], width = pool.window[columns];
    if ((i + 1) % height != 0 || (j + 1) % width != 0) return;
    Indices window = first;
    window[rows] = floor_div(first[rows], height) + i / height;
    window[columns] = floor_div(first[columns], width) + j / width;
    Expr exists;
    if (!inside)
      exists = both(in_range(window[rows], 0, pool.shape()[rows]),
                    in_range(window[columns], 0, pool.shape()[columns]));
    const auto element = [&](const Ints& tap) {
      const std::int64_t down = i / height * height + tap[rows], across = j / width * width + tap[columns];
      return square[static_cast<std::size_t>(down)][static_cast<std::size_t>(across)];
    };
    store_pooled(l_, window, pool_window(l_, pool, window, element, exists), exists);
  }
};

void winograd_conv_kernel(Lowering& l) {
  ConvKernel(l).build();
}

// ---- winograd_kernel_grad ---------------------------------------------------------------------------------

/// Blocks of channels and filters whose sums, (position, channel, filter), stay in the cache while the tiles
/// of a part go by.
class KernelGradKernel : WinogradKernel {
 public:
  explicit KernelGradKernel(Lowering& l) : WinogradKernel(l), dy_(node_.operand(1).shape()) {}

  void build() {
    const std::int64_t parts = node_.type().shape[0];
    if (node_.type().shape.elements() == 0) return;
    const std::int64_t length = graph::winograd::part_length(tiles_.count(), parts);
    const WinogradGradBlock block = winograd_grad_block(length, x_[3], dy_[3]);
    const Squares inputs(l_, dtype_, block.tiles, block.channels),
        errors(l_, dtype_, block.tiles, block.filters);
    const std::vector<std::int64_t> points{parts, x_[3] / block.channels, dy_[3] / block.filters};
    const double work =
        static_cast<double>(positions * length) * static_cast<double>(block.channels * block.filters);
    l_.tiles(points, work, [&](const Indices& point) {
      const Index &part = point[0], channel = point[1] * block.channels, filter = point[2] * block.filters;
      const auto result = [&](const Index& position, const Index& c, const Index& f) {
        return row_major({part, position, channel + c, filter + f}, node_.type().shape.sizes());
      };
      clear(block, result);
      l_.serial("block", (length + block.tiles - 1) / block.tiles, [&](const Index& number) {
        l_.serial("tile", block.tiles, [&](const Index& tile) {
          const Index in_part = number * block.tiles + tile;
          const Index in_all = part * length + in_part;
          const auto zeros = [&] {
            clear_square(inputs, tile, block.channels);
            clear_square(errors, tile, block.filters);
          };
          l_.when(
              both(in_range(in_part, 0, length), in_range(in_all, 0, tiles_.count())),
              [&] {
                const Place at = place(in_all);
                if (points[1] == 1) read_ahead(0, in_all);
                if (points[2] == 1) read_ahead(1, in_all);
                transform_input(inputs, tile, at, channel, block.channels);
                transform_errors(errors, tile, at, filter, block.filters);
              },
              zeros);
        });
        multiply(inputs, errors, block, result);
      });
    });
  }

 private:
  template <class ResultPlace>
  void clear(const WinogradGradBlock& block, const ResultPlace& result) {
    const int out = l_.output_buffer(0);
    l_.nest("i", std::array{positions, block.channels}, false, [&](const Indices& at) {
      over("f", block.filters,
           [&](const Index& f) { l_.add(store(out, result(at[0], at[1], f), constant_expr(dtype_, 0))); });
    });
  }

  void clear_square(const Squares& squares, const Index& tile, std::int64_t channels) {
    l_.serial("position", positions, [&](const Index& position) {
      over("c", channels,
           [&](const Index& c) { l_.add(squares.set(position, tile, c, constant_expr(dtype_, 0))); });
    });
  }

  void transform_errors(const Squares& errors, const Index& tile, const Place& at, const Index& filter,
                        std::int64_t filters) {
    const auto transform = [&](bool inside) {
      over("f", filters, [&](const Index& f) {
        Transforms t(l_);
        t.on_square(
            edge_, [&](const Line& line) { return t.errors(line); },
            [&](std::int64_t i, std::int64_t j) {
              const Index row = at.row + i, column = at.column + j;
              return l_.operand(node_, 1, {at.image, row, column, filter + f},
                                inside ? nullptr : result_inside(row, column));
            },
            [&](std::int64_t i, std::int64_t j, const Expr& value) {
              l_.add(errors.set(i * side + j, tile, f, value));
            });
      });
    };
    l_.when(results_inside(at), [&] { transform(true); }, [&] { transform(false); });
  }

  template <class ResultPlace>
  void multiply(const Squares& inputs, const Squares& errors, const WinogradGradBlock& block,
                const ResultPlace& result) {
    const int out = l_.output_buffer(0);
    InnerProduct p = at_positions(block.channels, block.filters, block.tiles);
    p.lhs = [&](Lowering&, const Index& position, const Index& channel, const Indices& k) {
      return inputs.at(position, k[0], channel);
    };
    p.rhs = [&](Lowering&, const Index& position, const Indices& k, const Index& filter) {
      return errors.at(position, k[0], filter);
    };
    p.initial = [&](Lowering&, const Index& position, const Index& channel, const Index& filter) {
      return load(out, dtype_, result(position, channel, filter));
    };
    p.store = [&](Lowering& l, const Index& position, const Index& channel, const Index& filter, Expr value) {
      l.add(store(out, result(position, channel, filter), std::move(value)));
    };
    lower(p);
  }

  const Shape& dy_;
};

void winograd_kernel_grad_kernel(Lowering& l) {
  KernelGradKernel(l).build();
}

}  // namespace

void register_winograd_lowering(LoweringTable& table) {
  entry(table, Op::winograd_conv).root = winograd_conv_kernel;
  entry(table, Op::winograd_kernel_grad).root = winograd_kernel_grad_kernel;
}

}  // namespace kiln::codegen
