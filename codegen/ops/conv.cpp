// Convolutions as products whose rows are pixels along the width and whose k loops walk the kernel: no patch
// matrix is ever written. canonicalize has made padding explicit, and convolutions of conv_input_grad.
#include <algorithm>

#include "codegen/ops/register.h"
#include "codegen/pooling.h"
#include "codegen/product.h"
#include "codegen/reduction.h"
#include "codegen/tiling.h"
#include "graph/ops/batch_last.h"

namespace kiln::codegen {
namespace {

/// x (N, spatial..., C), kernel (spatial..., C / groups, F), y (N, out..., F).
struct Conv {
  Conv(const Node& n, const Shape& x, const Shape& kernel, const Shape& y) : node(&n) {
    const auto axes = static_cast<std::size_t>(x.rank()) - 2;
    strides = n.attributes.ints("strides");
    dilation = n.attributes.ints("dilation");
    groups = n.attributes.integer("groups");
    images = x[0];
    window.assign(kernel.begin(), kernel.begin() + static_cast<std::ptrdiff_t>(axes));
    out.assign(y.begin() + 1, y.end() - 1);
    channels = kernel[axes];
    filters = kernel[axes + 1] / groups;
    for (std::int64_t padding : n.attributes.ints("low")) unpadded = unpadded && padding == 0;
    for (std::int64_t padding : n.attributes.ints("high")) unpadded = unpadded && padding == 0;
    if (!unpadded) throw InternalError("a convolution with padding has reached lowering: " + print(n));
  }

  /// The element of x under tap `tap` of the kernel at output pixel `pixel`.
  Indices x_index(const Index& image, std::span<const Index> pixel, std::span<const Index> tap,
                  const Index& channel) const {
    Indices index{image};
    for (std::size_t i = 0; i < window.size(); i++)
      index.push_back(pixel[i] * strides[i] + tap[i] * dilation[i]);
    index.push_back(channel);
    return index;
  }
  static Indices y_index(const Index& image, std::span<const Index> pixel, const Index& filter) {
    Indices index{image};
    index.insert(index.end(), pixel.begin(), pixel.end());
    index.push_back(filter);
    return index;
  }
  static Indices kernel_index(std::span<const Index> tap, const Index& channel, const Index& filter) {
    Indices index(tap.begin(), tap.end());
    index.push_back(channel);
    index.push_back(filter);
    return index;
  }

  /// Each tap one pixel, in place: a product of the pixels' matrix by the kernel.
  bool pointwise() const {
    return groups == 1 && product(window) == 1 &&
           std::all_of(strides.begin(), strides.end(), [](auto s) { return s == 1; });
  }
  /// So few filters a group that vectors have to run across the groups.
  bool depthwise() const { return groups > 1 && filters == 1; }

