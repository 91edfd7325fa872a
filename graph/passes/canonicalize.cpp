#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/ops/dot.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "graph/passes/winograd.h"
#include "kiln/graph/ops.h"

// Kernels exist for these forms only:
//   dot               [batch,] M,K x K,N or [batch,] K,M x K,N, each of the letters one axis
//   conv              no padding
//   conv_kernel_grad  no padding
//   window_sum        no padding
//   winograd_conv, winograd_kernel_grad
// and conv_input_grad has none of its own. What pads, transposes and reshapes is written as nodes of its own,
// which other passes can simplify, share and fuse.
//
// That changes no number: padding is zeros that are multiplied by the ops' definition, too (ops/conv.cpp).
namespace kiln::graph {
namespace {

std::size_t at(std::int64_t axis) {
  return static_cast<std::size_t>(axis);
}

Value reshaped(Value x, const Shape& shape) {
  return x.shape() == shape ? x : reshape(x, shape);
}

// ---- dot --------------------------------------------------------------------------------------------------

std::int64_t product(const Shape& shape, const Ints& axes) {
  std::int64_t n = 1;
  for (std::int64_t axis : axes) n *= shape[at(axis)];
  return n;
}

/// True if this order of the axes leaves the elements where they are: axes of size 1 may go anywhere.
bool keeps_order(const Shape& shape, const Ints& axes) {
  std::int64_t last = -1;
  for (std::int64_t axis : axes) {
    if (shape[at(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

/// Puts pairs of axes, one of each operand, into the order of the keys.
void sort_pairs(Ints& keys, Ints& others) {
  std::vector<std::size_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return keys[i] < keys[j]; });
  const Ints old_keys = keys, old_others = others;
  for (std::size_t i = 0; i < order.size(); i++) {
    keys[i] = old_keys[order[i]];
    others[i] = old_others[order[i]];
  }
}

/// One way to bring a dot into canonical form.
struct DotForm {
  Ints lhs_order, rhs_order;  // axes in the order batch, (free, contracted), and batch, contracted, free
  bool lhs_contracts_first = false;
  std::int64_t moved = 0;  // elements that transposes move
};

/// The form that moves the fewest elements. Free are the order of the contracted pairs, and on which side of
/// lhs's free axes they come; the orders of the free axes and of the batch are the result's.
DotForm best_form(const Shape& lhs, const Shape& rhs, const DotAxes& axes) {
  DotForm best;
  best.moved = std::numeric_limits<std::int64_t>::max();
  for (const bool by_lhs : {true, false}) {
    Ints lhs_contract = axes.lhs_contract, rhs_contract = axes.rhs_contract;
    if (by_lhs)
      sort_pairs(lhs_contract, rhs_contract);
    else
      sort_pairs(rhs_contract, lhs_contract);
    for (const bool contracts_first : {false, true}) {
      DotForm form;
      form.lhs_contracts_first = contracts_first;
      const Ints matrix =
          contracts_first ? joined(lhs_contract, axes.lhs_free) : joined(axes.lhs_free, lhs_contract);
      form.lhs_order = joined(axes.lhs_batch, matrix);
      form.rhs_order = joined(axes.rhs_batch, joined(rhs_contract, axes.rhs_free));
      if (!keeps_order(lhs, form.lhs_order)) form.moved += lhs.elements();
      if (!keeps_order(rhs, form.rhs_order)) form.moved += rhs.elements();
      if (form.moved < best.moved) best = form;
    }
  }
  return best;
}

/// x with its axes in that order, as `shape`.
Value arranged(Value x, const Ints& order, const Shape& shape) {
  return reshaped(keeps_order(x.shape(), order) ? x : transpose(x, order), shape);
}

/// The dot of lhs and rhs in that form: (batch, free axes of lhs, free axes of rhs).
Value canonical_dot(Value lhs, Value rhs, const DotAxes& axes, const DotForm& form) {
  const std::int64_t b = product(lhs.shape(), axes.lhs_batch), k = product(lhs.shape(), axes.lhs_contract);
  const std::int64_t rows = product(lhs.shape(), axes.lhs_free);
  const std::int64_t columns = product(rhs.shape(), axes.rhs_free);
  const Shape lead = b == 1 ? Shape{} : Shape{b};
  const auto matrices = [&](std::int64_t rows_, std::int64_t columns_) {
    Shape shape = lead;
    shape.push_back(rows_);
    shape.push_back(columns_);
    return shape;
  };
  const Value left =
      arranged(lhs, form.lhs_order, form.lhs_contracts_first ? matrices(k, rows) : matrices(rows, k));
  const Value right = arranged(rhs, form.rhs_order, matrices(k, columns));
  const Ints batch = b == 1 ? Ints{} : Ints{0};
  const std::int64_t contract = lead.rank() + (form.lhs_contracts_first ? 0 : 1);
  return dot(left, right, batch, batch, {contract}, {lead.rank()});
}

bool rewrite_dot(Rewriter& rewriter, const Node& n) {
  const Value lhs = rewriter(n.operand(0)), rhs = rewriter(n.operand(1));
  const DotAxes axes(n), exchanged = axes.exchanged();
  const DotForm form = best_form(lhs.shape(), rhs.shape(), axes);
  const DotForm other = best_form(rhs.shape(), lhs.shape(), exchanged);
  // b a and its transpose instead of a b: where a batch's few rows meet a large matrix from the wrong side,
  // to move the rows costs less. Not for a single row, whose sums would be added in another order than those
  // of several; and only if it saves much, for what is computed from the result can't be fused any more.
  constexpr std::int64_t much = 4;
  const bool several = product(lhs.shape(), axes.lhs_free) > 1 && product(rhs.shape(), axes.rhs_free) > 1;
  if (several && much * (other.moved + n.type().shape.elements()) < form.moved) {
    const Value result = canonical_dot(rhs, lhs, exchanged, other);
    const int rank = result.rank();
    const Ints permutation = rank == 3 ? Ints{0, 2, 1} : Ints{1, 0};
    rewriter.replace(n.value(), reshaped(transpose(result, permutation), n.type().shape));
    return true;
  }
  rewriter.replace(n.value(), reshaped(canonical_dot(lhs, rhs, axes, form), n.type().shape));
  return true;
}

// ---- padding ----------------------------------------------------------------------------------------------

/// One entry for each spatial axis, and `other` for batch and channels.
Ints around(const Ints& spatial, std::int64_t other) {
  return joined(joined({other}, spatial), {other});
}

/// x between zeros; x itself if there are none to add.
Value with_zeros(Value x, const Ints& low, const Ints& high) {
  return all_are(low, 0) && all_are(high, 0) ? x : pad(x, scalar(x, 0), low, high);
}

ConvAttrs without_padding(ConvAttrs attrs) {
  attrs.low.assign(attrs.low.size(), 0);
  attrs.high.assign(attrs.high.size(), 0);
  return attrs;
}

/// Which algorithm a convolution takes.
class Algorithms {
 public:
  Algorithms(ConvAlgorithm wanted, std::string* log) : wanted_(wanted), log_(log) {}

  /// Winograd's, for the node `n`, which convolves x or something of its shape by a kernel of that shape?
  bool winograd(const Node& n, Value x, const Shape& kernel, const ConvAttrs& attrs) const {
    const WinogradChoice choice = choose_winograd(x.type(), kernel, attrs, wanted_);
    if (log_ != nullptr)
      *log_ += fmt::format("%{} {}: {} by {}: {}: {}\n", n.id, op_name(n.op), x.type().to_string(),
                           kernel.to_string(), choice.taken ? "winograd" : "direct", choice.reason);
    return choice.taken;
  }

 private:
  ConvAlgorithm wanted_;
  std::string* log_;
};

/// conv(x, kernel) in a form that there are kernels for, for the node `n`.
Value convolved(const Node& n, Value x, Value kernel, const ConvAttrs& attrs, const Algorithms& algorithms) {
  if (algorithms.winograd(n, x, kernel.shape(), attrs)) return winograd_form(x, kernel, attrs);
  return conv(with_zeros(x, around(attrs.low, 0), around(attrs.high, 0)), kernel, without_padding(attrs));
}

bool rewrite_conv(Rewriter& rewriter, const Node& n, const Algorithms& algorithms) {
  rewriter.replace(n.value(), convolved(n, rewriter(n.operand(0)), rewriter(n.operand(1)),
                                        conv_attrs(n.attributes), algorithms));
  return true;
}

bool rewrite_conv_kernel_grad(Rewriter& rewriter, const Node& n, const Algorithms& algorithms) {
  const ConvAttrs attrs = conv_attrs(n.attributes);
  const Value x = rewriter(n.operand(0)), dy = rewriter(n.operand(1));
  const Shape& kernel = n.type().shape;
  if (dy.shape().elements() != 1 && algorithms.winograd(n, x, kernel, attrs)) {
    rewriter.replace(n.value(), winograd_kernel_grad_form(x, dy, kernel, attrs));
    return true;
  }
  const Value padded = with_zeros(x, around(attrs.low, 0), around(attrs.high, 0));
  rewriter.replace(n.value(), conv_kernel_grad(padded, dy, kernel, without_padding(attrs)));
  return true;
}

bool rewrite_window_sum(Rewriter& rewriter, const Node& n) {
  WindowAttrs attrs = window_attrs(n.attributes);
  if (all_are(attrs.low, 0) && all_are(attrs.high, 0)) return false;
  const Value x = with_zeros(rewriter(n.operand(0)), attrs.low, attrs.high);
  attrs.low.assign(attrs.low.size(), 0);
  attrs.high = attrs.low;
  rewriter.replace(n.value(), window_sum(x, attrs));
  return true;
}

// ---- conv_input_grad --------------------------------------------------------------------------------------

/// The kernel (spatial..., C / groups, F) for the way back: reversed in space, and for each group channels
/// and filters exchanged: (spatial..., F / groups, C).
Value reversed_kernel(Value kernel, std::int64_t groups) {
  const int axes = kernel.rank() - 2;
  Ints spatial(at(axes));
  std::iota(spatial.begin(), spatial.end(), 0);
  const Shape space = kernel.shape().slice(0, axes);
  const std::int64_t channels = kernel.shape().dim(-2), filters = kernel.shape().dim(-1) / groups;
  if (std::any_of(space.begin(), space.end(), [](std::int64_t n) { return n > 1; }))
    kernel = reverse(kernel, spatial);
  // (spatial, channel, group, filter) -> (spatial, filter, group, channel)
  const auto grouped = [&](std::int64_t first, std::int64_t last) {
    return Shape(joined(space.sizes(), groups == 1 ? Ints{first, last} : Ints{first, groups, last}));
  };
  const Ints exchanged = groups == 1 ? Ints{axes + 1, axes} : Ints{axes + 2, axes + 1, axes};
  kernel = arranged(reshaped(kernel, grouped(channels, filters)), joined(spatial, exchanged),
                    grouped(filters, channels));
  return reshaped(kernel, Shape(joined(space.sizes(), {filters, groups * channels})));
}

// dx[i] = sum of dy[o] k[t] over all o stride + t dilation - low = i: a convolution with the reversed kernel
// over dy with stride - 1 zeros between its elements. In front go extent - 1 - low zeros, so that element 0
// of dx meets the last tap where dy[0] met it; behind, as many as the size of dx asks for. Where the padding
// of the forward convolution was larger than its kernel the amounts are negative: elements of dy that saw
// padding only drop out.
bool rewrite_conv_input_grad(Rewriter& rewriter, const Node& n, const Algorithms& algorithms) {
  const ConvAttrs attrs = conv_attrs(n.attributes);
  const Value kernel = rewriter(n.operand(1));
  Value dy = rewriter(n.operand(0));
  if (n.type().shape.elements() == 0) {  // no convolution has such a result where an image's axis is empty
    rewriter.replace(n.value(), full(dy.graph(), n.type(), 0));
    return true;
  }
  Ints low{0}, high{0}, interior{0}, start{0}, limit{dy.shape()[0]};
  bool cut = false;
  for (std::size_t axis = 0; axis < attrs.strides.size(); axis++) {
    const std::int64_t stride = attrs.strides[axis], input = n.type().shape[axis + 1];
    const std::int64_t spread = (dy.shape()[axis + 1] - 1) * stride + 1;
    const std::int64_t before = (kernel.shape()[axis] - 1) * attrs.dilation[axis] - attrs.low[axis];
    const std::int64_t behind = input + attrs.low[axis] - spread;
    low.push_back(std::max<std::int64_t>(before, 0));
    high.push_back(std::max<std::int64_t>(behind, 0));
    interior.push_back(stride - 1);
    start.push_back(std::max<std::int64_t>(-before, 0));
    limit.push_back(low.back() + spread + behind);
    cut = cut || before < 0 || behind < 0;
  }
  ConvAttrs back{.dilation = attrs.dilation, .groups = attrs.groups};
  back.strides = Ints(attrs.strides.size(), 1);
  back.low = Ints(low.begin() + 1, low.end());
  back.high = Ints(high.begin() + 1, high.end());
  if (all_are(interior, 0) && !cut) {
    rewriter.replace(n.value(), convolved(n, dy, reversed_kernel(kernel, attrs.groups), back, algorithms));
    return true;
  }
  for (Ints* list : {&low, &high, &interior, &start}) list->push_back(0);
  limit.push_back(dy.shape().back());

  if (!all_are(low, 0) || !all_are(high, 0) || !all_are(interior, 0))
    dy = pad(dy, scalar(dy, 0), low, high, interior);
  if (cut) dy = slice(dy, start, limit);
  rewriter.replace(n.value(), conv(dy, reversed_kernel(kernel, attrs.groups), without_padding(back)));
  return true;
}

}  // namespace

Graph canonicalize(const Graph& graph, ConvAlgorithm conv, std::string* log) {
  const Algorithms algorithms(conv, log);
  return Rewriter::run(graph, [&algorithms](Rewriter& rewriter, const Node& n) {
    switch (n.op) {
      case Op::dot:
        return rewrite_dot(rewriter, n);
      case Op::conv:
        return rewrite_conv(rewriter, n, algorithms);
      case Op::conv_input_grad:
        return rewrite_conv_input_grad(rewriter, n, algorithms);
      case Op::conv_kernel_grad:
        return rewrite_conv_kernel_grad(rewriter, n, algorithms);
      case Op::window_sum:
        return rewrite_window_sum(rewriter, n);
      default:
        return false;
    }
  });
}

}  // namespace kiln::graph
