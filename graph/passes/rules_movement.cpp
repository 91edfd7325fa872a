#include <algorithm>

#include "graph/op_def.h"
#include "graph/ops/support.h"
#include "graph/passes/rules.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

constexpr Value none = {};

Value x(const Node& n) {
  return n.operand(0);
}
bool from(Value v, Op op) {
  return v.node->op == op;
}
Value inner(Value v) {
  return v.node->operand(0);
}
const Ints& ints(const Node& n, std::string_view name) {
  return n.attributes.ints(name);
}
const Ints& ints(Value v, std::string_view name) {
  return v.node->attributes.ints(name);
}
bool all(const Ints& v, std::int64_t c) {
  return std::all_of(v.begin(), v.end(), [&](std::int64_t i) { return i == c; });
}
bool same_type(const Node& n) {
  return x(n).type() == n.type();
}

// Axes of size other than 1, in order.
Ints long_axes(const Shape& shape) {
  Ints axes;
  for (int i = 0; i < shape.rank(); i++)
    if (shape[at(i)] != 1) axes.push_back(i);
  return axes;
}

// ---- broadcast --------------------------------------------------------------------------------------------

// A broadcast keeps the order of the axes, so if no element is repeated only sizes of 1 come in.
bool only_adds_ones(const Node& n) {
  return x(n).shape().elements() == n.type().shape.elements();
}

Value merge_broadcasts(const Node& n) {
  if (!from(x(n), Op::broadcast)) return none;
  Ints dims;
  for (std::int64_t d : ints(x(n), "dims")) dims.push_back(ints(n, "dims")[at(d)]);
  return broadcast(inner(x(n)), n.type().shape, std::move(dims));
}

Value drop_ones_before_broadcast(const Node& n) {
  const Shape& shape = x(n).shape();
  const Ints kept = long_axes(shape);
  if (static_cast<int>(kept.size()) == shape.rank()) return none;
  Shape squeezed;
  Ints dims;
  for (std::int64_t axis : kept) {
    squeezed.push_back(shape[at(axis)]);
    dims.push_back(ints(n, "dims")[at(axis)]);
  }
  return broadcast(reshape(x(n), squeezed), n.type().shape, std::move(dims));
}

// ---- reshape, transpose -----------------------------------------------------------------------------------

Value reshape_of_uniform(const Node& n) {
  if (!from(x(n), Op::broadcast) || inner(x(n)).rank() != 0) return none;
  return broadcast_to(inner(x(n)), n.type().shape);
}

Value merge_transposes(const Node& n) {
  if (!from(x(n), Op::transpose)) return none;
  Ints permutation;
  for (std::int64_t p : ints(n, "permutation")) permutation.push_back(ints(x(n), "permutation")[at(p)]);
  return transpose(inner(x(n)), std::move(permutation));
}

// No two axes longer than 1 change their order.
bool keeps_order(const Node& n) {
  Ints moved;
  for (std::int64_t p : ints(n, "permutation"))
    if (x(n).shape()[at(p)] != 1) moved.push_back(p);
  return std::is_sorted(moved.begin(), moved.end());
}

Value transpose_of_uniform(const Node& n) {
  if (!from(x(n), Op::broadcast) || inner(x(n)).rank() != 0) return none;
  return broadcast_to(inner(x(n)), n.type().shape);
}

// ---- slice, pad, concatenate, reverse ---------------------------------------------------------------------

Value merge_slices(const Node& n) {
  if (!from(x(n), Op::slice)) return none;
  Ints start = ints(n, "start"), limit = start, stride = start;
  for (std::size_t i = 0; i < start.size(); i++) {
    const std::int64_t outer = ints(x(n), "stride")[i], size = n.type().shape[i];
    // Nothing may begin behind the operand's end, and one element needs no stride: only between two of the
    // operand's elements is the product of the strides sure to be a number.
    start[i] = size == 0 ? 0 : ints(x(n), "start")[i] + ints(n, "start")[i] * outer;
    stride[i] = size < 2 ? 1 : ints(n, "stride")[i] * outer;
    limit[i] = size == 0 ? 0 : start[i] + (size - 1) * stride[i] + 1;
  }
  return slice(inner(x(n)), std::move(start), std::move(limit), std::move(stride));
}

Value slice_of_uniform(const Node& n) {
  if (!from(x(n), Op::broadcast) || inner(x(n)).rank() != 0) return none;
  return broadcast_to(inner(x(n)), n.type().shape);
}