  const Node* node;
  Ints strides, dilation;
  std::vector<std::int64_t> window, out;
  std::int64_t groups = 1, images = 1, channels = 1, filters = 1;  ///< channels and filters of one group
  bool unpadded = true;
};

/// The index of the same element where the batch is the last axis.
Indices last(Indices index) {
  std::rotate(index.begin(), index.begin() + 1, index.end());
  return index;
}

std::vector<std::int64_t> concat(std::vector<std::int64_t> a, const std::vector<std::int64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The last tap axis and the channels as one loop: with one group and no dilation they are neighbours in x
/// and in the kernel.
std::vector<std::int64_t> tap_loops(const Conv& c) {
  std::vector<std::int64_t> loops = c.window;
  loops.back() *= c.channels;
  return loops;
}
Indices tap_index(const Conv& c, const Indices& loops, Index& channel) {
  Indices tap = loops;
  channel = mod(loops.back(), c.channels);
  tap.back() = floor_div(loops.back(), c.channels);
  return tap;
}

// ---- conv
// ---------------------------------------------------------------------------------------------------

void pointwise_kernel(Lowering& l, const Conv& c) {
  Product p;
  p.dtype = c.node->type().dtype;
  const std::vector<std::int64_t> pixels = concat({c.images}, c.out);
  p.rows = product(pixels);
  p.columns = c.filters;
  p.contraction = {c.channels};
  p.one_rhs = true;
  const auto pixel_index = [pixels](const Index& row, const Index& last) {
    Indices index = unflatten(row, pixels);
    index.push_back(last);
    return index;
  };
  p.lhs = [&](Lowering& low, const Indices&, const Index& row, const Indices& k) {
    return low.operand(*c.node, 0, pixel_index(row, k[0]));
  };
  p.rhs = [&](Lowering& low, const Indices&, const Indices& k, const Index& column) {
    return low.operand(*c.node, 1, Conv::kernel_index(Indices(c.window.size(), Index(0)), k[0], column));
  };
  p.result = [&](const Indices&, const Index& row, const Index& column) { return pixel_index(row, column); };
  lower_product(l, p);
}

/// So many of the output's axes, from the last, are a product's rows: one, or all of them if an image has
/// hardly more pixels than a register tile has rows. Then each element of the kernel is read once an image.
std::size_t row_axes(const Conv& c, const Target& target) {
  constexpr std::int64_t fewest_vectors = 2;  // that a tile has beside so many rows
  return product(c.out) * fewest_vectors <= accumulator_registers(target) ? c.out.size() : 1;
}

/// Loops over image, group and all output axes that aren't rows.
void general_kernel(Lowering& l, const Conv& c) {
  Product p;
  p.dtype = c.node->type().dtype;
  const auto first_row_axis = c.out.end() - static_cast<std::ptrdiff_t>(row_axes(c, l.target()));
  const std::vector<std::int64_t> row_box(first_row_axis, c.out.end());
  p.outer = concat({c.images, c.groups}, {c.out.begin(), first_row_axis});
  p.rows = product(row_box);
  if (row_box.size() > 1) p.row_group = c.out.back();
  p.columns = c.filters;
  p.contraction = tap_loops(c);
  p.one_rhs = c.groups == 1;
  const auto pixel = [&row_box](const Indices& outer, const Index& row) {
    Indices index(outer.begin() + 2, outer.end());
    const Indices in_rows = unflatten(row, row_box);
    index.insert(index.end(), in_rows.begin(), in_rows.end());
    return index;
  };
  p.lhs = [&](Lowering& low, const Indices& outer, const Index& row, const Indices& k) {
    Index channel;
    const Indices tap = tap_index(c, k, channel);
    return low.operand(*c.node, 0,
                       c.x_index(outer[0], pixel(outer, row), tap, outer[1] * c.channels + channel));
  };
  p.rhs = [&](Lowering& low, const Indices& outer, const Indices& k, const Index& column) {
    Index channel;
    const Indices tap = tap_index(c, k, channel);
    return low.operand(*c.node, 1, Conv::kernel_index(tap, channel, outer[1] * c.filters + column));
  };
  p.result = [&](const Indices& outer, const Index& row, const Index& column) {
    return Conv::y_index(outer[0], pixel(outer, row), outer[1] * c.filters + column);
  };
  lower_product(l, p);
}

Reduction sum_of_products(const Node& node) {
  Reduction r;
  r.state = {node.type().dtype};
  r.initial = [&node](std::size_t, const Index&) { return constant_expr(node.type().dtype, 0); };
  r.join = [](Lowering&, const std::vector<Expr>& a, const std::vector<Expr>& b) {
    return std::vector<Expr>{apply(Op::add, {a[0], b[0]})};
  };
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[0]));
  };
  return r;
}

