#include <algorithm>
#include <map>
#include <optional>

#include "graph/elemental.h"
#include "graph/ops/batch_last.h"
#include "graph/ops/support.h"
#include "graph/ops/winograd.h"
#include "graph/passes/min_cut.h"
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kiln/graph/ops.h"

// Images are (N, spatial..., C), and vectors run along the channels or filters: of six, half a vector's lanes
// are idle. With the batch as the last axis all of them work. This pass chooses for each node which of the
// two layouts it works in, and puts transposes between nodes that differ.
//
// The choice is a cheapest cut: nodes on the sink's side have the batch last. A node's edge to one of the
// ends costs what its kernel takes in the other layout, and edges between nodes what their transposes take,
// each array's once however many read it.
//
// Every element is the same sum in the same order in either layout, so the choice may hang on the batch's
// size, and a row's prediction still doesn't. Of sums over the batch that isn't true; they are no
// predictions.
namespace kiln::graph {
namespace {

// ---- what can have the batch last ------------------------------------------------------------------------

bool is_image(const Shape& shape) {
  return shape.rank() >= 3 && shape.rank() <= 5 && shape.elements() > 0;
}

/// One filter a group: its sums are made another way, in another order.
bool is_depthwise(const ConvAttrs& attrs, const Shape& kernel) {
  return attrs.groups > 1 && kernel.back() == attrs.groups;
}

bool is_window_op(Op op) {
  return op == Op::window_sum || op == Op::window_sum_grad || op == Op::window_max ||
         op == Op::window_argmax || op == Op::window_max_grad || op == Op::window_max_pick;
}

/// Made in any layout at no cost, as often as it is needed.
bool is_free(const Node& n) {
  if (n.op != Op::broadcast || !is_image(n.type().shape)) return false;
  const Ints& dims = n.attributes.ints("dims");
  return dims.empty() || dims[0] != 0;
}

/// The operands of an op that are images in its layout, where it has the other one as well.
std::optional<std::vector<int>> images_of(const Node& n) {
  const auto all_operands = [&] {
    std::vector<int> all;
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++) all.push_back(i);
    return all;
  };
  if (n.results.size() != 1 || n.operands.empty() || !is_image(n.operand(0).shape())) return {};
  const Attributes& a = n.attributes;
  switch (n.op) {
    case Op::conv: {
      const ConvAttrs attrs = conv_attrs(a);
      if (is_depthwise(attrs, n.operand(1).shape()) || !all_are(attrs.low, 0) || !all_are(attrs.high, 0))
        return {};
      return std::vector<int>{0};
    }
    case Op::conv_kernel_grad: {
      const ConvAttrs attrs = conv_attrs(a);
      if (is_depthwise(attrs, n.type().shape) || !all_are(attrs.low, 0) || !all_are(attrs.high, 0)) return {};
      return std::vector<int>{0, 1};
    }
    case Op::winograd_conv:
      if (a.flag("batch_last")) return {};  // its image isn't what the other one's axes say
      return std::vector<int>{0};
    case Op::reduce_sum:
      // Over the batch, that is: what stays is in the same order.
      if (a.ints("axes").empty() || a.ints("axes")[0] != 0) return {};
      return std::vector<int>{0};
    case Op::pad:
    case Op::slice:
    case Op::reverse:
      return std::vector<int>{0};
    default:
      break;
  }
  if (is_window_op(n.op)) {
    const WindowAttrs w = window_attrs(a);
    // The first of equal maxima is meant in the order of the axes.
    if (w.window[0] != 1 || w.strides[0] != 1 || w.low[0] != 0) return {};
    return all_operands();
  }
  if (definition(n.op).op_class == OpClass::elementwise) return all_operands();
  return {};
}

/// Its result isn't an image, but the same in either layout.
bool gives_plain(const Node& n) {
  return n.op == Op::conv_kernel_grad || n.op == Op::reduce_sum;
}

// ---- costs ------------------------------------------------------------------------------------------------

constexpr std::int64_t lanes = 16;
constexpr double worth_it = 1 << 14;  // multiply-adds of full vectors that a layout must save: some us
constexpr double transposed_element = 0.6;
constexpr double window_tap = 8;  // what a tap costs more than a multiply-add: selects, few of them at a time

/// How often an element's share of a full vector it takes to work on `n` neighbours. Half a vector isn't half
/// the work.
double waste(std::int64_t n) {
  constexpr double half = 0.6;
  const std::int64_t whole = n / lanes, rest = n % lanes;
  const double vectors = static_cast<double>(whole) + (rest == 0 ? 0 : rest <= lanes / 2 ? half : 1);
  return vectors * static_cast<double>(lanes) / static_cast<double>(n);
}

double elements(Value v) {
  return static_cast<double>(v.shape().elements());
}

struct Costs {
  double batch_first = 0, batch_last = 0;
};

/// Of the node's kernel, in full vectors' instructions.
Costs costs(const Node& n) {
  if (n.operands.back().dtype() != DType::f32) return {};
  const auto is_empty = [](Value v) { return v.shape().elements() == 0; };
  if (is_empty(n.value()) || std::any_of(n.operands.begin(), n.operands.end(), is_empty)) return {};
  const auto in_vectors = [](double work, std::int64_t first, std::int64_t last) {
    return Costs{work * waste(first) / lanes, work * waste(last) / lanes};
  };
  switch (n.op) {
    case Op::conv: {
      const Shape& kernel = n.operand(1).shape();
      const std::int64_t filters = kernel.back() / n.attributes.integer("groups");
      const double multiply_adds =
          elements(n.value()) * elements(n.operand(1)) / static_cast<double>(kernel.back());
      return in_vectors(multiply_adds, filters, n.operand(0).shape()[0]);
    }
    case Op::conv_kernel_grad: {
      const Shape& kernel = n.type().shape;
      const std::int64_t filters = kernel.back() / n.attributes.integer("groups");
      const double multiply_adds =
          elements(n.operand(1)) * elements(n.value()) / static_cast<double>(kernel.back());
      return in_vectors(multiply_adds, filters, n.operand(0).shape()[0]);
    }
    case Op::winograd_conv: {
      const Shape& x = n.operand(0).shape();
      const Attributes& a = n.attributes;
      const winograd::Tiles tiles(x, a.ints("low"), a.ints("high"), a.integer("window"));
      const std::int64_t channels = x.back(), filters = n.type().shape.back(), batch = x[0];
      // Products that transforming an element costs as much as. With padding most tiles of a small image are
      // read under masks; with the batch last, these rows lie on many pages: 4 were measured on Sapphire
      // Rapids, up to 10 on Zen 4.
      const bool padded = !all_are(a.ints("low"), 0) || !all_are(a.ints("high"), 0);
      const double transform = 4, transform_last = padded ? 6 : 4;
      const double positions = static_cast<double>(tiles.count() * winograd::positions) / lanes;
      const auto cost = [&](double each, double of_channels, double of_filters) {
        const auto c = static_cast<double>(channels), f = static_cast<double>(filters);
        return positions * (c * f * of_filters + each * (c * of_channels + f * of_filters));
      };
      return {cost(transform, waste(channels), waste(filters)),
              cost(transform_last, waste(batch), waste(batch))};
    }
    default:
      break;
  }
  if (is_window_op(n.op)) {
    double volume = 1;
    for (std::int64_t size : n.attributes.ints("window")) volume *= static_cast<double>(size);
    const Shape& shape = n.type().shape;
    const Value smaller = elements(n.operand(0)) < elements(n.value()) ? n.operand(0) : n.value();
    return in_vectors(elements(smaller) * volume * window_tap, shape.back(), shape[0]);
  }
  return {};
}

// ---- the choice -------------------------------------------------------------------------------------------

std::size_t index(const Node& n) {
  return static_cast<std::size_t>(n.id);
}

/// For each node, whether it works with the batch last.
std::vector<bool> choose(const Graph& graph, bool wherever_possible) {
  MinCut cut;
  std::vector<int> nodes(graph.nodes().size(), MinCut::source);  // all others have the batch first
  const auto units = [](double cost) { return static_cast<std::int64_t>(cost); };
  bool pays = false;
  for (const Node& n : graph.nodes()) {
    if (is_free(n) || !images_of(n)) continue;
    nodes[index(n)] = cut.add_node();
    const Costs c = costs(n);
    pays = pays || c.batch_first - c.batch_last > worth_it;
    const std::int64_t gain = units(c.batch_first - c.batch_last);
    if (wherever_possible)
      cut.add_edge(nodes[index(n)], MinCut::sink, MinCut::infinite);
    else if (gain > 0)
      cut.add_edge(nodes[index(n)], MinCut::sink, gain);
    else
      cut.add_edge(MinCut::source, nodes[index(n)], -gain);
  }
  if (!pays && !wherever_possible) return std::vector<bool>(graph.nodes().size(), false);

  /// Who reads a value: as an image in a layout of their own choice, or as it is in the graph.
  struct Readers {
    std::vector<int> choosing;
    bool fixed = false;
  };
  std::vector<Readers> readers(graph.nodes().size());
  for (const Node& n : graph.nodes()) {
    const std::vector<int> images = nodes[index(n)] == MinCut::source ? std::vector<int>{} : *images_of(n);
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++) {
      Readers& of_operand = readers[index(*n.operand(i).node)];
      if (std::find(images.begin(), images.end(), i) != images.end())
        of_operand.choosing.push_back(nodes[index(n)]);
      else
        of_operand.fixed = true;
    }
  }
  for (const Output& o : graph.outputs()) readers[index(*o.value.node)].fixed = true;
  for (const StateSlot& s : graph.states())
    if (s.next) readers[index(*s.next.node)].fixed = true;

