// Convolutions in Winograd's form. canonicalize makes them of conv, conv_input_grad and conv_kernel_grad,
// after gradients are derived, so they have none themselves.
//
// The kernel comes transformed: products of all its elements, so that an infinity or NaN in a kernel or in a
// tile of the input shows in all results of a tile, not only in those that it meets. Rounding likewise is
// relative to the largest elements of a tile.
#include "graph/ops/winograd.h"

#include <cstring>

#include "graph/ops/batch_last.h"
#include "graph/ops/loops.h"
#include "graph/ops/register.h"

namespace kiln::graph {
namespace winograd {

Matrix input_transform() {
  constexpr double sum = inner_squared + outer_squared;
  Matrix m{side, side, {1, 0, -sum, 0, 1, 0}};
  // The product of (x - q) over all points q but p and infinity, from the lowest power on.
  const auto row = [&](double p, double other_squared) {
    for (double e : {0.0, -p * other_squared, -other_squared, p, 1.0, 0.0}) m.elements.push_back(e);
  };
  row(inner, outer_squared);
  row(-inner, outer_squared);
  row(outer, inner_squared);
  row(-outer, inner_squared);
  for (double e : {0.0, 1.0, 0.0, -sum, 0.0, 1.0}) m.elements.push_back(e);
  return m;
}

namespace {

constexpr double points[] = {0, inner, -inner, outer, -outer};

/// point^power; 0^0 is 1.
double power(double point, std::int64_t exponent) {
  double result = 1;
  for (std::int64_t i = 0; i < exponent; i++) result *= point;
  return result;
}

}  // namespace

Matrix kernel_transform(std::int64_t window) {
  Matrix m{side, window, {}};
  for (double p : points) {
    double scale = 1;
    for (double q : points)
      if (q != p) scale *= p - q;
    for (std::int64_t i = 0; i < window; i++) m.elements.push_back(power(p, i) / scale);
  }
  for (std::int64_t i = 0; i < window; i++) m.elements.push_back(i == window - 1 ? 1 : 0);
  return m;
}

Matrix result_transform(std::int64_t window) {
  Matrix m{results(window), side, {}};
  for (std::int64_t i = 0; i < m.rows; i++) {
    for (double p : points) m.elements.push_back(power(p, i));
    m.elements.push_back(i == m.rows - 1 ? 1 : 0);
  }
  return m;
}

Matrix on_both_axes(const Matrix& m) {
  Matrix both{m.rows * m.rows, m.columns * m.columns, {}};
  for (std::int64_t i = 0; i < both.rows; i++)
    for (std::int64_t j = 0; j < both.columns; j++)
      both.elements.push_back(m.at(i / m.rows, j / m.columns) * m.at(i % m.rows, j % m.columns));
  return both;
}

Matrix transposed(const Matrix& m) {
  Matrix t{m.columns, m.rows, {}};
  for (std::int64_t i = 0; i < t.rows; i++)
    for (std::int64_t j = 0; j < t.columns; j++) t.elements.push_back(m.at(j, i));
  return t;
}

Tiles::Tiles(const Shape& x, const Ints& low, const Ints& high, std::int64_t window) : images(x[0]) {
  height = x[1] + low[0] + high[0] - window + 1;
  width = x[2] + low[1] + high[1] - window + 1;
  const std::int64_t n = results(window);
  down = (height + n - 1) / n;
  across = (width + n - 1) / n;
}

}  // namespace winograd

namespace {

using namespace winograd;

struct Sizes {
  Sizes(const Shape& x, const Attributes& a)
      : low(a.ints("low")),
        high(a.ints("high")),
        window(a.integer("window")),
        tiles(x, low, high, window),
        input(x) {}
  Ints low, high;
  std::int64_t window;
  Tiles tiles;
  Shape input;
};

/// The shape of the convolution's result for `filters` filters, all attributes checked.
Shape result_shape(const InferContext& c, const Shape& x, std::int64_t filters) {
  require_type<Floats>(c, 0);
  require_same_dtype(c, 0, 1);
  if (x.rank() != 4) shape_error(c, fmt::format("the input must be (N, H, W, C); got {}", x.to_string()));
  for (const char* name : {"low", "high"}) {
    const Ints& entries = c.attributes.ints(name);
    if (entries.size() != 2 || entries[0] < 0 || entries[1] < 0)
      shape_error(c, fmt::format("{} must be two sizes, 0 or more", name));
  }
  const std::int64_t window = c.attributes.integer("window");
  if (!has_transform(window))
    shape_error(c, fmt::format("there is no transform for {0}x{0} kernels", window));
  const Sizes s(x, c.attributes);
  if (s.tiles.height < 1 || s.tiles.width < 1)
    shape_error(c,
                fmt::format("the {0}x{0} kernel is larger than the padded input {1}", window, x.to_string()));
  return {x[0], s.tiles.height, s.tiles.width, filters};
}

std::vector<Type> infer_winograd_conv(const InferContext& c) {
  const bool last = c.attributes.flag("batch_last") && c.shape(0).rank() == 4;
  const Shape x = last ? batch_first(c.shape(0)) : c.shape(0), &kernel = c.shape(1);
  if (kernel.rank() != 3 || kernel[0] != positions || x.rank() != 4 || kernel[1] != x[3])
    shape_error(c,
                fmt::format("the transformed kernel must be (36, C, F) for input (N, H, W, C); got {} for {}",
                            kernel.to_string(), x.to_string()));
  const Shape y = result_shape(c, x, kernel[2]);
  return {{c.type(0).dtype, last ? batch_last(y) : y}};
}

std::vector<Type> infer_winograd_kernel_grad(const InferContext& c) {
  const Shape &x = c.shape(0), &dy = c.shape(1);
  const Shape y = result_shape(c, x, dy.rank() == 4 ? dy[3] : 0);
  if (dy != y)
    shape_error(c, fmt::format("dy must have the shape {} of the convolution's result; got {}", y.to_string(),
                               dy.to_string()));
  const std::int64_t parts = c.attributes.integer("parts");
  if (parts < 1) shape_error(c, fmt::format("parts must be 1 or more; got {}", parts));
  return {{c.type(0).dtype, Shape({parts, positions, x[3], dy[3]})}};
}

/// m s m^T for a square s (row-major).
template <class T>
std::vector<T> on_square(const Matrix& m, const std::vector<T>& s) {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  std::vector<T> half(at(m.rows * m.columns)), out(at(m.rows * m.rows));
  for (std::int64_t i = 0; i < m.rows; i++)
    for (std::int64_t j = 0; j < m.columns; j++)
      for (std::int64_t k = 0; k < m.columns; k++)
        half[at(i * m.columns + j)] += static_cast<T>(m.at(i, k)) * s[at(k * m.columns + j)];
  for (std::int64_t i = 0; i < m.rows; i++)
    for (std::int64_t j = 0; j < m.rows; j++)
      for (std::int64_t k = 0; k < m.columns; k++)
        out[at(i * m.rows + j)] += static_cast<T>(m.at(j, k)) * half[at(i * m.columns + k)];
  return out;
}

/// A tile of `edge` x `edge` elements of an image (N, H, W, C) whose first is (down, across); zeros outside.
template <class T>
std::vector<T> tile_of(const T* image, const Shape& shape, std::int64_t n, std::int64_t down,
                       std::int64_t across, std::int64_t channel, std::int64_t edge) {
  std::vector<T> tile;
  for (std::int64_t i = down; i < down + edge; i++)
    for (std::int64_t j = across; j < across + edge; j++) {
      const bool inside = i >= 0 && i < shape[1] && j >= 0 && j < shape[2];
      tile.push_back(inside ? image[((n * shape[1] + i) * shape[2] + j) * shape[3] + channel] : T{0});
    }
  return tile;
}

/// Calls f(number, image, row, column) for each tile; row and column are the tile's first result's.
template <class F>
void for_each_tile(const Sizes& s, F&& f) {
  const std::int64_t edge = results(s.window);
  std::int64_t number = 0;
  for (std::int64_t n = 0; n < s.tiles.images; n++)
    for (std::int64_t i = 0; i < s.tiles.down; i++)
      for (std::int64_t j = 0; j < s.tiles.across; j++) f(number++, n, i * edge, j * edge);
}

void evaluate_conv(const EvalContext& c, const Matrix& input, const Matrix& output) {
  const Sizes s(c.operands[0].shape(), c.node.attributes);
  const std::int64_t channels = s.input[3], filters = c.results[0].shape()[3], edge = results(s.window);
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.operands[0].data<T>(), *kernel = c.operands[1].data<T>();
    T* y = c.results[0].data<T>();
    for_each_tile(s, [&](std::int64_t, std::int64_t n, std::int64_t row, std::int64_t column) {
      std::vector<T> sums(static_cast<std::size_t>(positions * filters));
      for (std::int64_t channel = 0; channel < channels; channel++) {
        const auto d =
            on_square(input, tile_of(x, s.input, n, row - s.low[0], column - s.low[1], channel, side));
        for (std::int64_t p = 0; p < positions; p++)
          for (std::int64_t f = 0; f < filters; f++)
            sums[static_cast<std::size_t>(p * filters + f)] +=
                d[static_cast<std::size_t>(p)] * kernel[(p * channels + channel) * filters + f];
      }
      for (std::int64_t f = 0; f < filters; f++) {
        std::vector<T> square;
        for (std::int64_t p = 0; p < positions; p++)
          square.push_back(sums[static_cast<std::size_t>(p * filters + f)]);
        const auto tile = on_square(output, square);
        for (std::int64_t i = 0; i < edge && row + i < s.tiles.height; i++)
          for (std::int64_t j = 0; j < edge && column + j < s.tiles.width; j++)
            y[((n * s.tiles.height + row + i) * s.tiles.width + column + j) * filters + f] =
                tile[static_cast<std::size_t>(i * edge + j)];
      }
    });
  });
}