/// One filter a group: vectors run along the filters, each of which has channels of its own.
void depthwise_kernel(Lowering& l, const Conv& c) {
  Reduction r = sum_of_products(*c.node);
  r.kept = concat(concat({c.images}, c.out), {c.groups});
  r.reduced = concat(c.window, {c.channels});
  r.step = [&c](Lowering& low, const std::vector<Expr>& state, const Indices& kept, const Indices& reduced) {
    const std::span<const Index> pixel(kept.data() + 1, c.out.size()), tap(reduced.data(), c.window.size());
    const Index &filter = kept.back(), &channel = reduced.back();
    Expr x = low.operand(*c.node, 0, c.x_index(kept[0], pixel, tap, filter * c.channels + channel));
    Expr weight = low.operand(*c.node, 1, Conv::kernel_index(tap, channel, filter));
    return std::vector<Expr>{fma(std::move(x), std::move(weight), state[0])};
  };
  lower_reduction(l, std::move(r));
}

/// A convolution whose results are pooled over windows that lie side by side.
class PooledConv {
 public:
  PooledConv(Lowering& l, const Conv& c, const Pool& pool)
      : l_(l),
        c_(c),
        pool_(pool),
        windows_(pool.shape().begin() + 1, pool.shape().end() - 1),
        elements_(product(pool.window)) {
    p_.dtype = c.node->type().dtype;
    p_.columns = c.filters;
    p_.contraction = tap_loops(c);
    p_.rhs = [this](Lowering& low, const Index&, const Indices& k, const Index& filter) {
      Index channel;
      const Indices tap = tap_index(c_, k, channel);
      return low.operand(*c_.node, 1, Conv::kernel_index(tap, channel, filter));
    };
    l_.set_lanes(p_.dtype);
    l_.narrow_lanes(c.filters);
  }

  void build() {
    // A tile of one vector alone would read an element of x for each multiply-add; functions of a row of
    // elements are quicker than those of a tile's, if a running program, which has the memory, computes them.
    const Target& target = l_.target();
    const std::int64_t vectors = c_.filters > l_.lanes() ? 2 : 1;
    const bool by_rows = elements_ * vectors > accumulator_registers(target) ||
                         (has_long_elements(l_.group()) && target.has_team);
    by_rows && !target.is_small ? build_by_rows() : build_in_registers();
  }

 private:
  /// Calls body(point) for each row of windows of an image.
  template <class Body>
  void each_row(const Body& body) {
    const auto work = static_cast<double>(elements_ * windows_.back() * p_.columns * product(p_.contraction));
    l_.tiles(concat({c_.images}, {windows_.begin(), windows_.end() - 1}), work, body);
  }
  static Indices window_index(const Indices& row, const Index& window, const Index& filter) {
    Indices index = row;
    index.insert(index.end(), {window, filter});
    return index;
  }
  /// The element of x under step k of the sum for a pixel (image, position...).
  Expr x_at(const Indices& pixel, const Indices& k) {
    Index channel;
    const Indices tap = tap_index(c_, k, channel);
    return l_.operand(*c_.node, 0,
                      c_.x_index(pixel[0], std::span(pixel).subspan(1, c_.out.size()), tap, channel));
  }