  for (const Node& n : graph.nodes()) {
    if (n.results.empty() || is_free(n)) continue;
    const Readers& r = readers[index(n)];
    const std::int64_t transpose = std::max<std::int64_t>(1, units(elements(n.value()) * transposed_element));
    const bool chooses = nodes[index(n)] != MinCut::source && !gives_plain(n);
    const int producer = chooses ? nodes[index(n)] : MinCut::source;
    if (!r.choosing.empty()) {
      const int some_last = cut.add_node();
      cut.add_edge(producer, some_last, transpose);
      for (int reader : r.choosing) cut.add_edge(some_last, reader, MinCut::infinite);
    }
    if (!chooses) continue;
    if (r.fixed) {
      cut.add_edge(MinCut::source, producer, transpose);
    } else if (!r.choosing.empty()) {
      const int some_first = cut.add_node();
      cut.add_edge(some_first, producer, transpose);
      for (int reader : r.choosing) cut.add_edge(reader, some_first, MinCut::infinite);
    }
  }
  const std::vector<bool> side = cut.sink_side();
  std::vector<bool> result;
  for (int node : nodes) result.push_back(side[static_cast<std::size_t>(node)]);
  return result;
}

// ---- the new graph ----------------------------------------------------------------------------------------

/// One entry an axis, in the order of the other layout.
Ints rotated(Ints entries) {
  std::rotate(entries.begin(), entries.begin() + 1, entries.end());
  return entries;
}