void evaluate_kernel_grad(const EvalContext& c, const Matrix& input, const Matrix& output) {
  const Sizes s(c.operands[0].shape(), c.node.attributes);
  const std::int64_t channels = s.input[3], filters = c.operands[1].shape()[3], edge = results(s.window);
  const std::int64_t length = part_length(s.tiles.count(), c.node.attributes.integer("parts"));
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.operands[0].data<T>(), *dy = c.operands[1].data<T>();
    T* sums = c.results[0].data<T>();
    for_each_tile(s, [&](std::int64_t number, std::int64_t n, std::int64_t row, std::int64_t column) {
      std::vector<std::vector<T>> errors;
      for (std::int64_t f = 0; f < filters; f++)
        errors.push_back(on_square(output, tile_of(dy, c.operands[1].shape(), n, row, column, f, edge)));
      for (std::int64_t channel = 0; channel < channels; channel++) {
        const auto d =
            on_square(input, tile_of(x, s.input, n, row - s.low[0], column - s.low[1], channel, side));
        for (std::int64_t p = 0; p < positions; p++)
          for (std::int64_t f = 0; f < filters; f++)
            sums[((number / length * positions + p) * channels + channel) * filters + f] +=
                d[static_cast<std::size_t>(p)] *
                errors[static_cast<std::size_t>(f)][static_cast<std::size_t>(p)];
      }
    });
  });
}