// A slice that lies inside one part of a concatenation.
Value slice_of_part(const Node& n) {
  if (!from(x(n), Op::concatenate) || n.type().shape.elements() == 0) return none;
  const std::size_t axis = at(x(n).node->attributes.integer("axis"));
  std::int64_t begin = 0;
  for (Value part : x(n).node->operands) {
    const std::int64_t end = begin + part.shape()[axis];
    Ints start = ints(n, "start"), limit = ints(n, "limit");
    const std::int64_t last = start[axis] + (n.type().shape[axis] - 1) * ints(n, "stride")[axis];
    if (start[axis] >= begin && last < end) {
      start[axis] -= begin;
      limit[axis] = last - begin + 1;
      return slice(part, std::move(start), std::move(limit), ints(n, "stride"));
    }
    begin = end;
  }
  return none;
}

Value merge_pads(const Node& n) {
  if (!from(x(n), Op::pad) || x(n).node->operand(1) != n.operand(1) || !all(ints(n, "interior"), 0))
    return none;
  Ints low = ints(n, "low"), high = ints(n, "high");
  for (std::size_t i = 0; i < low.size(); i++) {
    low[i] += ints(x(n), "low")[i];
    high[i] += ints(x(n), "high")[i];
  }
  return pad(inner(x(n)), n.operand(1), std::move(low), std::move(high), ints(x(n), "interior"));
}

// Without empty parts, and with the parts of parts along the same axis.
Value flatten_concatenation(const Node& n) {
  const std::int64_t axis = n.attributes.integer("axis");
  std::vector<Value> parts;
  for (Value part : n.operands) {
    if (part.shape()[at(axis)] == 0) continue;
    if (from(part, Op::concatenate) && part.node->attributes.integer("axis") == axis)
      parts.insert(parts.end(), part.node->operands.begin(), part.node->operands.end());
    else
      parts.push_back(part);
  }
  if (parts.empty() || parts == n.operands) return none;
  return concatenate(parts, static_cast<int>(axis));
}

Value merge_reverses(const Node& n) {
  if (!from(x(n), Op::reverse)) return none;
  Ints axes;
  const Ints &outer = ints(n, "axes"), &inside = ints(x(n), "axes");
  std::set_symmetric_difference(outer.begin(), outer.end(), inside.begin(), inside.end(),
                                std::back_inserter(axes));
  return axes.empty() ? inner(x(n)) : reverse(inner(x(n)), std::move(axes));
}
Value drop_ones_of_reverse(const Node& n) {
  Ints axes = ints(n, "axes");
  std::erase_if(axes, [&](std::int64_t axis) { return x(n).shape()[at(axis)] == 1; });
  if (axes.empty()) return x(n);
  return axes == ints(n, "axes") ? none : reverse(x(n), std::move(axes));
}

// A slice at constant places; they are clamped as at run time.
Value static_slice(const Node& n) {
  if (!from(n.operand(1), Op::constant)) return none;
  const std::vector<std::int64_t> starts =
      n.operand(1).node->attributes.tensor("value").to_vector<std::int64_t>();
  Ints start, limit;
  for (std::size_t i = 0; i < starts.size(); i++) {
    const std::int64_t size = n.type().shape[i];
    start.push_back(std::clamp<std::int64_t>(starts[i], 0, x(n).shape()[i] - size));
    limit.push_back(start[i] + size);
  }
  return slice(x(n), std::move(start), std::move(limit));
}

// ---- reductions -------------------------------------------------------------------------------------------

// Over axes of size 1 (or none): nothing is combined.
Value reduce_nothing(const Node& n) {
  for (std::int64_t axis : ints(n, "axes"))
    if (x(n).shape()[at(axis)] != 1) return none;
  return reshape(x(n), n.type().shape);
}

// A maximum or minimum over copies of one thing; all of the reduced axes must be copies.
Value extremum_of_copies(const Node& n) {
  if (!from(x(n), Op::broadcast) || x(n).shape().elements() == 0) return none;
  const Ints &dims = ints(x(n), "dims"), &axes = ints(n, "axes");
  Ints kept;  // where the operand's axes are in the result
  for (std::size_t i = 0; i < dims.size(); i++) {
    if (std::find(axes.begin(), axes.end(), dims[i]) != axes.end()) return none;
    kept.push_back(dims[i] -
                   std::count_if(axes.begin(), axes.end(), [&](std::int64_t a) { return a < dims[i]; }));
  }
  return broadcast(inner(x(n)), n.type().shape, std::move(kept));
}