/// The numbers of axes, in the other layout; ascending if they were and the batch isn't one of them.
Ints rotated_axes(Ints axes, int rank) {
  for (std::int64_t& axis : axes) axis = axis == 0 ? rank - 1 : axis - 1;
  return axes;
}

/// Into how many sums over rows of the image the gradient of a kernel is cut, so that threads can share them.
std::int64_t parts_of(std::int64_t rows) {
  constexpr std::int64_t most = 16;
  for (std::int64_t parts = std::min(most, rows); parts > 1; parts--)
    if (rows % parts == 0) return parts;
  return 1;
}

class Relayout {
 public:
  Relayout(const Graph& source, std::vector<bool> last)
      : source_(source), rewriter_(source), is_last_(std::move(last)), last_(source.nodes().size()) {}

  Graph run() {
    for (const Node& n : source_.nodes()) {
      if (n.op == Op::input || n.op == Op::state) continue;
      const LabelScope label(rewriter_.target(), n.label);
      if (is_last_[index(n)]) {
        emit_last(n);
        continue;
      }
      for (Value v : n.operands) first(v);
      rewriter_.copy(n);
    }
    for (const Output& o : source_.outputs()) first(o.value);
    for (const StateSlot& s : source_.states())
      if (s.next) first(s.next);
    return rewriter_.finish();
  }

