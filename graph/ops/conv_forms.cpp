// Forms of convolutions that passes choose where they are faster. Gradients are derived before, so these have
// none themselves.
#include <cstring>

#include "graph/ops/batch_last.h"
#include "graph/ops/conv.h"
#include "graph/ops/register.h"
#include "graph/ops/support.h"

namespace kiln::graph {
namespace {

void check_types(const InferContext& c) {
  require_type<Floats>(c, 0);
  require_same_dtype(c, 0, 1);
  if (c.shape(0).rank() == 0) shape_error(c, "the input must have axes; got a number");
}

std::vector<Type> infer_conv_batch_last(const InferContext& c) {
  check_types(c);
  return {{c.type(0).dtype, batch_last(conv_shape(c, batch_first(c.shape(0)), c.shape(1)))}};
}

std::vector<Type> infer_conv_kernel_sums(const InferContext& c) {
  check_types(c);
  const Shape kernel(c.attributes.ints("kernel"));
  const bool last = c.attributes.flag("batch_last");
  Shape y = conv_shape(c, last ? batch_first(c.shape(0)) : c.shape(0), kernel);
  if (last) y = batch_last(y);
  if (c.shape(1) != y)
    shape_error(c, fmt::format("dy must have the shape {} of the convolution's result; got {}", y.to_string(),
                               c.shape(1).to_string()));
  const std::int64_t parts = c.attributes.integer("parts");
  if (parts < 1 || y[0] % parts != 0)
    shape_error(c, fmt::format("parts must divide the first axis of dy, {}; got {}", y.to_string(), parts));
  return {{c.type(0).dtype, kernel.prepend(parts)}};
}

void evaluate_conv_batch_last(const EvalContext& c) {
  const Tensor operands[] = {batch_first(c.operands[0]), c.operands[1]};
  Tensor results[] = {Tensor(batch_first(c.results[0].shape()), c.results[0].dtype())};
  definition(Op::conv).evaluate({c.node, operands, results});
  const Tensor moved = batch_last(results[0]);
  std::memcpy(c.results[0].raw(), moved.raw(), moved.nbytes());
}

/// Step number `number` of `count` equal ones along the first axis.
Tensor part_of(const Tensor& whole, std::int64_t number, std::int64_t count) {
  const Shape shape = whole.shape().tail().prepend(whole.shape()[0] / count);
  const auto bytes = static_cast<std::int64_t>(size_of(whole.dtype())) * shape.elements();
  const auto owner = std::make_shared<Tensor>(whole);
  return Tensor::view(static_cast<char*>(owner->raw()) + number * bytes, shape, whole.dtype(), {}, owner);
}

/// dy with zeros in all steps along its first axis but those of one of the parts.
Tensor only_part_of(const Tensor& dy, std::int64_t number, std::int64_t count) {
  Tensor result(dy.shape(), dy.dtype());
  const Tensor from = part_of(dy, number, count);
  std::memcpy(part_of(result, number, count).raw(), from.raw(), from.nbytes());
  return result;
}

void evaluate_conv_kernel_sums(const EvalContext& c) {
  const std::int64_t parts = c.results[0].shape()[0];
  const bool last = c.node.attributes.flag("batch_last");
  for (std::int64_t i = 0; i < parts; i++) {
    const Tensor operands[] = {
        last ? batch_first(c.operands[0]) : part_of(c.operands[0], i, parts),
        last ? batch_first(only_part_of(c.operands[1], i, parts)) : part_of(c.operands[1], i, parts)};
    Tensor sum = part_of(c.results[0], i, parts);
    Tensor results[] = {Tensor::view(sum.raw(), sum.shape().tail(), sum.dtype())};
    definition(Op::conv_kernel_grad).evaluate({c.node, operands, results});
  }
}

}  // namespace

Value conv_batch_last(Value x, Value kernel, const ConvAttrs& attrs) {
  return emit(Op::conv_batch_last, {x, kernel}, conv_attributes(attrs, x.rank()));
}

Value conv_kernel_sums(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs, std::int64_t parts,
                       bool batch_last) {
  Attributes a = conv_attributes(attrs, x.rank());
  a.set("batch_last", batch_last);
  a.set("kernel", kernel.sizes());
  a.set("parts", parts);
  return emit(Op::conv_kernel_sums, {x, dy}, std::move(a));
}

void register_conv_form_ops(Registry& registry) {
  registry.add({.op = Op::conv_batch_last,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = conv_attribute_specs(),
                .infer = infer_conv_batch_last,
                .gradient = nullptr,
                .evaluate = evaluate_conv_batch_last});
  std::vector<AttrSpec> with_parts = conv_attribute_specs();
  with_parts.push_back({"batch_last", AttrKind::flag});
  with_parts.push_back({"kernel", AttrKind::ints});
  with_parts.push_back({"parts", AttrKind::integer});
  registry.add({.op = Op::conv_kernel_sums,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_parts,
                .infer = infer_conv_kernel_sums,
                .gradient = nullptr,
                .evaluate = evaluate_conv_kernel_sums});
}

}  // namespace kiln::graph
