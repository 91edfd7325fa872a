#pragma once
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {

/// How the passes may treat an op.
enum class OpClass : std::uint8_t {
  leaf,         ///< input, state, constant
  elementwise,  ///< result[i] depends on operands[i] only, all of one shape
  movement,     ///< result[i] is an operand's element at a computed index (or iota, pad value)
  heavy,        ///< loops of its own: reductions, products, windows, sorts
  effect,       ///< check
};

/// Kind of an attribute, for the parser and the verifier.
enum class AttrKind : std::uint8_t { integer, number, flag, string, ints, dtype, tensor };
struct AttrSpec {
  std::string_view name;
  AttrKind kind;
};

/// What a shape rule sees.
struct InferContext {
  Op op;
  std::span<const Value> operands;
  const Attributes& attributes;
  std::string_view label;
  const Type& type(int i) const { return operands[static_cast<std::size_t>(i)].type(); }
  const Shape& shape(int i) const { return type(i).shape; }
};

/// What a gradient rule sees: the node, and the adjoint of each result (null if a result isn't used). It
/// returns one adjoint for each operand, null where there is none (integer operands, indices). It emits
/// graph ops only, into node.graph.
struct GradientContext {
  const Node& node;
  std::span<const Value> adjoints;
  /// adjoint of result 0
  Value dy() const { return adjoints[0]; }
  Value operand(int i) const { return node.operand(i); }
  Value result(int i = 0) const { return node.value(i); }
};

/// Reference evaluation: plain loops over row-major tensors.
struct EvalContext {
  const Node& node;
  std::span<const Tensor> operands;
  std::span<Tensor> results;  ///< allocated, zero
};

/// Everything graph/ knows of an op. One for each entry of op_list.h; see `definition`.
struct OpDef {
  Op op;
  OpClass op_class;
  int operands;  ///< number of operands, or -1: any
  std::vector<AttrSpec> attributes;
  std::vector<Type> (*infer)(const InferContext&);
  std::vector<Value> (*gradient)(const GradientContext&);  ///< null: not differentiable, adjoint is none
  void (*evaluate)(const EvalContext&);
};

const OpDef& definition(Op op);

/// The table behind `definition`. Each file of graph/ops/ adds its ops to it, from the one function it
/// exports (ops/register.h); registry.cpp fills the one instance when it is first needed.
class Registry {
 public:
  void add(OpDef def);
  const OpDef& operator[](Op op) const;

 private:
  std::array<std::optional<OpDef>, op_count> table_;
};

/// The most bytes of a value, and so the largest size of an axis: more than a process can address. Below it,
/// counting elements, bytes and offsets in 64 bits is safe; shape rules keep what they compute from
/// attributes below it, too.
inline constexpr std::int64_t largest_size = std::int64_t{1} << 47;

/// Types of the results: checks the number of operands and the attributes (InternalError), runs the op's
/// shape rule, and checks what it gives: sizes known and not negative, at most `largest_size` bytes
/// (ShapeError).
std::vector<Type> infer_types(const InferContext& c);

/// ShapeError / TypeError with the op and the layer in front: "dense_1 (dot): ...".
[[noreturn]] void shape_error(const InferContext& c, const std::string& message);
[[noreturn]] void type_error(const InferContext& c, const std::string& message);

}  // namespace kiln::graph