 private:
  /// The new graph's value for an old one, with the batch first.
  Value first(Value old) {
    if (Value v = rewriter_(old)) return v;
    const LabelScope label(rewriter_.target(), old.node->label);
    const Value x = last_[index(*old.node)];
    Ints axes{x.rank() - 1};
    for (int i = 0; i < x.rank() - 1; i++) axes.push_back(i);
    rewriter_.replace(old, transpose(x, axes));
    return rewriter_(old);
  }
  /// The same with the batch last.
  Value last(Value old) {
    Value& v = last_[index(*old.node)];
    if (v) return v;
    const LabelScope label(rewriter_.target(), old.node->label);
    if (is_free(*old.node)) {
      const int rank = old.rank();
      return v = broadcast(first(old.node->operand(0)), batch_last(old.shape()),
                           rotated_axes(old.node->attributes.ints("dims"), rank));
    }
    Ints axes;
    for (int i = 1; i < old.rank(); i++) axes.push_back(i);
    axes.push_back(0);
    return v = transpose(first(old), axes);
  }

  void emit_last(const Node& n) {
    const std::vector<int> images = *images_of(n);
    std::vector<Value> operands;
    for (int i = 0; i < static_cast<int>(n.operands.size()); i++) {
      const bool image = std::find(images.begin(), images.end(), i) != images.end();
      operands.push_back(image ? last(n.operand(i)) : first(n.operand(i)));
    }
    const Attributes& a = n.attributes;
    switch (n.op) {
      case Op::conv:
        last_[index(n)] = conv_batch_last(operands[0], operands[1], conv_attrs(a));
        return;
      case Op::winograd_conv:
        last_[index(n)] = winograd_conv(operands[0], operands[1], a.integer("window"), a.ints("low"),
                                        a.ints("high"), /*batch_last=*/true);
        return;
      case Op::conv_kernel_grad: {
        const std::int64_t parts = parts_of(operands[1].shape()[0]);
        const Value sums = conv_kernel_sums(operands[0], operands[1], n.type().shape, conv_attrs(a), parts,
                                            /*batch_last=*/true);
        rewriter_.replace(n.value(), reduce_sum(sums, {0}));
        return;
      }
      case Op::reduce_sum: {
        Ints axes = rotated(rotated_axes(a.ints("axes"), operands[0].rank()));
        rewriter_.replace(n.value(), reduce_sum(operands[0], std::move(axes)));
        return;
      }
      default:
        break;
    }
    Attributes moved = a;
    if (n.op == Op::reverse) {
      Ints axes = rotated_axes(a.ints("axes"), operands[0].rank());
      std::sort(axes.begin(), axes.end());
      moved.set("axes", std::move(axes));
    } else {
      for (const auto& [name, value] : a)
        if (const Ints* entries = std::get_if<Ints>(&value)) moved.set(name, rotated(*entries));
    }
    last_[index(n)] = rewriter_.target().emit(n.op, std::move(operands), std::move(moved)).value();
  }

  const Graph& source_;
  Rewriter rewriter_;
  std::vector<bool> is_last_;
  std::vector<Value> last_;  ///< of each node's result, with the batch last
};

}  // namespace

Graph layout(const Graph& graph, bool wherever_possible) {
  std::vector<bool> last = choose(graph, wherever_possible);
  return Relayout(graph, std::move(last)).run();
}

}  // namespace kiln::graph
