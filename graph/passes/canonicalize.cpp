#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/ops/dot.h"
#include "graph/passes/arrange.h"
#include "graph/passes/input_grad.h"
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

// ---- dot --------------------------------------------------------------------------------------------------

std::int64_t product(const Shape& shape, const Ints& axes) {
  std::int64_t n = 1;
  for (std::int64_t axis : axes) n *= shape[at(axis)];
  return n;
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
        rewriter.replace(n.value(), input_grad_form(n, rewriter(n.operand(0)), rewriter(n.operand(1)),
                                                    [&](Value x, Value kernel, const ConvAttrs& attrs) {
                                                      return convolved(n, x, kernel, attrs, algorithms);
                                                    }));
        return true;
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
