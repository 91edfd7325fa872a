#include "graph/ops/conv.h"

#include <array>

#include "graph/ops/loops.h"
#include "graph/ops/register.h"
#include "graph/ops/sliding.h"

// The three convolutions are the partial derivatives of one trilinear form
//   sum over n, o, k, c, f of  x[n, o * stride + k * dilation - low, c] kernel[k, c, f] y[n, o, f],
// so each one's gradients are the other two.
//
// Padding is zeros that are multiplied like any element: a NaN or infinity in the kernel (for
// conv_kernel_grad: in dy) meets them, and 0 * inf = NaN shows at the border. By the same rule
// conv_input_grad is the convolution of dy with the reversed kernel: an element of dx meets a tap, and a zero
// where no element of dy lies under it beyond the border. Taps that lie between the steps of a stride meet
// nothing (each phase of dx is a convolution by its own taps), unless the kernel is dilated or the stride
// long: then zeros stand between the steps (has_phases). So it is wherever padding is written out: in the
// patches that Eigen and TensorFlow make, and in our kernels, which find it in memory (canonicalize.cpp) and
// know no borders. To leave those products out would cost every kernel a test or a second form, for results
// that are lost anyway (oneDNN's direct kernels do it, so Keras's users have seen both). Where all numbers
// are finite there is no difference: sums begin at +0, to which a product with zero adds nothing.