  /// A register tile's rows are windows, and in them their elements, which are pooled where they are. Before
  /// a function of the pooled values, these wait in scratch memory until a row of them is there; before a
  /// function of the elements, a tile's sums do.
  void build_in_registers() {
    const bool sums_wait = has_long_elements(l_.group()),
               values_wait = !sums_wait && has_long_epilogue(l_.group());
    p_.rows = windows_.back() * elements_;
    p_.row_group = elements_;
    p_.tile = tile_of_windows(sums_wait);
    const std::int64_t width = std::int64_t{p_.tile->vectors} * l_.lanes(),
                       values = windows_.back() * c_.filters;
    if (sums_wait) sums_ = l_.scratch_buffer(p_.dtype, p_.tile->rows * width);
    const DType type = pool_.node->operand(0).type().dtype;
    if (values_wait) values_ = l_.scratch_buffer(type, values);
    if (values_wait && has_places(l_.group())) places_ = l_.scratch_buffer(DType::i32, values);
    const auto place = [&](const Index& window, const Index& filter) { return window * c_.filters + filter; };
    each_row([&](const Indices& row) {
      p_.lhs = [&](Lowering&, const Index&, const Index& r, const Indices& k) {
        const Indices window = window_index(row, floor_div(r, elements_), 0);
        return x_at(pool_.element(window, unflatten(mod(r, elements_), pool_.window)), k);
      };
      p_.finish = [&](Lowering&, const Index&, const InnerProduct::Sums& sums) {
        const Index first = floor_div(sums.row, elements_);
        const auto pooled = [&](const Index& w, const Index& f, const auto& sum_at) {
          return pool_window(l_, pool_, window_index(row, first + w, sums.column + f), [&](const Ints& tap) {
            return sum_at(w * elements_ + row_major({tap.begin(), tap.end()}, pool_.window));
          });
        };
        const std::int64_t count = sums.rows / elements_;
        if (sums_wait) {
          sums.store_all(l_, sums_, width);
          l_.serial("w", count, [&](const Index& w) {
            l_.vector("f", sums.columns, [&](const Index& f) {
              const Pooled values_here =
                  pooled(w, f, [&](const Index& r) { return load(sums_, p_.dtype, r * width + f); });
              store_pooled(l_, window_index(row, first + w, sums.column + f), values_here);
            });
          });
          return;
        }
        l_.unrolled("w", count, [&](const Index& w) {
          l_.vector(
              "f", sums.columns,
              [&](const Index& f) {
                const Pooled values_here = pooled(w, f, [&](const Index& r) { return sums.at(r, f); });
                const Index window = first + w, filter = sums.column + f;
                if (!values_wait) return store_pooled(l_, window_index(row, window, filter), values_here);
                l_.add(store(values_, place(window, filter), values_here.value));
                if (places_ >= 0) l_.add(store(places_, place(window, filter), values_here.place));
              },
              true);
        });
      };
      lower_inner_product(l_, p_);
      if (!values_wait) return;
      l_.serial("w", windows_.back(), [&](const Index& window) {
        l_.vector("f", c_.filters, [&](const Index& filter) {
          Pooled pooled{load(values_, type, place(window, filter)), nullptr};
          if (places_ >= 0) pooled.place = load(places_, DType::i32, place(window, filter));
          store_pooled(l_, window_index(row, window, filter), pooled);
        });
      });
    });
  }

  /// The best tile, or, if its sums go to memory, the best of few.
  ProductTile tile_of_windows(bool sums_wait) const {
    const std::int64_t few = std::max<std::int64_t>(12, elements_);  // vectors, which hide the latency
    const std::vector<ProductTile> tiles =
        product_tiles(p_.rows, p_.columns, l_.lanes(), l_.target(), p_.row_group);
    return *std::find_if(tiles.begin(), tiles.end() - 1,
                         [&](const ProductTile& t) { return !sums_wait || t.rows * t.vectors <= few; });
  }

  /// The results under a row of windows lie in scratch memory, (element of the window along all axes but the
  /// last, pixel along the last, filter), until they are pooled.
  void build_by_rows() {
    const std::vector<std::int64_t> height(pool_.window.begin() + 1, pool_.window.end() - 2);
    const std::int64_t width = pool_.window.end()[-2];
    p_.outer = product(height);
    p_.rows = windows_.back() * width;
    sums_ = l_.scratch_buffer(p_.dtype, p_.outer * p_.rows * p_.columns);
    const auto place = [&](const Index& line, const Index& pixel, const Index& filter) {
      return (line * p_.rows + pixel) * c_.filters + filter;
    };
    p_.store = [&](Lowering&, const Index& line, const Index& pixel, const Index& filter, Expr sum) {
      l_.add(store(sums_, place(line, pixel, filter), std::move(sum)));
    };
    each_row([&](const Indices& row) {
      p_.lhs = [&](Lowering&, const Index& line, const Index& r, const Indices& k) {
        const Indices in_window = unflatten(line, height);
        Indices pixel = row;
        for (std::size_t i = 0; i < height.size(); i++) pixel[i + 1] = row[i + 1] * height[i] + in_window[i];
        pixel.push_back(r);
        return x_at(pixel, k);
      };
      lower_inner_product(l_, p_);
      l_.serial("w", windows_.back(), [&](const Index& window) {
        l_.vector("f", c_.filters, [&](const Index& filter) {
          const Indices index = window_index(row, window, filter);
          const auto sum_at = [&](const Ints& tap) {
            const Indices line(tap.begin() + 1, tap.end() - 2);
            return load(sums_, p_.dtype,
                        place(row_major(line, height), window * width + tap.end()[-2], filter));
          };
          store_pooled(l_, index, pool_window(l_, pool_, index, sum_at));
        });
      });
    });
  }

