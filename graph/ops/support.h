#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "graph/op_def.h"

/// What the files of graph/ops/ share: checks for shape rules and loops for reference evaluation.
namespace kiln::graph {

/// Emits an op with one result into the graph of its first operand.
inline Value emit(Op op, std::vector<Value> operands, Attributes attributes = {}) {
  Graph& graph = operands.front().graph();
  return graph.emit(op, std::move(operands), std::move(attributes)).value();
}

// ---- element types ----------------------------------------------------------------------------------------

/// Sets of element types that ops accept. `holds<T>()` decides at compile time which loops exist, `has`
/// checks at run time, and `text` names the set in errors.
struct Floats {
  template <class T>
  static constexpr bool holds() {
    return std::is_floating_point_v<T>;
  }
  static bool has(DType t) { return is_float(t); }
  static constexpr std::string_view text = "float32 or float64";
};
struct Integers {
  template <class T>
  static constexpr bool holds() {
    return std::is_integral_v<T> && !std::is_same_v<T, bool>;
  }
  static bool has(DType t) { return is_integer(t); }
  static constexpr std::string_view text = "int32, int64 or uint8";
};
struct Numbers {
  template <class T>
  static constexpr bool holds() {
    return !std::is_same_v<T, bool>;
  }
  static bool has(DType t) { return t != DType::bool_; }
  static constexpr std::string_view text = "a type of numbers";
};
struct Bits {
  template <class T>
  static constexpr bool holds() {
    return std::is_integral_v<T>;
  }
  static bool has(DType t) { return !is_float(t); }
  static constexpr std::string_view text = "int32, int64, uint8 or bool";
};
struct Bools {
  template <class T>
  static constexpr bool holds() {
    return std::is_same_v<T, bool>;
  }
  static bool has(DType t) { return t == DType::bool_; }
  static constexpr std::string_view text = "bool";
};
struct AnyType {
  template <class T>
  static constexpr bool holds() {
    return true;
  }
  static bool has(DType) { return true; }
  static constexpr std::string_view text = "any type";
};

/// TypeError unless operand `i` has a type of the set.
template <class Types>
void require_type(const InferContext& c, int i) {
  if (!Types::has(c.type(i).dtype))
    type_error(c, fmt::format("operand {} is {}; it must be {} (convert it first)", i, name(c.type(i).dtype),
                              Types::text));
}

/// TypeError unless operands `i` and `j` have one element type.
inline void require_same_dtype(const InferContext& c, int i, int j) {
  if (c.type(i).dtype != c.type(j).dtype)
    type_error(c, fmt::format("operands are {} and {}; convert one of them", name(c.type(i).dtype),
                              name(c.type(j).dtype)));
}

/// Calls f<T>-style with the C++ type of `t` if the set holds it: the loops of an op over its types.
template <class Types, class F>
void visit_types(DType t, F&& f) {
  kiln::visit(t, [&](auto zero) {
    if constexpr (Types::template holds<decltype(zero)>()) f(zero);
  });
}

// ---- axes -------------------------------------------------------------------------------------------------

/// Negative axes count from the end. What is out of range stays so, for the shape rule to reject.
inline std::int64_t axis_from_end(std::int64_t axis, int rank) {
  return axis < 0 ? axis + rank : axis;
}

/// ShapeError unless 0 <= axis < rank.
inline void require_axis(const InferContext& c, std::int64_t axis, int rank) {
  if (axis < 0 || axis >= rank)
    shape_error(c, fmt::format("axis {} is out of range for an operand of rank {}", axis, rank));
}

/// ShapeError unless the axes are in range, ascending, and each there once.
inline void require_axes(const InferContext& c, const Ints& axes, int rank) {
  for (std::size_t i = 0; i < axes.size(); i++) {
    require_axis(c, axes[i], rank);
    if (i > 0 && axes[i] <= axes[i - 1]) shape_error(c, "axes must be ascending, each once");
  }
}

/// ShapeError unless the attribute has one entry for each axis of a value of this rank.
inline const Ints& require_per_axis(const InferContext& c, std::string_view attribute, int rank) {
  const Ints& v = c.attributes.ints(attribute);
  if (static_cast<int>(v.size()) != rank)
    shape_error(c, fmt::format("{} has {} entries; the value has {} axes", attribute, v.size(), rank));
  return v;
}

/// ShapeError unless int32 can number the elements along the axis.
inline void require_int32_indices(const InferContext& c, std::int64_t axis) {
  const std::int64_t size = c.shape(0)[static_cast<std::size_t>(axis)];
  if (size - 1 > std::numeric_limits<std::int32_t>::max())
    shape_error(
        c, fmt::format("axis {} has {} elements; the indices are int32 and end at 2^31 - 1", axis, size));
}

inline bool contains(const Ints& axes, std::int64_t axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// An axis as an index.
inline std::size_t at(std::int64_t axis) {
  return static_cast<std::size_t>(axis);
}

inline bool all_are(const Ints& v, std::int64_t n) {
  return std::all_of(v.begin(), v.end(), [n](std::int64_t entry) { return entry == n; });
}

/// a, then b.
inline Ints joined(Ints a, const Ints& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Axes of a value of this rank that are not in `axes`, ascending.
inline Ints other_axes(const Ints& axes, int rank) {
  Ints rest;
  for (int i = 0; i < rank; i++)
    if (!contains(axes, i)) rest.push_back(i);
  return rest;
}

// ---- for the functions of ops.h ---------------------------------------------------------------------------

/// ShapeError with op and layer in front, for faults found before the op is emitted.
[[noreturn]] void build_error(Op op, Value x, const std::string& message);

/// Axes of x in ascending order, negative ones counted from the end. ShapeError if one is out of range or
/// there twice.
Ints normalize_axes(Op op, Value x, const Ints& axes);

/// Broadcasts the values to their common shape, as numpy does. ShapeError names the op and the shapes.
void broadcast_together(Op op, std::initializer_list<Value*> values);

// ---- loops ------------------------------------------------------------------------------------------------

/// Calls f(i, offset) for every element of `shape` in row-major order: i counts from 0, and
/// offset = start + sum over axes of index * stride.
template <class F>
void for_each_element(const Shape& shape, std::span<const std::int64_t> strides, std::int64_t start, F&& f) {
  const std::int64_t count = shape.elements();
  Ints index(static_cast<std::size_t>(shape.rank()), 0);
  std::int64_t offset = start;
  for (std::int64_t i = 0; i < count; i++) {
    f(i, offset);
    for (std::size_t axis = index.size(); axis-- > 0;) {  // the next index, as an odometer counts
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

/// Integer arithmetic wraps: it is done in the unsigned type (of at least int's width: u8 would be promoted
/// to int, whose overflow is undefined).
template <class T>
using Wrapping = std::conditional_t<(sizeof(T) < 4), std::uint32_t, std::make_unsigned_t<T>>;

}  // namespace kiln::graph