namespace kiln::graph {
namespace {

Ints spatial_sizes(const Shape& shape, std::size_t first, std::size_t count) {
  return Ints(shape.begin() + static_cast<std::ptrdiff_t>(first),
              shape.begin() + static_cast<std::ptrdiff_t>(first + count));
}

std::vector<Slide> conv_slides(const Shape& x, const Shape& kernel, const ConvAttrs& a) {
  const std::size_t axes = x.sizes().size() - 2;
  return make_slides(spatial_sizes(x, 1, axes), spatial_sizes(kernel, 0, axes), a.strides, a.low, a.high,
                     a.dilation);
}

void check_types(const InferContext& c) {
  require_type<Floats>(c, 0);
  require_same_dtype(c, 0, 1);
}

std::vector<Type> infer_conv(const InferContext& c) {
  check_types(c);
  return {{c.type(0).dtype, conv_shape(c, c.shape(0), c.shape(1))}};
}

std::vector<Type> infer_conv_input_grad(const InferContext& c) {
  check_types(c);
  const Shape input(c.attributes.ints("input"));
  const Shape y = conv_shape(c, input, c.shape(1));
  if (c.shape(0) != y)
    shape_error(c, fmt::format("dy must have the shape {} of the convolution's result; got {}", y.to_string(),
                               c.shape(0).to_string()));
  return {{c.type(0).dtype, input}};
}

std::vector<Type> infer_conv_kernel_grad(const InferContext& c) {
  check_types(c);
  const Shape kernel(c.attributes.ints("kernel"));
  const Shape y = conv_shape(c, c.shape(0), kernel);
  if (c.shape(1) != y)
    shape_error(c, fmt::format("dy must have the shape {} of the convolution's result; got {}", y.to_string(),
                               c.shape(1).to_string()));
  return {{c.type(0).dtype, kernel}};
}

std::vector<Value> gradient_conv(const GradientContext& c) {
  const Value x = c.operand(0), kernel = c.operand(1);
  const ConvAttrs attrs = conv_attrs(c.node.attributes);
  return {conv_input_grad(c.dy(), kernel, x.shape(), attrs),
          conv_kernel_grad(x, c.dy(), kernel.shape(), attrs)};
}

std::vector<Value> gradient_conv_input_grad(const GradientContext& c) {
  const Value y = c.operand(0), kernel = c.operand(1);
  const ConvAttrs attrs = conv_attrs(c.node.attributes);
  return {conv(c.dy(), kernel, attrs), conv_kernel_grad(c.dy(), y, kernel.shape(), attrs)};
}

std::vector<Value> gradient_conv_kernel_grad(const GradientContext& c) {
  const Value x = c.operand(0), y = c.operand(1);
  const ConvAttrs attrs = conv_attrs(c.node.attributes);
  return {conv_input_grad(y, c.dy(), x.shape(), attrs), conv(x, c.dy(), attrs)};
}

/// Sizes of a convolution with exactly three spatial axes: missing ones lead, with size 1.
struct Sizes {
  std::int64_t batch, groups, channels, filters;  // channels and filters of one group
  std::array<Slide, 3> axes;
};

std::int64_t product(const std::array<std::int64_t, 3>& box) {
  return box[0] * box[1] * box[2];
}

Sizes sizes(const Shape& x, const Shape& kernel, const ConvAttrs& attrs) {
  Sizes s{x[0], attrs.groups, x.back() / attrs.groups, kernel.back() / attrs.groups, {}};
  const std::vector<Slide> slides = conv_slides(x, kernel, attrs);
  std::copy(slides.begin(), slides.end(), s.axes.end() - static_cast<std::ptrdiff_t>(slides.size()));
  return s;
}

/// No element: padding, or where no window lies.
constexpr std::int64_t none = -1;

/// Position (a, b, c) of a box, counted row-major; none if one of the three is.
std::int64_t row_major(std::array<std::int64_t, 3> at, std::array<std::int64_t, 3> box) {
  for (std::size_t i = 0; i < 3; i++)
    if (at[i] < 0 || at[i] >= box[i]) return none;
  return (at[0] * box[1] + at[1]) * box[2] + at[2];
}

template <class Member>
std::array<std::int64_t, 3> each_axis(const Sizes& s, Member member) {
  return {member(s.axes[0]), member(s.axes[1]), member(s.axes[2])};
}

/// Calls f(i, {a, b, c}) for all positions of a box, row-major.
template <class F>
void for_each_position(const std::array<std::int64_t, 3>& box, F&& f) {
  std::int64_t i = 0;
  for (std::int64_t a = 0; a < box[0]; a++)
    for (std::int64_t b = 0; b < box[1]; b++)
      for (std::int64_t c = 0; c < box[2]; c++) f(i++, std::array{a, b, c});
}

/// Calls f(x element, kernel element, y element) for the products of one tap, each group's filters innermost.
/// `input` and `output` are positions in all images; where one is `none`, so is its element.
template <class F>
void for_each_product_of_tap(const Sizes& s, std::int64_t input, std::int64_t output, std::int64_t tap,
                             F&& f) {
  for (std::int64_t g = 0; g < s.groups; g++)
    for (std::int64_t c = 0; c < s.channels; c++) {
      const std::int64_t x = input == none ? none : (input * s.groups + g) * s.channels + c;
      const std::int64_t k = ((tap * s.channels + c) * s.groups + g) * s.filters;
      const std::int64_t y = output == none ? none : (output * s.groups + g) * s.filters;
      for (std::int64_t filter = 0; filter < s.filters; filter++)
        f(x, k + filter, y == none ? none : y + filter);
    }
}

/// Calls f(x element or none, kernel element, y element) for the products of all windows, padding included.
/// Every element of y and of the kernel meets its products in the order of output position, tap, channel: the
/// order in which the reference adds.
template <class F>
void for_each_product(const Sizes& s, F&& f) {
  const auto inputs = each_axis(s, [](const Slide& a) { return a.input; });
  const auto outputs = each_axis(s, [](const Slide& a) { return a.output(); });
  const auto taps = each_axis(s, [](const Slide& a) { return a.window; });
  for (std::int64_t n = 0; n < s.batch; n++)
    for_each_position(outputs, [&](std::int64_t output, const auto& o) {
      for_each_position(taps, [&](std::int64_t tap, const auto& k) {
        std::array<std::int64_t, 3> i;
        for (std::size_t axis = 0; axis < 3; axis++) i[axis] = s.axes[axis].position(o[axis], k[axis]);
        const std::int64_t input = row_major(i, inputs);
        for_each_product_of_tap(s, input == none ? none : n * product(inputs) + input,
                                n * product(outputs) + output, tap, f);
      });
    });
}

/// Calls f(x element, kernel element, y element or none) for all taps of the reversed kernel on all of x;
/// with `phases` (has_phases), not for those between the steps of a stride. Every element of x meets its
/// products in the order of output position, filter.
template <class F>
void for_each_reversed_product(const Sizes& s, bool phases, F&& f) {
  const auto inputs = each_axis(s, [](const Slide& a) { return a.input; });
  const auto outputs = each_axis(s, [](const Slide& a) { return a.output(); });
  const auto taps = each_axis(s, [](const Slide& a) { return a.window; });
  const std::int64_t last = product(taps) - 1;
  for (std::int64_t n = 0; n < s.batch; n++)
    for_each_position(inputs, [&](std::int64_t input, const auto& i) {
      for_each_position(taps, [&](std::int64_t reversed, const auto& k) {
        std::array<std::int64_t, 3> o;
        for (std::size_t axis = 0; axis < 3; axis++) {
          const Slide& a = s.axes[axis];
          const std::int64_t steps = i[axis] - a.position(0, taps[axis] - 1 - k[axis]);
          if (steps % a.stride != 0 && phases) return;
          o[axis] = steps % a.stride == 0 ? steps / a.stride : none;
        }
        const std::int64_t output = row_major(o, outputs);
        for_each_product_of_tap(s, n * product(inputs) + input,
                                output == none ? none : n * product(outputs) + output, last - reversed, f);
      });
    });
}

template <class T>
T element_or_zero(const T* array, std::int64_t i) {
  return i == none ? T{0} : array[i];
}

void evaluate_conv(const EvalContext& c) {
  const Sizes s = sizes(c.operands[0].shape(), c.operands[1].shape(), conv_attrs(c.node.attributes));
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.operands[0].data<T>(), *kernel = c.operands[1].data<T>();
    T* y = c.results[0].data<T>();
    for_each_product(s, [=](std::int64_t ix, std::int64_t ik, std::int64_t iy) {
      y[iy] += element_or_zero(x, ix) * kernel[ik];
    });
  });
}