  Lowering& l_;
  const Conv& c_;
  const Pool& pool_;
  std::vector<std::int64_t> windows_;  ///< of an image, along the spatial axes
  std::int64_t elements_;              ///< of a window
  InnerProduct p_;
  int sums_ = -1, values_ = -1, places_ = -1;  ///< parameters
};

void conv_kernel(Lowering& l) {
  const Node& node = l.root();
  const Conv c(node, node.operand(0).shape(), node.operand(1).shape(), node.type().shape);
  if (const auto pool = pool_of(l.group())) return PooledConv(l, c, *pool).build();
  if (c.pointwise()) return pointwise_kernel(l, c);
  if (c.depthwise()) return depthwise_kernel(l, c);
  general_kernel(l, c);
}

/// One window of many images: its elements' sums, (element, filter, image), lie in scratch memory until they
/// are pooled.
void pooled_batch_last_kernel(Lowering& l, const Conv& c, const Pool& pool) {
  const DType dtype = c.node->type().dtype;
  const std::vector<std::int64_t> windows(pool.shape().begin(), pool.shape().end() - 2);
  const std::vector<std::int64_t> sizes(pool.window.begin(), pool.window.end() - 2);
  const std::int64_t images = std::min(c.images, graph::most_pooled_images),
                     blocks = (c.images + images - 1) / images;
  l.set_lanes(dtype);
  l.narrow_lanes(images);
  const int sums = l.scratch_buffer(dtype, product(sizes) * c.filters * images);
  const auto place = [&](const Index& element, const Index& filter, const Index& image) {
    return (element * c.filters + filter) * images + image;
  };
  const auto work = static_cast<double>(product(sizes) * c.filters * images * product(tap_loops(c)));
  l.tiles(concat(windows, {blocks}), work, [&](const Indices& point) {
    l.part(point.back(), c.images, images, [&](const Index& first, std::int64_t count) {
      InnerProduct p;
      p.dtype = dtype;
      p.outer = product(sizes);
      p.rows = c.filters;
      p.columns = count;
      p.contraction = tap_loops(c);
      p.lhs = [&](Lowering& low, const Index&, const Index& filter, const Indices& k) {
        Index channel;
        const Indices tap = tap_index(c, k, channel);
        return low.operand(*c.node, 1, Conv::kernel_index(tap, channel, filter));
      };
      p.rhs = [&](Lowering& low, const Index& element, const Indices& k, const Index& image) {
        Index channel;
        const Indices tap = tap_index(c, k, channel);
        Indices pixel = unflatten(element, sizes);
        for (std::size_t i = 0; i < sizes.size(); i++) pixel[i] = point[i] * sizes[i] + pixel[i];
        return low.operand(*c.node, 0, last(c.x_index(first + image, pixel, tap, channel)));
      };
      p.store = [&](Lowering& low, const Index& element, const Index& filter, const Index& image, Expr sum) {
        low.add(store(sums, place(element, filter, image), std::move(sum)));
      };
      lower_inner_product(l, p);
      l.serial("f", c.filters, [&](const Index& filter) {
        l.vector("n", count, [&](const Index& image) {
          Indices index(point.begin(), point.end() - 1);
          index.push_back(filter);
          index.push_back(first + image);
          const auto sum_at = [&](const Ints& tap) {
            const Indices element(tap.begin(), tap.end() - 2);
            return load(sums, dtype, place(row_major(element, sizes), filter, image));
          };
          store_pooled(l, index, pool_window(l, pool, index, sum_at));
        });
      });
    });
  });
}

