#include "tests/support/every_op.h"

#include "kiln/graph/ops.h"

namespace kiln::graph {

Graph every_op() {
  Graph g("every_op");
  const Value x = g.input("x", {DType::f32, {2, 6}});
  const Value indices = g.input("indices", {DType::i32, {3}});
  const Value image = g.input("image", {DType::f32, {2, 6, 5, 4}});
  const Value w = g.state("w", {DType::f32, {6, 3}});
  const Value key = g.state("key", {DType::i64, {2}});

  for (auto op : {neg, abs, sign, exp, expm1, log, log1p, sqrt, rsqrt, tanh, sigmoid, erf, sin, cos, floor,
                  ceil, round})
    g.output("unary", op(x));
  const Value finite = is_finite(x), counts = convert(x, DType::i32);
  const Value y = x * 0.5;
  for (auto op : {add, sub, mul, div, rem, pow, maximum, minimum}) g.output("binary", op(x, y));
  for (auto op : {bit_and, bit_or, bit_xor, shift_left, shift_right})
    g.output("bits", op(counts, counts + 1.0));
  g.output("select", select(logical_not(finite), x, y));
  g.output("stopped", stop_gradient(x));
  for (auto direction : {"eq", "ne", "lt", "le", "gt", "ge"}) g.output("compare", compare(x, y, direction));

  g.output("iota", x + iota(g, x.type(), 1));
  g.output("reshape", reshape(x, {3, 4}));
  g.output("transpose", transpose(x, {1, 0}));
  g.output("slice", slice(x, {0, 1}, {2, 6}, {1, 2}));
  g.output("pad", pad(x, scalar(x, -1), {1, 0}, {0, 2}, {3, 1}));
  const Value parts[] = {x, y, x};
  g.output("concatenate", concatenate(parts, 1));
  g.output("reverse", reverse(x, {0, 1}));

  for (auto op : {reduce_sum, reduce_max, reduce_min, reduce_prod}) g.output("reduce", op(x, {1}, false));
  g.output("argmax", argmax(x, 1));

  g.update(w, w - dot(x, dot(x, w, {}, {}, {1}, {0}), {}, {}, {0}, {0}));
  g.output("dot_panels", dot_panels(x, full(g, {DType::f32, {2, x.shape()[1], panel_columns}}, 0.5)));
  const ConvAttrs conv_attrs{
      .strides = {2, 1}, .low = {1, 0}, .high = {1, 2}, .dilation = {1, 2}, .groups = 2};
  const Value kernel = broadcast(slice(x, {0, 0}, {1, 2}), {3, 2, 2, 6}, {0, 1});
  const Value convolved = conv(image, kernel, conv_attrs);
  g.output("conv", convolved);
  g.output("conv_input_grad", conv_input_grad(convolved, kernel, image.shape(), conv_attrs));
  g.output("conv_kernel_grad", conv_kernel_grad(image, convolved, kernel.shape(), conv_attrs));
  // These have no padding: the passes that make them have written it out.
  const ConvAttrs unpadded{.strides = {2, 1}, .dilation = {1, 2}, .groups = 2};
  const Value inner = conv(image, kernel, unpadded);
  g.output("conv_kernel_sums", conv_kernel_sums(image, inner, kernel.shape(), unpadded, 2));
  const Value image_last = transpose(image, {1, 2, 3, 0});
  g.output("conv_batch_last", conv_batch_last(image_last, kernel, unpadded));

  const Value transformed = full(g, {DType::f32, {36, 4, 3}}, 0.5);
  const Value tiled = winograd_conv(image, transformed, 3, {1, 0}, {0, 1});
  g.output("winograd_conv", tiled);
  g.output("winograd_kernel_grad", winograd_kernel_grad(image, tiled, 3, {1, 0}, {0, 1}, 2));

  const WindowAttrs window{
      .window = {1, 2, 3, 1}, .strides = {1, 2, 1, 1}, .low = {0, 1, 0, 0}, .high = {0, 1, 1, 0}};
  const Value pooled = window_max(image, window);
  g.output("window_max", pooled);
  const Value places = window_argmax(image, window);
  g.output("window_argmax", places);
  g.output("window_max_grad", window_max_grad(places, pooled, image.shape(), window));
  g.output("window_max_pick", window_max_pick(places, image * 2.0, window));
  g.output("window_sum", window_sum(image, window));
  g.output("window_sum_grad", window_sum_grad(pooled, image.shape(), window));

  const Value rows = gather(w, indices, 0);
  g.output("gather", rows);
  g.output("scatter_add", scatter_add(w, indices, rows, 0));
  const Value along = take_along(x, broadcast_to(indices, {2, 3}), 1);
  g.output("take_along", along);
  g.output("put_along", put_along(along, broadcast_to(indices, {2, 3}), 1, 7));
  const Value starts = slice(indices, {0}, {2});
  const Value window_of_x = dynamic_slice(x, starts, {1, 4});
  g.output("dynamic_slice", window_of_x);
  g.output("dynamic_update_slice", dynamic_update_slice(x, window_of_x * 2.0, starts));

  g.output("cumsum", cumsum(x, 1, true, true));
  g.output("sort", sort(x, 1, true)[1]);
  g.output("top_k", top_k(x, 2)[0]);
  const Value bits = random_bits(key, {2, 6}, 3);
  g.output("random", bits);
  g.update(key, key + 1.0);
  LabelScope label(g, "labels of \"y\"");
  const Value winner = argmax(x, 1);
  check(compare(winner, scalar(winner, 4), "lt"), winner, "row {row}: {value} is out of range [0, 4)\n");
  return g;
}

}  // namespace kiln::graph