void evaluate_conv_input_grad(const EvalContext& c) {
  const ConvAttrs attrs = conv_attrs(c.node.attributes);
  const Sizes s = sizes(c.results[0].shape(), c.operands[1].shape(), attrs);
  const bool phases = has_phases(attrs.strides, attrs.dilation);
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *dy = c.operands[0].data<T>(), *kernel = c.operands[1].data<T>();
    T* dx = c.results[0].data<T>();
    for_each_reversed_product(s, phases, [=](std::int64_t ix, std::int64_t ik, std::int64_t iy) {
      dx[ix] += element_or_zero(dy, iy) * kernel[ik];
    });
  });
}

void evaluate_conv_kernel_grad(const EvalContext& c) {
  const Sizes s = sizes(c.operands[0].shape(), c.results[0].shape(), conv_attrs(c.node.attributes));
  visit_types<Floats>(c.results[0].dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.operands[0].data<T>(), *dy = c.operands[1].data<T>();
    T* dkernel = c.results[0].data<T>();
    for_each_product(s, [=](std::int64_t ix, std::int64_t ik, std::int64_t iy) {
      dkernel[ik] += element_or_zero(x, ix) * dy[iy];
    });
  });
}

}  // namespace

Shape conv_shape(const InferContext& c, const Shape& x, const Shape& kernel) {
  if (x.rank() < 3 || x.rank() > 5)
    shape_error(
        c, fmt::format("the input must be (batch, spatial..., channels) with 1 to 3 spatial axes; got {}",
                       x.to_string()));
  if (kernel.rank() != x.rank())
    shape_error(
        c, fmt::format("the kernel must be (spatial..., channels / groups, filters) of the input's rank; got "
                       "kernel {} for input {}",
                       kernel.to_string(), x.to_string()));
  const auto axes = static_cast<std::size_t>(x.rank() - 2);
  check_entries(c, "strides", axes, 1);
  check_entries(c, "low", axes, 0);
  check_entries(c, "high", axes, 0);
  check_entries(c, "dilation", axes, 1);
  const std::int64_t groups = c.attributes.integer("groups"), channels = x.back(), filters = kernel.back();
  if (groups < 1 || channels % groups != 0 || filters % groups != 0)
    shape_error(c,
                fmt::format("groups must divide channels and filters; got groups {}, {} channels, {} filters",
                            groups, channels, filters));
  if (kernel.dim(-2) != channels / groups)
    shape_error(c,
                fmt::format("the kernel {} is for {} channels{}, but the input {} has {}", kernel.to_string(),
                            kernel.dim(-2), groups > 1 ? fmt::format(" in each of {} groups", groups) : "",
                            x.to_string(), channels));
  for (std::int64_t n : spatial_sizes(kernel, 0, axes))
    if (n < 1) shape_error(c, fmt::format("the kernel {} must have sizes of at least 1", kernel.to_string()));

  const std::vector<Slide> slides = conv_slides(x, kernel, conv_attrs(c.attributes));
  check_slides(c, "kernel", slides);
  Shape shape = {x[0]};
  for (const Slide& s : slides) shape.push_back(s.output());
  shape.push_back(filters);
  return shape;
}