/// (spatial..., C, N): the filters are rows, the images of the batch columns.
void conv_batch_last_kernel(Lowering& l) {
  const Node& node = l.root();
  const Conv c(node, graph::batch_first(node.operand(0).shape()), node.operand(1).shape(),
               graph::batch_first(node.type().shape));
  if (const auto pool = pool_of(l.group())) return pooled_batch_last_kernel(l, c, *pool);
  Product p;
  p.dtype = node.type().dtype;
  p.outer = concat(c.out, {c.groups});
  p.rows = c.filters;
  p.columns = c.images;
  p.contraction = tap_loops(c);
  p.lhs = [&](Lowering& low, const Indices& outer, const Index& row, const Indices& k) {
    Index channel;
    const Indices tap = tap_index(c, k, channel);
    return low.operand(node, 1, Conv::kernel_index(tap, channel, outer.back() * c.filters + row));
  };
  p.rhs = [&](Lowering& low, const Indices& outer, const Indices& k, const Index& column) {
    Index channel;
    const Indices tap = tap_index(c, k, channel);
    const std::span<const Index> pixel(outer.data(), c.out.size());
    return low.operand(node, 0, last(c.x_index(column, pixel, tap, outer.back() * c.channels + channel)));
  };
  p.result = [&](const Indices& outer, const Index& row, const Index& column) {
    const std::span<const Index> pixel(outer.data(), c.out.size());
    return last(Conv::y_index(column, pixel, outer.back() * c.filters + row));
  };
  lower_product(l, p);
}

// ---- conv_kernel_grad
// ---------------------------------------------------------------------------------------

/// So few rows that their multiply-adds wait for one another.
constexpr std::int64_t few_rows = 8;

/// Rows are (last tap axis, channel), which are neighbours in x, or, where these are few, (all taps,
/// channel). A sum runs over images and pixels, image by image; `parts` sums share the images, and their
/// number is the result's first index (0: there is one sum and no such index).
void kernel_grad_product(Lowering& l, const Conv& c, std::int64_t parts) {
  Product p;
  p.dtype = c.node->type().dtype;
  const std::int64_t neighbours = c.window.back() * c.channels;
  const bool merged = neighbours < few_rows && c.window.size() > 1;
  const std::vector<std::int64_t> outer_taps(c.window.begin(), c.window.end() - 1);
  std::vector<std::int64_t> row_taps{c.window.back()};
  p.outer = {std::max<std::int64_t>(parts, 1), c.groups};
  if (merged) {
    row_taps = c.window;
    p.row_group = neighbours;
  } else {
    p.outer = concat(p.outer, outer_taps);
  }
  const std::vector<std::int64_t> row_box = concat(row_taps, {c.channels});
  p.rows = product(row_box);
  p.columns = c.filters;
  const std::int64_t images = c.images / std::max<std::int64_t>(parts, 1);
  p.contraction = concat({images}, c.out);
  p.partial_sums = true;
  const auto tap_of = [&](const Indices& outer, const Index& row, Index& channel) {
    Indices tap(outer.begin() + 2, outer.end());
    const Indices in_row = unflatten(row, row_box);
    channel = in_row.back();
    tap.insert(tap.end(), in_row.begin(), in_row.end() - 1);
    return tap;
  };
  const auto image = [&](const Indices& outer, const Indices& k) { return outer[0] * images + k[0]; };
  const auto pixel = [&](const Indices& k) { return std::span<const Index>(k.data() + 1, c.out.size()); };
  p.lhs = [&](Lowering& low, const Indices& outer, const Index& row, const Indices& k) {
    Index channel;
    const Indices tap = tap_of(outer, row, channel);
    return low.operand(*c.node, 0,
                       c.x_index(image(outer, k), pixel(k), tap, outer[1] * c.channels + channel));
  };
  p.rhs = [&](Lowering& low, const Indices& outer, const Indices& k, const Index& column) {
    return low.operand(*c.node, 1, Conv::y_index(image(outer, k), pixel(k), outer[1] * c.filters + column));
  };
  p.result = [&](const Indices& outer, const Index& row, const Index& column) {
    Index channel;
    const Indices tap = tap_of(outer, row, channel);
    Indices index = Conv::kernel_index(tap, channel, outer[1] * c.filters + column);
    if (parts > 0) index.insert(index.begin(), outer[0]);
    return index;
  };
  lower_product(l, p);
}

