#include "evaluate.h"

// A linear map L and its transpose T satisfy <L x, y> = <x, T y> for all x and y. Reads, sums and products
// that are written as pairs of ops (or three, for the trilinear convolution) must do so for every shape and
// attribute, whatever the gradient tests happen to cover. Elements are multiples of 1/8 and small, so all
// sums are exact and the two sides must be equal to the last bit.
namespace kiln::graph::testing {
namespace {

Tensor eighths(Draw& draw, Shape shape) {
  Tensor t(std::move(shape), DType::f64);
  for (std::int64_t i = 0; i < t.size(); i++) t.data<double>()[i] = static_cast<double>(draw(-16, 16)) / 8;
  return t;
}

constexpr int shapes = 200;

TEST(Identities, ConvolutionsAreOneTrilinearForm) {
  for_seeds(shapes, [](Draw& draw) {
    const auto axes = static_cast<int>(draw(1, 3));
    ConvAttrs attrs{.groups = draw(1, 3)};
    const std::int64_t channels = draw(1, 4), filters = draw(1, 4);
    Shape x_shape{draw(1, 3)}, k_shape;
    for (int axis = 0; axis < axes; axis++) {
      const std::int64_t window = draw(1, 4), dilation = draw(1, 3), low = draw(0, 4), high = draw(0, 4);
      attrs.strides.push_back(draw(1, 4));
      attrs.dilation.push_back(dilation);
      attrs.low.push_back(low);
      attrs.high.push_back(high);
      x_shape.push_back(std::max<std::int64_t>(1, (window - 1) * dilation + 1 - low - high) + draw(0, 6));
      k_shape.push_back(window);
    }
    x_shape.push_back(channels * attrs.groups);
    k_shape.push_back(channels);
    k_shape.push_back(filters * attrs.groups);

    Expression e;
    const Tensor x_value = eighths(draw, x_shape), k_value = eighths(draw, k_shape);
    const Value x = e.input(x_value), k = e.input(k_value), product = conv(x, k, attrs);
    const Tensor y_value = eighths(draw, product.shape());
    const Value y = e.input(y_value);
    const double form = inner(e.evaluate(product), y_value);
    EXPECT_EQ(inner(x_value, e.evaluate(conv_input_grad(y, k, x_shape, attrs))), form);
    EXPECT_EQ(inner(k_value, e.evaluate(conv_kernel_grad(x, y, k_shape, attrs))), form);
  });
}

WindowAttrs random_windows(Draw& draw, int rank, Shape& shape) {
  WindowAttrs attrs{};
  for (int axis = 0; axis < rank; axis++) {
    attrs.window.push_back(draw(1, 4));
    attrs.strides.push_back(draw(1, 4));
    attrs.low.push_back(draw(0, 3));
    attrs.high.push_back(draw(0, 3));
    const std::int64_t least = attrs.window.back() - attrs.low.back() - attrs.high.back();
    shape.push_back(std::max<std::int64_t>(1, least) + draw(0, 4));
  }
  return attrs;
}

TEST(Identities, WindowSumAndItsGradient) {
  for_seeds(shapes, [](Draw& draw) {
    Shape shape;
    const WindowAttrs attrs = random_windows(draw, static_cast<int>(draw(1, 4)), shape);
    Expression e;
    const Tensor x_value = eighths(draw, shape);
    const Value sums = window_sum(e.input(x_value), attrs);
    const Tensor y_value = eighths(draw, sums.shape());
    EXPECT_EQ(inner(e.evaluate(sums), y_value),
              inner(x_value, e.evaluate(window_sum_grad(e.input(y_value), shape, attrs))));
  });
}

TEST(Identities, WindowMaxPickAndItsGradient) {
  for_seeds(shapes, [](Draw& draw) {
    Shape shape;
    const WindowAttrs attrs = random_windows(draw, static_cast<int>(draw(1, 4)), shape);
    Expression e;
    Tensor x_value = eighths(draw, shape);  // 33 different values: plenty of ties
    if (draw(0, 1)) x_value.data<double>()[0] = nan;
    const Value x = e.input(x_value);
    const Tensor v_value = eighths(draw, shape);
    const Value picked = window_max_pick(window_argmax(x, attrs), e.input(v_value), attrs);
    const Tensor y_value = eighths(draw, picked.shape());
    EXPECT_EQ(inner(e.evaluate(picked), y_value),
              inner(v_value, e.evaluate(window_max_grad(window_argmax(x, attrs), e.input(y_value), x.shape(),
                                                        attrs))));
  });
}

Shape random_shape(Draw& draw, int rank) {
  Shape shape;
  for (int axis = 0; axis < rank; axis++) shape.push_back(draw(1, 5));
  return shape;
}

// scatter_add drops what gather clamps: transposes only for indices in range.
TEST(Identities, GatherAndScatterAdd) {
  for_seeds(shapes, [](Draw& draw) {
    const auto rank = static_cast<int>(draw(1, 4)), axis = static_cast<int>(draw(0, rank - 1));
    const Shape shape = random_shape(draw, rank);
    Expression e;
    const Tensor x_value = eighths(draw, shape);
    const Value i =
        e.input(draw.indices(random_shape(draw, static_cast<int>(draw(0, 2))), 0, shape.dim(axis) - 1));
    const Value rows = gather(e.input(x_value), i, axis);
    const Tensor y_value = eighths(draw, rows.shape());
    const Value zeros = e.input(Tensor(shape, DType::f64));
    EXPECT_EQ(inner(e.evaluate(rows), y_value),
              inner(x_value, e.evaluate(scatter_add(zeros, i, e.input(y_value), axis))));
  });
}

// Both clamp: transposes for any index.
TEST(Identities, TakeAlongAndPutAlong) {
  for_seeds(shapes, [](Draw& draw) {
    const auto rank = static_cast<int>(draw(1, 4)), axis = static_cast<int>(draw(0, rank - 1));
    const Shape shape = random_shape(draw, rank);
    Shape taken = shape;
    taken[static_cast<std::size_t>(axis)] = draw(1, 7);
    Expression e;
    const Tensor x_value = eighths(draw, shape), y_value = eighths(draw, taken);
    const Value i = e.input(draw.indices(taken, -2, shape.dim(axis) + 1));
    EXPECT_EQ(inner(e.evaluate(take_along(e.input(x_value), i, axis)), y_value),
              inner(x_value, e.evaluate(put_along(e.input(y_value), i, axis, shape.dim(axis)))));
  });
}

TEST(Identities, DynamicSliceAndItsUpdate) {
  for_seeds(shapes, [](Draw& draw) {
    const auto rank = static_cast<int>(draw(0, 4));
    const Shape shape = random_shape(draw, rank);
    Shape part;
    for (std::int64_t n : shape) part.push_back(draw(1, n));
    Expression e;
    const Tensor x_value = eighths(draw, shape), y_value = eighths(draw, part);
    const Value starts = e.input(draw.indices({rank}, -2, 6)), zeros = e.input(Tensor(shape, DType::f64));
    EXPECT_EQ(inner(e.evaluate(dynamic_slice(e.input(x_value), starts, part.sizes())), y_value),
              inner(x_value, e.evaluate(dynamic_update_slice(zeros, e.input(y_value), starts))));
  });
}

TEST(Identities, CumsumAndItsReverse) {
  for_seeds(shapes, [](Draw& draw) {
    const auto rank = static_cast<int>(draw(1, 3)), axis = static_cast<int>(draw(0, rank - 1));
    const bool exclusive = draw(0, 1), reverse = draw(0, 1);
    Expression e;
    const Tensor x_value = eighths(draw, random_shape(draw, rank)), y_value = eighths(draw, x_value.shape());
    EXPECT_EQ(inner(e.evaluate(cumsum(e.input(x_value), axis, exclusive, reverse)), y_value),
              inner(x_value, e.evaluate(cumsum(e.input(y_value), axis, exclusive, !reverse))));
  });
}

}  // namespace
}  // namespace kiln::graph::testing