Attributes conv_attributes(const ConvAttrs& a, int rank) {
  const std::size_t axes = rank > 2 ? static_cast<std::size_t>(rank - 2) : 0;
  const auto filled = [axes](const Ints& given, std::int64_t value) {
    return given.empty() ? Ints(axes, value) : given;
  };
  return {{"strides", filled(a.strides, 1)},
          {"low", filled(a.low, 0)},
          {"high", filled(a.high, 0)},
          {"dilation", filled(a.dilation, 1)},
          {"groups", a.groups}};
}

std::vector<AttrSpec> conv_attribute_specs() {
  return {{"strides", AttrKind::ints},
          {"low", AttrKind::ints},
          {"high", AttrKind::ints},
          {"dilation", AttrKind::ints},
          {"groups", AttrKind::integer}};
}

ConvAttrs conv_attrs(const Attributes& a) {
  return {a.ints("strides"), a.ints("low"), a.ints("high"), a.ints("dilation"), a.integer("groups")};
}

Value conv(Value x, Value kernel, const ConvAttrs& attrs) {
  return emit(Op::conv, {x, kernel}, conv_attributes(attrs, x.rank()));
}

Value conv_input_grad(Value dy, Value kernel, const Shape& input, const ConvAttrs& attrs) {
  Attributes a = conv_attributes(attrs, input.rank());
  a.set("input", input.sizes());
  return emit(Op::conv_input_grad, {dy, kernel}, std::move(a));
}

Value conv_kernel_grad(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs) {
  Attributes a = conv_attributes(attrs, x.rank());
  a.set("kernel", kernel.sizes());
  return emit(Op::conv_kernel_grad, {x, dy}, std::move(a));
}

void register_conv_ops(Registry& registry) {
  const std::vector<AttrSpec> common = conv_attribute_specs();
  std::vector<AttrSpec> with_input = common, with_kernel = common;
  with_input.push_back({"input", AttrKind::ints});
  with_kernel.push_back({"kernel", AttrKind::ints});
  registry.add({.op = Op::conv,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = common,
                .infer = infer_conv,
                .gradient = gradient_conv,
                .evaluate = evaluate_conv});
  registry.add({.op = Op::conv_input_grad,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_input,
                .infer = infer_conv_input_grad,
                .gradient = gradient_conv_input_grad,
                .evaluate = evaluate_conv_input_grad});
  registry.add({.op = Op::conv_kernel_grad,
                .op_class = OpClass::heavy,
                .operands = 2,
                .attributes = with_kernel,
                .infer = infer_conv_kernel_grad,
                .gradient = gradient_conv_kernel_grad,
                .evaluate = evaluate_conv_kernel_grad});
}

}  // namespace kiln::graph
