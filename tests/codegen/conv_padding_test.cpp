// Padding takes part in convolutions (graph/ops/conv.cpp): where NaN and infinity meet it, compiled code and
// the interpreter agree.
#include <gtest/gtest.h>

#include <limits>

#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/compile_support.h"

namespace kiln::codegen {
namespace {

using namespace kiln::graph;  // the ops

/// Small whole numbers with some infinities and NaNs among them.
Tensor with_specials(const Shape& shape, DType dtype, std::int64_t step) {
  Tensor t(shape, dtype);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) {
      const T specials[] = {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                            std::numeric_limits<T>::quiet_NaN()};
      for (std::int64_t i = 0; i < t.size(); i++)
        t.data<T>()[i] = i % step == step - 1 ? specials[i / step % 3] : static_cast<T>(i % 5 - 2);
    }
  });
  return t;
}

TEST(ConvPadding, IsMultiplied) {
  const ConvAttrs ways[] = {{.low = {1, 2}, .high = {2, 0}},
                            {.strides = {2, 3}, .low = {1, 1}, .high = {0, 2}},
                            {.low = {2, 1}, .high = {2, 1}, .dilation = {2, 1}},
                            {.strides = {1, 2}, .low = {1, 0}, .groups = 2},
                            {.strides = {3, 1}, .low = {4, 1}, .high = {1, 3}}};
  for (DType dtype : {DType::f32, DType::f64})
    for (std::int64_t step : {7, 23})
      for (const ConvAttrs& attrs : ways) {
        Graph g("padding");
        const Shape image{2, 6, 7, 2}, window{3, 2, 2 / attrs.groups, 4};
        const Value x = g.input("x", {dtype, image}), k = g.input("k", {dtype, window});
        const Value special_k = constant(g, with_specials(window, dtype, step));
        const Value y = conv(x, special_k, attrs);
        const Value special_y = constant(g, with_specials(y.shape(), dtype, step));
        g.output("y", y);
        g.output("dx", conv_input_grad(y, k, image, attrs));
        g.output("dx of kernel", conv_input_grad(conv(x, k, attrs), special_k, image, attrs));
        g.output("dk", conv_kernel_grad(x, special_y, window, attrs));
        g.output("dk of x", conv_kernel_grad(constant(g, with_specials(image, dtype, step)),
                                             conv(x, k, attrs), window, attrs));
        expect_compiled_equals_interpreted(g);
      }
}

}  // namespace
}  // namespace kiln::codegen
