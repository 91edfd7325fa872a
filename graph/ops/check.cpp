#include <fmt/format.h>

#include "graph/op_def.h"
#include "graph/ops/register.h"

namespace kiln::graph {
namespace {

std::vector<Type> infer_check(const InferContext& c) {
  if (c.type(0).dtype != DType::bool_)
    type_error(c, fmt::format("ok must be bool; got {} (use compare)", name(c.type(0).dtype)));
  if (c.shape(0).rank() != 1 || c.shape(1) != c.shape(0))
    shape_error(c, fmt::format("ok and value must have one entry for each row, shape (rows,); got {} and {}",
                               c.shape(0).to_string(), c.shape(1).to_string()));
  return {};
}

void evaluate_check(const EvalContext& c) {
  const bool* ok = c.operands[0].data<bool>();
  for (std::int64_t row = 0; row < c.operands[0].size(); row++)
    if (!ok[row])
      throw DataError(c.node.attributes.string("message"), row, c.operands[1](row));
}

}  // namespace

void check(Value ok, Value value, std::string message) {
  ok.graph().emit(Op::check, {ok, value}, {{"message", std::move(message)}});
}

void register_check_ops(Registry& registry) {
  registry.add({.op = Op::check,
                .op_class = OpClass::effect,
                .operands = 2,
                .attributes = {{"message", AttrKind::string}},
                .infer = infer_check,
                .gradient = nullptr,
                .evaluate = evaluate_check});
}

}  // namespace kiln::graph
