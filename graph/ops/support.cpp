#include "graph/ops/support.h"

namespace kiln::graph {

void build_error(Op op, Value x, const std::string& message) {
  const Attributes none;
  shape_error({op, {}, none, x.graph().label}, message);
}

Ints normalize_axes(Op op, Value x, const Ints& axes) {
  Ints result;
  for (std::int64_t axis : axes) result.push_back(normalize_axis(axis, x.rank(), op_name(op).data()));
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    build_error(op, x, fmt::format("an axis is named twice in [{}]", fmt::join(axes, ", ")));
  return result;
}

void broadcast_together(Op op, std::initializer_list<Value*> values) {
  Shape common;
  for (const Value* v : values)
    if (v->rank() > common.rank()) common = v->shape();
  for (std::size_t i = 0; i < static_cast<std::size_t>(common.rank()); i++) {
    std::int64_t size = 1;
    for (const Value* v : values) {
      const std::int64_t axis = static_cast<std::int64_t>(i) - (common.rank() - v->rank());
      const std::int64_t n = axis < 0 ? 1 : v->shape()[static_cast<std::size_t>(axis)];
      if (n != 1 && size != 1 && n != size) {
        std::string shapes;
        for (const Value* w : values) shapes += (shapes.empty() ? "" : ", ") + w->shape().to_string();
        build_error(
            op, **values.begin(),
            fmt::format(
                "the shapes {} don't broadcast: on one axis the sizes are {} and {}; they must be equal or 1",
                shapes, size, n));
      }
      if (n != 1) size = n;
    }
    common[i] = size;
  }
  for (Value* v : values) *v = broadcast_to(*v, common);
}

}  // namespace kiln::graph