void evaluate_by_definition(const EvalContext& c) {
  winograd::evaluate(c, input_transform(), result_transform(c.node.attributes.integer("window")));
}

}  // namespace

void winograd::evaluate(const EvalContext& c, const Matrix& input, const Matrix& result) {
  if (c.node.op == Op::winograd_kernel_grad) return evaluate_kernel_grad(c, input, transposed(result));
  if (!c.node.attributes.flag("batch_last")) return evaluate_conv(c, input, result);
  const Tensor operands[] = {batch_first(c.operands[0]), c.operands[1]};
  Tensor results[] = {Tensor(batch_first(c.results[0].shape()), c.results[0].dtype())};
  evaluate_conv({c.node, operands, results}, input, result);
  const Tensor moved = batch_last(results[0]);
  std::memcpy(c.results[0].raw(), moved.raw(), moved.nbytes());
}

std::int64_t winograd::part_length(std::int64_t tiles, std::int64_t parts) {
  return (tiles + parts - 1) / parts;
}

Value winograd_conv(Value x, Value kernel, std::int64_t window, Ints low, Ints high, bool batch_last) {
  return emit(
      Op::winograd_conv, {x, kernel},
      {{"window", window}, {"low", std::move(low)}, {"high", std::move(high)}, {"batch_last", batch_last}});
}

Value winograd_kernel_grad(Value x, Value dy, std::int64_t window, Ints low, Ints high, std::int64_t parts) {
  return emit(Op::winograd_kernel_grad, {x, dy},
              {{"window", window}, {"low", std::move(low)}, {"high", std::move(high)}, {"parts", parts}});
}

void register_winograd_ops(Registry& registry) {
  const std::vector<AttrSpec> common = {
      {"window", AttrKind::integer}, {"low", AttrKind::ints}, {"high", AttrKind::ints}};
  std::vector<AttrSpec> with_parts = common, with_layout = common;
  with_layout.push_back({"batch_last", AttrKind::flag});
  with_parts.push_back({"parts", AttrKind::integer});
  registry.add({.op = Op::winograd_conv,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_layout,
                .infer = infer_winograd_conv,
                .gradient = nullptr,
                .evaluate = evaluate_by_definition});
  registry.add({.op = Op::winograd_kernel_grad,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_parts,
                .infer = infer_winograd_kernel_grad,
                .gradient = nullptr,
                .evaluate = evaluate_by_definition});
}

}  // namespace kiln::graph
