#include "tests/support/random_graph_ops.h"

#include <algorithm>
#include <numeric>

#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

using B = RandomGraphBuilder;
using Values = std::vector<Value>;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

int some_axis(B& b, Value x) {
  return static_cast<int>(b.random.below(x.rank()));
}

Ints some_axes(B& b, int rank, double chance = 0.5) {
  Ints axes;
  for (int i = 0; i < rank; i++)
    if (b.random.chance(chance)) axes.push_back(i);
  return axes;
}

Ints permutation(B& b, int rank) {
  Ints p(at(rank));
  std::iota(p.begin(), p.end(), 0);
  for (std::size_t i = p.size(); i > 1; i--)
    std::swap(p[i - 1], p[at(b.random.below(static_cast<std::int64_t>(i)))]);
  return p;
}

Value indices(B& b, const Shape& shape, std::int64_t size) {  // some out of range
  return b.leaf(b.random.tensor(shape, -1, static_cast<double>(size) + 1,
                                b.random.chance(0.5) ? DType::i32 : DType::i64));
}

// ---- elementwise ------------------------------------------------------------------------------------------

Values any_real(B& b) {
  static constexpr Value (*ops[])(Value) = {exp, expm1, tanh, sigmoid, erf, sin, cos, floor, ceil, round};
  return {b.random.pick(ops)(b.any_float())};
}
Values positive_real(B& b) {
  static constexpr Value (*ops[])(Value) = {log, log1p, sqrt, rsqrt};
  const Value x = b.any_float();
  return {b.random.pick(ops)(abs(x) + b.random.uniform(0.05, 1))};
}
Values of_numbers(B& b) {
  static constexpr Value (*ops[])(Value) = {neg, abs, sign};
  return {b.random.pick(ops)(b.any_number())};
}
Values to_bool(B& b) {
  return {b.random.chance(0.5) ? is_finite(b.any_float()) : logical_not(convert(b.any(), DType::bool_))};
}
Values stopped(B& b) {
  return {stop_gradient(b.any())};
}
Values convert_any(B& b) {
  static constexpr DType types[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_};
  const DType type = b.random.pick(types);
  if (b.random.chance(0.3)) return {convert(b.fresh({b.random.pick(types), b.shape(0, 3)}), type)};
  return {
      convert(b.pick([=](Value v) { return v.dtype() != type; }, {b.number_type(), b.shape(0, 3)}), type)};
}
Values arithmetic(B& b) {
  static constexpr Value (*ops[])(Value, Value) = {add, sub, mul, maximum, minimum};
  const Value x = b.any_number();
  return {b.random.pick(ops)(x, b.broadcastable(x))};
}
Values with_scalar(B& b) {
  const Value x = b.any_float();
  const double v = b.random.uniform(-2, 2);
  switch (b.random.below(4)) {
    case 0:
      return {x + v};
    case 1:
      return {x * v};
    case 2:
      return {v - x};
    default:
      return {maximum(x, scalar(x, 0))};
  }
}
Values division(B& b) {
  const Value x = b.any_number();
  Value y = b.broadcastable(x);
  if (is_float(x.dtype())) y = abs(y) + 0.5;
  return {b.random.chance(0.5) ? div(x, y) : rem(x, y)};
}
Values power(B& b) {
  const Value x = b.any_float();
  if (b.random.chance(0.4)) return {pow(x, scalar(x, static_cast<double>(b.random.below(4))))};
  return {pow(abs(x) + 0.3, minimum(b.broadcastable(x), scalar(x, 2)))};
}
Values bits(B& b) {
  static constexpr Value (*ops[])(Value, Value) = {bit_and, bit_or, bit_xor};
  const Value x = b.pick([](Value v) { return !is_float(v.dtype()); },
                         {b.random.chance(0.3) ? DType::bool_ : DType::i32, b.shape(0, 3)});
  return {b.random.pick(ops)(x, b.broadcastable(x))};
}
Values shifts(B& b) {
  const Value x = b.pick([](Value v) { return is_integer(v.dtype()); }, {DType::i64, b.shape(0, 3)});
  const Value by = b.broadcastable(x);
  return {b.random.chance(0.5) ? shift_left(x, by) : shift_right(x, by)};
}
Values comparison(B& b) {
  static constexpr std::string_view directions[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  const Value x = b.any();
  return {compare(x, b.broadcastable(x), b.random.pick(directions))};
}
Values choice(B& b) {
  const Value x = b.any(), y = b.broadcastable(x);
  const Shape shape = x.shape();
  const Value pred =
      b.random.chance(0.5)
          ? compare(x, y, "lt")
          : b.pick([&](Value v) { return v.type() == Type{DType::bool_, shape}; }, {DType::bool_, shape});
  return {select(pred, x, y)};
}

// ---- movement ---------------------------------------------------------------------------------------------

Values broadcasting(B& b) {
  const Value x = b.pick([](Value v) { return v.rank() <= 3 && v.shape().elements() <= 2000; },
                         {b.number_type(), b.shape(0, 2, 300)});
  Shape shape;
  Ints dims;
  for (int i = 0; i <= x.rank(); i++) {
    if (b.random.chance(0.4) && shape.rank() < 4) shape.push_back(1 + b.random.below(5));
    if (i == x.rank()) break;
    dims.push_back(shape.rank());
    const std::int64_t n = x.shape()[at(i)];
    shape.push_back(n == 1 ? 1 + b.random.below(17) : n);
  }
  return {broadcast(x, shape, dims)};
}
Values reshaping(B& b) {
  const Value x = b.any(0, 4);
  Shape shape = x.shape();
  if (shape.rank() > 1 && b.random.chance(0.6)) {  // merge two neighbours
    const auto i = at(b.random.below(shape.rank() - 1));
    Ints sizes = shape.sizes();
    sizes[i] *= sizes[i + 1];
    sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return {reshape(x, Shape(sizes))};
  }
  Ints sizes;
  for (std::int64_t n : shape) {  // split the first size that can be
    std::int64_t factor = 1;
    if (sizes.size() == 0)
      for (std::int64_t k : {2, 3, 5})
        if (n > k && n % k == 0) factor = k;
    if (factor > 1) sizes.push_back(factor);
    sizes.push_back(n / factor);
  }
  if (static_cast<int>(sizes.size()) == shape.rank())
    sizes.insert(sizes.begin() + b.random.below(shape.rank() + 1), 1);
  return {reshape(x, Shape(sizes))};
}
Values transposition(B& b) {
  const Value x = b.any(2, 4);
  return {transpose(x, permutation(b, x.rank()))};
}
Values slicing(B& b) {
  const Value x = b.any(1, 4);
  Ints start, limit, stride;
  for (std::int64_t n : x.shape()) {
    start.push_back(b.random.chance(0.5) ? 0 : b.random.below(n));
    limit.push_back(b.random.chance(0.5) ? n : start.back() + 1 + b.random.below(n - start.back()));
    stride.push_back(b.random.chance(0.7) ? 1 : 1 + b.random.below(3));
  }
  return {slice(x, start, limit, stride)};
}
Values padding(B& b) {
  const Value x = b.any(1, 4);
  const Value value =
      b.pick([&](Value v) { return v.rank() == 0 && v.dtype() == x.dtype(); }, {x.dtype(), {}});
  Ints low, high, interior;
  for (int i = 0; i < x.rank(); i++) {
    low.push_back(b.random.below(3));
    high.push_back(b.random.below(3));
    interior.push_back(b.random.chance(0.8) ? 0 : b.random.below(3));
  }
  return {pad(x, value, low, high, interior)};
}
Values concatenation(B& b) {
  const Value x = b.any(1, 4);
  const int axis = some_axis(b, x);
  Values parts = {x};
  for (std::int64_t n = b.random.below(3); n > 0; n--) {
    Shape shape = x.shape();
    shape[at(axis)] = 1 + b.random.below(9);
    const auto fits = [&](Value v) {
      if (v.rank() != x.rank() || v.dtype() != x.dtype()) return false;
      for (int i = 0; i < x.rank(); i++)
        if (i != axis && v.shape()[at(i)] != x.shape()[at(i)]) return false;
      return true;
    };
    parts.push_back(b.pick(fits, {x.dtype(), shape}));
  }
  return {concatenate(parts, axis)};
}
Values reversal(B& b) {
  const Value x = b.any(1, 4);
  return {reverse(x, some_axes(b, x.rank(), 0.6))};
}
Values counting(B& b) {
  const Shape shape = b.shape(1, 3, 500);
  return {iota(b.graph(), {b.number_type(), shape}, static_cast<int>(b.random.below(shape.rank())))};
}

// ---- reductions and order ---------------------------------------------------------------------------------

Values reduction(B& b) {
  static constexpr Value (*ops[])(Value, Ints, bool) = {reduce_sum, reduce_max, reduce_min, reduce_mean};
  const auto op = b.random.pick(ops);
  const Value x = op == reduce_mean ? b.any_float(1, 4) : b.any_number(1, 4);
  return {op(x, some_axes(b, x.rank()), b.random.chance(0.3))};
}
Values product(B& b) {  // of numbers about 1, or it leaves the range
  const Value x = b.any_number(1, 4);
  if (!is_float(x.dtype())) return {reduce_prod(x, some_axes(b, x.rank()))};
  return {reduce_prod(1.0 + 0.05 * tanh(x), some_axes(b, x.rank()))};
}
Values position(B& b) {
  const Value x = b.any_number(1, 4);
  return {argmax(x, some_axis(b, x))};
}
Values running_sum(B& b) {
  const Value x = b.any_number(1, 4);
  return {cumsum(x, some_axis(b, x), b.random.chance(0.5), b.random.chance(0.5))};
}
Values sorting(B& b) {
  const Value x = b.any(1, 4);
  return sort(x, some_axis(b, x), b.random.chance(0.5));
}
Values best(B& b) {
  const Value x = b.any(1, 4);
  return top_k(x, 1 + b.random.below(std::min<std::int64_t>(x.shape().back(), 20)));
}

// ---- products ---------------------------------------------------------------------------------------------

Values any_dot(B& b) {
  const Value x = b.any_float(1, 4);
  Ints lhs_batch, lhs_contract;
  Shape shape;  // of the other side: batch, contracted, free; shuffled below
  for (int axis = 0; axis < x.rank(); axis++) {
    const double choice = b.random.uniform();
    if (choice < 0.2 && x.rank() > 1) lhs_batch.push_back(axis);
    if (choice > 0.55) lhs_contract.push_back(axis);
  }
  for (std::int64_t axis : lhs_batch) shape.push_back(x.shape()[at(axis)]);
  for (std::int64_t axis : lhs_contract) shape.push_back(x.shape()[at(axis)]);
  if (b.random.chance(0.8)) shape.push_back(b.shape(1, 1, 70)[0]);
  const Ints order = permutation(b, shape.rank());
  Shape shuffled = shape;
  Ints place(order.size());
  for (std::size_t i = 0; i < order.size(); i++) {
    shuffled[at(order[i])] = shape[i];
    place[i] = order[i];
  }
  const auto split = place.begin() + static_cast<std::ptrdiff_t>(lhs_batch.size());
  const Ints rhs_batch(place.begin(), split),
      rhs_contract(split, split + static_cast<std::ptrdiff_t>(lhs_contract.size()));
  if (x.shape().elements() * shuffled.elements() > 4000000 || shuffled.elements() > 40000) return {};
  const Value y =
      b.pick([&](Value v) { return v.dtype() == x.dtype() && v.shape() == shuffled; }, {x.dtype(), shuffled});
  if (b.random.chance(0.3)) return {dot(y, x, rhs_batch, lhs_batch, rhs_contract, lhs_contract)};
  return {dot(x, y, lhs_batch, rhs_batch, lhs_contract, rhs_contract)};
}
Values matrix_product(B& b) {
  const Value x = b.any_float(2, 3);
  const Shape shape = {x.shape().back(), b.shape(1, 1, 140)[0]};
  if (x.shape().elements() * shape[1] > 4000000) return {};
  return {matmul(
      x, b.pick([&](Value v) { return v.dtype() == x.dtype() && v.shape() == shape; }, {x.dtype(), shape}))};
}

struct Convolution {
  Value x, kernel;
  ConvAttrs attrs;
  bool valid = true;
};
Convolution image_by_square_kernel(B& b) {
  Convolution c;
  c.attrs = {.low = {b.random.below(4), b.random.below(4)}, .high = {b.random.below(4), b.random.below(4)}};
  c.attrs.strides = c.attrs.dilation = {1, 1};
  const std::int64_t window = b.random.chance(0.5) ? 3 : 5;
  c.x = b.any_float(4, 4);
  if (c.x.shape()[1] < window || c.x.shape()[2] < window || b.random.chance(0.5)) {
    static constexpr std::int64_t channels[] = {1, 2, 4, 8, 16, 17, 32};
    const auto side = [&] { return window + b.random.below(12); };
    c.x = b.fresh({b.float_type(), {1 + b.random.below(3), side(), side(), b.random.pick(channels)}});
  }
  static constexpr std::int64_t filters[] = {1, 4, 7, 16, 33};
  const Shape kernel{window, window, c.x.shape()[3], b.random.pick(filters)};
  c.kernel =
      b.pick([&](Value v) { return v.dtype() == c.x.dtype() && v.shape() == kernel; }, {c.x.dtype(), kernel});
  return c;
}
Convolution any_convolution(B& b) {
  if (b.options().images && b.random.chance(0.8)) return image_by_square_kernel(b);
  Convolution c;
  const int axes = 1 + static_cast<int>(b.random.below(3));
  const Value pooled = b.any_float(axes + 2, axes + 2);
  c.attrs.groups = 1 + b.random.below(3);
  Shape image = pooled.shape();
  if (image.back() % c.attrs.groups != 0 || image.elements() > 6000 || b.random.chance(0.3)) {
    image = {1 + b.random.below(3)};
    for (int i = 0; i < axes; i++) image.push_back(1 + b.random.below(axes == 1 ? 40 : axes == 2 ? 13 : 6));
    static constexpr std::int64_t channels[] = {1, 2, 3, 5, 8, 16, 17};
    image.push_back(c.attrs.groups * b.random.pick(channels));
  }
  c.x = image == pooled.shape() ? pooled : b.fresh({pooled.dtype(), image});
  Shape kernel;
  for (int i = 0; i < axes; i++) {
    c.attrs.strides.push_back(1 + b.random.below(b.random.chance(0.5) ? 1 : 3));
    c.attrs.dilation.push_back(1 + b.random.below(b.random.chance(0.7) ? 1 : 3));
    c.attrs.low.push_back(b.random.below(b.random.chance(0.5) ? 1 : 3));
    c.attrs.high.push_back(b.random.below(b.random.chance(0.5) ? 1 : 3));
    const std::int64_t padded = image[at(i + 1)] + c.attrs.low.back() + c.attrs.high.back();
    kernel.push_back(1 + b.random.below(5));
    if ((kernel.back() - 1) * c.attrs.dilation.back() + 1 > padded) kernel[at(i)] = 1;
  }
  static constexpr std::int64_t filters[] = {1, 2, 3, 7, 16, 17, 33};
  kernel.push_back(image.back() / c.attrs.groups);
  kernel.push_back(c.attrs.groups * b.random.pick(filters));
  c.kernel =
      b.pick([&](Value v) { return v.dtype() == c.x.dtype() && v.shape() == kernel; }, {c.x.dtype(), kernel});
  c.valid = image.elements() * kernel.elements() < 3000000;
  return c;
}
Values convolution(B& b) {
  const Convolution c = any_convolution(b);
  if (!c.valid) return {};
  return {conv(c.x, c.kernel, c.attrs)};
}
Values convolution_gradients(B& b) {
  const Convolution c = any_convolution(b);
  if (!c.valid) return {};
  const Value y = conv(c.x, c.kernel, c.attrs);  // for its type; not needed otherwise
  const Value dy = b.like(y);
  if (b.random.chance(0.5)) return {conv_input_grad(dy, c.kernel, c.x.shape(), c.attrs)};
  return {conv_kernel_grad(c.x, dy, c.kernel.shape(), c.attrs)};
}

// Products of one value by several matrices or kernels, some with a bias and relu, and what they make side by
// side: the heads of a network, or the branches of a block.
Values branches(B& b) {
  const bool images = b.random.chance(0.5);
  const Value x = images ? b.any_float(4, 4) : b.any_float(2, 2);
  static constexpr std::int64_t columns[] = {1, 3, 4, 8, 10, 16, 17, 24, 33};
  const std::int64_t channels = x.shape().back(), window = images && b.random.chance(0.3) ? 3 : 1;
  if (x.shape().elements() * channels * window > 20000 || x.shape().elements() == 0) return {};
  const bool biased = b.random.chance(0.6), clipped = b.random.chance(0.6), alike = b.random.chance(0.7);
  Values all;
  for (std::int64_t n = 2 + b.random.below(3); n > 0; n--) {
    const std::int64_t width = b.random.pick(columns);
    const auto chosen = [&](bool for_all) { return alike ? for_all : b.random.chance(0.5); };
    Value y;
    if (images) {
      const ConvAttrs attrs{.low = {window / 2, window / 2}, .high = {window / 2, window / 2}};
      y = conv(x, b.fresh({x.dtype(), {window, window, channels, width}}), attrs);
    } else {
      y = matmul(x, b.fresh({x.dtype(), {channels, width}}));
    }
    if (chosen(biased)) y = y + b.fresh({x.dtype(), {width}});
    if (chosen(clipped)) y = maximum(y, scalar(y, 0));
    all.push_back(y);
  }
  if (b.random.chance(0.3)) return all;
  const Value side_by_side = concatenate(all, x.rank() - 1);
  if (b.random.chance(0.7)) return {side_by_side};
  return {all[0], side_by_side};
}

// ---- windows ----------------------------------------------------------------------------------------------

WindowAttrs any_window(B& b, const Shape& shape) {
  WindowAttrs a;
  for (std::int64_t n : shape) {
    const std::int64_t window = b.random.chance(0.4) ? 1 : 1 + b.random.below(std::min<std::int64_t>(n, 4));
    a.window.push_back(window);
    a.strides.push_back(window == 1 ? 1 : b.random.chance(0.4) ? window : 1 + b.random.below(4));
    a.low.push_back(b.random.chance(0.5) ? 0 : b.random.below(window));
    a.high.push_back(b.random.chance(0.5) ? 0 : b.random.below(window));
  }
  return a;
}
Values windows(B& b) {
  const Value x = b.any_number(1, 4);
  const WindowAttrs a = any_window(b, x.shape());
  switch (b.random.below(4)) {
    case 0:
      return {window_max(x, a)};
    case 1:
      return {window_argmax(x, a)};
    case 2:
      return {window_max(x, a), window_argmax(x, a)};
    default:
      return {window_sum(x, a)};
  }
}
Values window_gradients(B& b) {
  const Value x = b.any_number(1, 4);
  const WindowAttrs a = any_window(b, x.shape());
  switch (b.random.below(3)) {
    case 0:
      return {window_sum_grad(b.like(window_sum(x, a)), x.shape(), a)};
    case 1: {
      const Value y = window_max(x, a);
      return {window_max_grad(window_argmax(x, a), b.like(y), x.shape(), a), y};
    }
    default:
      return {window_max_pick(window_argmax(x, a), b.like(x), a)};
  }
}

// ---- indexing ---------------------------------------------------------------------------------------------

Values rows(B& b) {
  const Value x = b.any_number(1, 4);
  const int axis = some_axis(b, x);
  const Shape which = b.random.chance(0.7) ? b.shape(1, 1, 40) : b.shape(0, 2, 20);
  if (x.shape().elements() / std::max<std::int64_t>(x.shape()[at(axis)], 1) * which.elements() > 40000 ||
      x.rank() - 1 + which.rank() > 5)
    return {};
  const Value at_rows = indices(b, which, x.shape()[at(axis)]);
  const Value picked = gather(x, at_rows, axis);
  if (b.random.chance(0.5)) return {picked};
  return {scatter_add(x, at_rows, b.like(picked), axis)};
}
Values along(B& b) {
  const Value x = b.any_number(1, 4);
  const int axis = some_axis(b, x);
  Shape shape = x.shape();
  shape[at(axis)] = 1 + b.random.below(5);
  const Value where = indices(b, shape, x.shape()[at(axis)]);
  const Value taken = take_along(x, where, axis);
  if (b.random.chance(0.5)) return {taken};
  return {put_along(b.like(taken), where, axis, x.shape()[at(axis)])};
}
Values moving_part(B& b) {
  const Value x = b.any(1, 4);
  Ints sizes;
  for (std::int64_t n : x.shape()) sizes.push_back(1 + b.random.below(n));
  const Value starts = indices(b, {x.rank()}, 6);
  const Value part = dynamic_slice(x, starts, sizes);
  if (b.random.chance(0.5)) return {part};
  return {dynamic_update_slice(x, b.like(part), starts)};
}

// ---- the rest ---------------------------------------------------------------------------------------------

Values random_numbers(B& b) {
  const Value key = b.leaf(Tensor({std::int64_t{b.random.word()}, b.random.below(1000)}));
  const Shape shape = b.shape(0, 3);
  const std::int64_t stream = b.random.below(100);
  if (b.random.chance(0.5)) return {random_bits(key, shape, stream)};
  return {random_uniform(key, shape, stream, b.float_type())};
}
Values fill(B& b) {
  return {full(b.graph(), {b.number_type(), b.shape(0, 3)}, static_cast<double>(b.random.below(5)))};
}

// Holds always; the value is one of the pool's.
Values assertion(B& b) {
  const Value value = b.any_number(1, 1);
  const Value ok = logical_not(compare(value, value, "lt"));
  check(ok, value, "row {row} is {value}");
  return {ok};
}

}  // namespace

const std::vector<RandomOp>& image_ops() {
  static const std::vector<RandomOp> ops = {convolution, convolution_gradients};
  return ops;
}

const std::vector<RandomOp>& random_ops() {
  static const std::vector<RandomOp> ops = {any_real,
                                            any_real,
                                            any_real,
                                            positive_real,
                                            of_numbers,
                                            to_bool,
                                            stopped,
                                            convert_any,
                                            arithmetic,
                                            arithmetic,
                                            arithmetic,
                                            with_scalar,
                                            with_scalar,
                                            division,
                                            power,
                                            bits,
                                            shifts,
                                            comparison,
                                            choice,
                                            broadcasting,
                                            reshaping,
                                            transposition,
                                            slicing,
                                            padding,
                                            concatenation,
                                            reversal,
                                            counting,
                                            reduction,
                                            reduction,
                                            product,
                                            position,
                                            running_sum,
                                            sorting,
                                            best,
                                            any_dot,
                                            matrix_product,
                                            convolution,
                                            convolution_gradients,
                                            branches,
                                            windows,
                                            window_gradients,
                                            rows,
                                            along,
                                            moving_part,
                                            random_numbers,
                                            fill,
                                            assertion};
  return ops;
}

}  // namespace kiln::graph