void kernel_grad_depthwise(Lowering& l, const Conv& c) {
  Reduction r = sum_of_products(*c.node);
  r.kept = concat(c.window, {c.channels, c.groups});
  r.reduced = concat({c.images}, c.out);
  r.partial_sums = true;
  r.step = [&c](Lowering& low, const std::vector<Expr>& state, const Indices& kept, const Indices& reduced) {
    const std::span<const Index> tap(kept.data(), c.window.size()), pixel(reduced.data() + 1, c.out.size());
    const Index &filter = kept.back(), &channel = kept.end()[-2];
    Expr x = low.operand(*c.node, 0, c.x_index(reduced[0], pixel, tap, filter * c.channels + channel));
    return std::vector<Expr>{
        fma(std::move(x), low.operand(*c.node, 1, Conv::y_index(reduced[0], pixel, filter)), state[0])};
  };
  lower_reduction(l, std::move(r));
}

void conv_kernel_grad_kernel(Lowering& l) {
  const Node& node = l.root();
  const Conv c(node, node.operand(0).shape(), node.type().shape, node.operand(1).shape());
  if (c.depthwise()) return kernel_grad_depthwise(l, c);
  kernel_grad_product(l, c, 0);
}

/// The same with the batch last: each lane sums over images of its own, and the lanes are added at the end. A
/// tile is so many taps times so many filters, each an accumulator.
class KernelSumsBatchLast {
 public:
  KernelSumsBatchLast(Lowering& l, const Conv& c, std::int64_t parts)
      : l_(l), c_(c), parts_(parts), row_box_(concat(c.window, {c.channels})) {
    l_.set_lanes(c.node->type().dtype);
    l_.narrow_lanes(c.images);
    choose_tile();
  }

  void build() {
    const auto tiles = [](std::int64_t n, std::int64_t size) { return (n + size - 1) / size; };
    const std::vector<std::int64_t> points{parts_, c_.groups, tiles(rows(), rows_),
                                           tiles(c_.filters, filters_)};
    const double work = static_cast<double>(rows_ * filters_ * c_.images) *
                        static_cast<double>(product(c_.out)) / static_cast<double>(parts_);
    l_.tiles(points, work, [&](const Indices& point) {
      l_.part(point[2], rows(), rows_, [&](const Index& row, std::int64_t row_count) {
        l_.part(point[3], c_.filters, filters_, [&](const Index& filter, std::int64_t filter_count) {
          tile(point[0], point[1], row, row_count, filter, filter_count);
        });
      });
    });
  }

 private:
  std::int64_t rows() const { return product(row_box_); }

  /// Few loads for many multiply-adds, and few elements in tiles that are cut short.
  void choose_tile() {
    const std::int64_t most = accumulator_registers(l_.target());
    const std::int64_t others = l_.target().has_fma ? 1 : 2;  // an element of x, and a product
    double best = 0;
    for (std::int64_t r = 1; r <= std::min(rows(), most); r++)
      for (std::int64_t f = 1; f <= std::min(c_.filters, most / r); f++) {
        if (r * f > 1 && r * f + f + others > l_.target().vector_registers) continue;
        const auto count = [](std::int64_t n, std::int64_t size) {
          return static_cast<double>((n + size - 1) / size);
        };
        const auto multiply_adds = static_cast<double>(r * f), loads = static_cast<double>(r + f);
        constexpr double latency = 4;
        const double cost =
            count(rows(), r) * count(c_.filters, f) * std::max({multiply_adds + loads / 4, loads, latency});
        if (best != 0 && cost >= best) continue;
        best = cost;
        rows_ = r;
        filters_ = f;
      }
  }

