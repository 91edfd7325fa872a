// Convolutions as products whose rows are pixels along the width and whose k loops walk the kernel: no patch
// matrix is ever written. canonicalize has made padding explicit, and convolutions of conv_input_grad.
#include <algorithm>

#include "codegen/ops/register.h"
#include "codegen/product.h"
#include "codegen/reduction.h"

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

/// Loops over image, group and all output axes but the last, whose pixels are the rows.
void general_kernel(Lowering& l, const Conv& c) {
  Product p;
  p.dtype = c.node->type().dtype;
  p.outer = concat({c.images, c.groups}, {c.out.begin(), c.out.end() - 1});
  p.rows = c.out.back();
  p.columns = c.filters;
  p.contraction = tap_loops(c);
  p.one_rhs = c.groups == 1;
  const auto pixel = [](const Indices& outer, const Index& row) {
    Indices index(outer.begin() + 2, outer.end());
    index.push_back(row);
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

void conv_kernel(Lowering& l) {
  const Node& node = l.root();
  const Conv c(node, node.operand(0).shape(), node.operand(1).shape(), node.type().shape);
  if (c.pointwise()) return pointwise_kernel(l, c);
  if (c.depthwise()) return depthwise_kernel(l, c);
  general_kernel(l, c);
}

// ---- conv_kernel_grad
// ---------------------------------------------------------------------------------------

/// Rows are (last tap axis, channel): neighbours in x. The sum runs over images and pixels, image by image.
void kernel_grad_product(Lowering& l, const Conv& c) {
  Product p;
  p.dtype = c.node->type().dtype;
  p.outer = concat({c.groups}, {c.window.begin(), c.window.end() - 1});
  p.rows = c.window.back() * c.channels;
  p.columns = c.filters;
  p.contraction = concat({c.images}, c.out);
  p.partial_sums = true;
  const auto tap_of = [&](const Indices& outer, const Index& row, Index& channel) {
    Indices tap(outer.begin() + 1, outer.end());
    tap.push_back(row);
    return tap_index(c, tap, channel);
  };
  const auto pixel = [&](const Indices& k) { return std::span<const Index>(k.data() + 1, c.out.size()); };
  p.lhs = [&](Lowering& low, const Indices& outer, const Index& row, const Indices& k) {
    Index channel;
    const Indices tap = tap_of(outer, row, channel);
    return low.operand(*c.node, 0, c.x_index(k[0], pixel(k), tap, outer[0] * c.channels + channel));
  };
  p.rhs = [&](Lowering& low, const Indices& outer, const Indices& k, const Index& column) {
    return low.operand(*c.node, 1, Conv::y_index(k[0], pixel(k), outer[0] * c.filters + column));
  };
  p.result = [&](const Indices& outer, const Index& row, const Index& column) {
    Index channel;
    const Indices tap = tap_of(outer, row, channel);
    return Conv::kernel_index(tap, channel, outer[0] * c.filters + column);
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
  kernel_grad_product(l, c);
}

}  // namespace

void register_conv_lowering(LoweringTable& table) {
  entry(table, Op::conv).root = conv_kernel;
  entry(table, Op::conv_kernel_grad).root = conv_kernel_grad_kernel;
}

}  // namespace kiln::codegen
