#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "graph/op_def.h"
#include "graph/ops/register.h"

namespace kiln::graph {
namespace {

std::string prefix(const InferContext& c) {
  return c.label.empty() ? std::string(op_name(c.op)) : fmt::format("{} ({})", c.label, op_name(c.op));
}

const Registry& registry() {
  static const Registry all = [] {
    Registry r;
    register_leaf_ops(r);
    register_unary_ops(r);
    register_binary_ops(r);
    register_select_ops(r);
    register_movement_ops(r);
    register_reduce_ops(r);
    register_dot_ops(r);
    register_conv_ops(r);
    register_conv_form_ops(r);
    register_winograd_ops(r);
    register_window_ops(r);
    register_gather_ops(r);
    register_order_ops(r);
    register_random_ops(r);
    register_check_ops(r);
    return r;
  }();
  return all;
}

// The alternative of Attribute that holds an attribute of this kind.
std::size_t alternative(AttrKind kind) {
  switch (kind) {
    case AttrKind::integer:
      return 0;
    case AttrKind::number:
      return 1;
    case AttrKind::flag:
      return 2;
    case AttrKind::string:
      return 3;
    case AttrKind::ints:
      return 4;
    case AttrKind::dtype:
      return 5;
    case AttrKind::tensor:
      return 6;
  }
  return std::variant_npos;
}

void check_attributes(const OpDef& def, const InferContext& c) {
  for (const AttrSpec& spec : def.attributes) {
    const Attribute* a = c.attributes.find(spec.name);
    if (a == nullptr || a->index() != alternative(spec.kind))
      throw InternalError(fmt::format("{}: attribute \"{}\" {}", prefix(c), spec.name,
                                      a ? "is of the wrong kind" : "is missing"));
  }
  for (const auto& [name, value] : c.attributes)
    if (std::none_of(def.attributes.begin(), def.attributes.end(),
                     [&](const AttrSpec& spec) { return spec.name == name; }))
      throw InternalError(fmt::format("{}: it has no attribute \"{}\"", prefix(c), name));
}

// An empty value is held to the same: its strides are those of a value with 1 for each 0.
void check_size(const InferContext& c, const Type& type) {
  auto bytes = static_cast<std::int64_t>(size_of(type.dtype));
  for (std::int64_t n : type.shape) {
    if (n < 0)
      shape_error(
          c, fmt::format("the result would be {}; op graphs have fixed sizes, 0 or more", type.to_string()));
    if (n > largest_size / bytes)
      shape_error(
          c, fmt::format("the result would be {}, whose sizes make more than 2^47 bytes", type.to_string()));
    bytes *= std::max<std::int64_t>(n, 1);
  }
}

}  // namespace

void Registry::add(OpDef def) {
  std::optional<OpDef>& slot = table_[static_cast<std::size_t>(def.op)];
  if (slot) throw InternalError(fmt::format("op {} is defined twice", op_name(def.op)));
  slot = std::move(def);
}

const OpDef& Registry::operator[](Op op) const {
  const std::optional<OpDef>& slot = table_[static_cast<std::size_t>(op)];
  if (!slot) throw InternalError(fmt::format("op {} is not defined", op_name(op)));
  return *slot;
}

const OpDef& definition(Op op) {
  return registry()[op];
}

std::vector<Type> infer_types(const InferContext& c) {
  const OpDef& def = definition(c.op);
  if (def.operands >= 0 && c.operands.size() != static_cast<std::size_t>(def.operands))
    throw InternalError(
        fmt::format("{}: it takes {} operands, not {}", prefix(c), def.operands, c.operands.size()));
  check_attributes(def, c);
  std::vector<Type> types = def.infer(c);
  for (const Type& type : types) check_size(c, type);
  return types;
}

void shape_error(const InferContext& c, const std::string& message) {
  throw ShapeError(fmt::format("{}: {}", prefix(c), message));
}
void type_error(const InferContext& c, const std::string& message) {
  throw TypeError(fmt::format("{}: {}", prefix(c), message));
}

}  // namespace kiln::graph