  void tile(const Index& part, const Index& group, const Index& row, std::int64_t row_count,
            const Index& filter, std::int64_t filter_count) {
    const DType dtype = c_.node->type().dtype;
    const Reg sum = l_.make_register("acc", dtype, RegisterKind::lanes, {row_count, filter_count});
    const auto each = [&](const auto& body) {
      for (std::int64_t r = 0; r < row_count; r++)
        for (std::int64_t f = 0; f < filter_count; f++) body(Index(r), Index(f));
    };
    each([&](const Index& r, const Index& f) { l_.add(write(sum, {r, f}, constant_expr(dtype, 0))); });
    const std::int64_t lanes = l_.lanes(), chunks = c_.images / lanes, rest = c_.images % lanes;
    std::vector<std::int64_t> pixels = c_.out;
    pixels[0] /= parts_;
    l_.nest("k", pixels, false, [&](Indices pixel) {
      pixel[0] = part * pixels[0] + pixel[0];
      const auto step = [&](const Index& first, std::int64_t count) {
        l_.vector("n", count, [&](const Index& n) {
          std::vector<Expr> dy;
          for (std::int64_t f = 0; f < filter_count; f++)
            dy.push_back(l_.let(l_.operand(
                *c_.node, 1, last(Conv::y_index(first + n, pixel, group * c_.filters + filter + f)))));
          for (std::int64_t r = 0; r < row_count; r++) {
            Index channel;
            const Indices tap = tap_of(row + r, channel);
            const Expr x = l_.let(l_.operand(
                *c_.node, 0, last(c_.x_index(first + n, pixel, tap, group * c_.channels + channel))));
            for (std::int64_t f = 0; f < filter_count; f++)
              l_.add(write(sum, {r, f}, fma(x, dy[static_cast<std::size_t>(f)], read(sum, {r, f}))));
          }
        });
      };
      l_.serial("k", chunks, [&](const Index& chunk) { step(chunk * lanes, lanes); });
      step(Index(chunks * lanes), rest);
    });
    each([&](const Index& r, const Index& f) {
      l_.isolated([&] {
        Index channel;
        Indices index =
            Conv::kernel_index(tap_of(row + r, channel), channel, group * c_.filters + filter + f);
        index.insert(index.begin(), part);
        l_.bind(c_.node->value(), l_.let(fold_lanes(Op::add, sum, {r, f})));
        l_.store_outputs(index);
      });
    });
  }

  Indices tap_of(const Index& row, Index& channel) const {
    Indices tap = unflatten(row, row_box_);
    channel = tap.back();
    tap.pop_back();
    return tap;
  }

  Lowering& l_;
  const Conv& c_;
  std::int64_t parts_;
  std::vector<std::int64_t> row_box_;
  std::int64_t rows_ = 1, filters_ = 1;  ///< of a tile
};

void conv_kernel_sums_kernel(Lowering& l) {
  const Node& node = l.root();
  const Shape& sums = node.type().shape;
  if (node.attributes.flag("batch_last")) {
    const Conv c(node, graph::batch_first(node.operand(0).shape()), sums.tail(),
                 graph::batch_first(node.operand(1).shape()));
    if (sums.elements() == 0) return;
    return KernelSumsBatchLast(l, c, sums[0]).build();
  }
  const Conv c(node, node.operand(0).shape(), sums.tail(), node.operand(1).shape());
  kernel_grad_product(l, c, sums[0]);
}

}  // namespace

void register_conv_lowering(LoweringTable& table) {
  entry(table, Op::conv).root = conv_kernel;
  entry(table, Op::conv_batch_last).root = conv_batch_last_kernel;
  entry(table, Op::conv_kernel_grad).root = conv_kernel_grad_kernel;
  entry(table, Op::conv_kernel_sums).root = conv_kernel_sums_kernel;
}

}  // namespace kiln::codegen