// Each window of a pooling gives its dy to one element: summed over them all, the elements are the dys.
Value sum_of_max_grad(const Node& n) {
  const Node& grad = *x(n).node;
  if (grad.op != Op::window_max_grad || !from(grad.operand(0), Op::window_argmax)) return none;
  const Shape& input = x(n).shape();
  const Node& argmax = *grad.operand(0).node;
  for (const char* name : {"window", "strides", "low", "high"})
    if (ints(argmax, name) != ints(x(n), name)) return none;
  if (argmax.operand(0).shape() != input) return none;
  const WindowAttrs attrs = window_attrs(grad.attributes);
  const Ints& axes = ints(n, "axes");
  for (std::size_t i = 0; i < attrs.window.size(); i++) {
    const bool one_to_one =
        attrs.window[i] == 1 && attrs.strides[i] == 1 && attrs.low[i] == 0 && attrs.high[i] == 0;
    const bool summed = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!one_to_one && !summed) return none;
    // Windows of padding only give their dy to no element.
    const std::int64_t last = (grad.operand(1).shape()[i] - 1) * attrs.strides[i] - attrs.low[i];
    if (attrs.low[i] >= attrs.window[i] || last >= input[i]) return none;
  }
  return reduce_sum(grad.operand(1), axes);
}

const Rule rules[] = {
    {Op::broadcast, "broadcast to the shape it has",
     [](const Node& n) { return same_type(n) ? x(n) : none; }},
    {Op::broadcast, "broadcast of a broadcast", merge_broadcasts},
    {Op::broadcast, "broadcast that only adds sizes of 1 -> reshape",
     [](const Node& n) { return only_adds_ones(n) ? reshape(x(n), n.type().shape) : none; }},
    {Op::broadcast, "broadcast of axes of size 1 -> reshape, broadcast", drop_ones_before_broadcast},
    {Op::reshape, "reshape to the shape it has", [](const Node& n) { return same_type(n) ? x(n) : none; }},
    {Op::reshape, "reshape of a reshape",
     [](const Node& n) { return from(x(n), Op::reshape) ? reshape(inner(x(n)), n.type().shape) : none; }},
    {Op::reshape, "reshape of a broadcast scalar -> broadcast", reshape_of_uniform},
    {Op::transpose, "transpose of a transpose", merge_transposes},
    {Op::transpose, "transpose of a broadcast scalar -> broadcast", transpose_of_uniform},
    {Op::transpose, "transpose that moves only sizes of 1 -> reshape",
     [](const Node& n) { return keeps_order(n) ? reshape(x(n), n.type().shape) : none; }},
    {Op::slice, "slice of everything",
     [](const Node& n) { return same_type(n) && all(ints(n, "stride"), 1) ? x(n) : none; }},
    {Op::slice, "slice of a slice", merge_slices},
    {Op::slice, "slice of a broadcast scalar -> broadcast", slice_of_uniform},
    {Op::slice, "slice of a part of a concatenation", slice_of_part},
    {Op::pad, "pad with nothing", [](const Node& n) { return same_type(n) ? x(n) : none; }},
    {Op::pad, "pad of a pad with the same value", merge_pads},
    {Op::concatenate, "concatenation of one",
     [](const Node& n) { return n.operands.size() == 1 ? x(n) : none; }},
    {Op::concatenate, "concatenation of concatenations and of empty parts", flatten_concatenation},
    {Op::reverse, "reverse of a reverse", merge_reverses},
    {Op::reverse, "reverse of axes of size 1", drop_ones_of_reverse},
    {Op::dynamic_slice, "dynamic slice at constant places -> slice", static_slice},
    {Op::reduce_sum, "sum over sizes of 1 -> reshape", reduce_nothing},
    {Op::reduce_sum, "sum of a maximum's gradient -> sum of its dy, which are fewer to be rounded",
     sum_of_max_grad},
    {Op::reduce_max, "maximum over sizes of 1 -> reshape", reduce_nothing},
    {Op::reduce_min, "minimum over sizes of 1 -> reshape", reduce_nothing},
    {Op::reduce_prod, "product over sizes of 1 -> reshape", reduce_nothing},
    {Op::reduce_max, "maximum of copies", extremum_of_copies},
    {Op::reduce_min, "minimum of copies", extremum_of_copies},
};

}  // namespace

std::span<const Rule> movement_rules() {
  return rules;
}

}  // namespace kiln::graph
