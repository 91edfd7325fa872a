#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "api/support/handles.h"
#include "api/support/names.h"
#include "kiln/activations.h"
#include "kiln/graph/ops.h"

namespace kiln::activations {

using graph::Value;

namespace {

/// One value where x compares so with the bound, the other elsewhere.
Value choose(Value x, const char* direction, double bound, Value where_true, Value otherwise) {
  return graph::select(graph::compare(x, graph::scalar(x, bound), direction), where_true, otherwise);
}

/// x, but 0 where it is positive; NaN stays NaN. Its derivative at 0 is 1, where minimum's would be 1/2. (The
/// exponential of what isn't chosen would be infinite, and its gradient NaN.)
Value not_positive(Value x) {
  return choose(x, "gt", 0, graph::scalar(x, 0), x);
}

/// Where an activation stands, for messages: ` in layer "dense"`.
std::string in_layer(Value x) {
  return x.graph().label.empty() ? "" : fmt::format(" in layer \"{}\"", x.graph().label);
}

int axis_of(Value x, AxisArgs args, const char* function) {
  if (args.axis >= x.rank() || args.axis < -x.rank())
    throw ShapeError(fmt::format("{}{}: an input of shape {} has no axis {}", function, in_layer(x),
                                 x.shape().to_string(), args.axis));
  return args.axis < 0 ? args.axis + x.rank() : args.axis;
}

}  // namespace

Value linear(Value x) {
  return x;
}
// By select, not maximum: the derivative at 0 is 0, as in Keras, where maximum shares it between its
// operands.
Value relu(Value x) {
  return relu(x, {});
}
Value relu(Value x, ReLUArgs args) {
  // As Keras, whose derivative at 0 is 1 then.
  if (args.negative_slope != 0 && args.threshold == 0 && !args.max_value)
    return leaky_relu(x, {.negative_slope = args.negative_slope});
  // By "le": x == threshold belongs below, as in Keras, and NaN stays NaN.
  const Value below =
      args.negative_slope == 0 ? graph::scalar(x, 0) : (x - args.threshold) * args.negative_slope;
  const Value y = choose(x, "le", args.threshold, below, x);
  if (!args.max_value) return y;
  // The derivative at the bound is 0.
  return choose(y, "ge", *args.max_value, graph::scalar(y, *args.max_value), y);
}
Value relu6(Value x) {
  return choose(x, "ge", 6, graph::scalar(x, 6), relu(x));
}
Value leaky_relu(Value x) {
  return leaky_relu(x, {});
}
Value leaky_relu(Value x, LeakyReLUArgs args) {
  return choose(x, "lt", 0, x * args.negative_slope, x);
}
Value elu(Value x) {
  return elu(x, {});
}
Value elu(Value x, ELUArgs args) {
  return choose(x, "gt", 0, x, args.alpha * graph::expm1(not_positive(x)));
}
Value selu(Value x) {
  return 1.0507009873554804934193349852946 * elu(x, {.alpha = 1.6732632423543772848170429916717});
}
Value celu(Value x) {
  return celu(x, {});
}
Value celu(Value x, ELUArgs args) {
  if (args.alpha == 0) throw ValueError(fmt::format("celu{}: alpha must not be 0", in_layer(x)));
  return choose(x, "gt", 0, x, args.alpha * graph::expm1(not_positive(x) / args.alpha));
}
// max(x, 0) + log(1 + exp(-|x|)): neither overflows nor loses the small values. The maximum's derivative at 0
// is 1/2 and the second term's 0, which sum to sigmoid(0).
Value softplus(Value x) {
  return graph::maximum(x, graph::scalar(x, 0)) + graph::log1p(graph::exp(-graph::abs(x)));
}
Value softsign(Value x) {
  return x / (graph::abs(x) + 1.0);
}
Value squareplus(Value x) {
  return squareplus(x, {});
}
Value squareplus(Value x, SquareplusArgs args) {
  return (x + graph::sqrt(x * x + args.b)) * 0.5;
}
Value silu(Value x) {
  return x * graph::sigmoid(x);
}
Value hard_silu(Value x) {
  return x * hard_sigmoid(x);
}
Value gelu(Value x) {
  return gelu(x, {});
}
Value gelu(Value x, GELUArgs args) {
  if (!args.approximate) return 0.5 * x * (1.0 + graph::erf(x * std::sqrt(0.5)));
  const double scale = std::sqrt(2 / std::numbers::pi);
  return 0.5 * x * (1.0 + graph::tanh(scale * (x + 0.044715 * (x * x * x))));
}
Value mish(Value x) {
  return x * graph::tanh(softplus(x));
}
Value tanh(Value x) {
  return graph::tanh(x);
}
Value sigmoid(Value x) {
  return graph::sigmoid(x);
}
Value log_sigmoid(Value x) {
  return -softplus(-x);
}
// By relu6, whose derivative at both bounds is 0, as in Keras.
Value hard_sigmoid(Value x) {
  return relu6(x + 3.0) / 6.0;
}
Value hard_tanh(Value x) {
  return choose(x, "gt", 1, graph::scalar(x, 1), choose(x, "lt", -1, graph::scalar(x, -1), x));
}
Value exponential(Value x) {
  return graph::exp(x);
}
Value hard_shrink(Value x) {
  return hard_shrink(x, {});
}
Value hard_shrink(Value x, ShrinkArgs args) {
  return choose(graph::abs(x), "le", args.threshold, graph::scalar(x, 0), x);
}
Value soft_shrink(Value x) {
  return soft_shrink(x, {});
}
Value soft_shrink(Value x, ShrinkArgs args) {
  const Value shrunk = choose(x, "lt", 0, x + args.threshold, x - args.threshold);
  return choose(graph::abs(x), "le", args.threshold, graph::scalar(x, 0), shrunk);
}
Value tanh_shrink(Value x) {
  return x - graph::tanh(x);
}
Value threshold(Value x, double bound, double otherwise) {
  return choose(x, "le", bound, graph::scalar(x, otherwise), x);
}
Value sparse_plus(Value x) {
  const Value square = 0.25 * ((x + 1.0) * (x + 1.0));
  return choose(x, "le", -1, graph::scalar(x, 0), choose(x, "lt", 1, square, x));
}
Value sparse_sigmoid(Value x) {
  return choose(x, "le", -1, graph::scalar(x, 0), choose(x, "ge", 1, graph::scalar(x, 1), 0.5 * (x + 1.0)));
}
Value glu(Value x) {
  return glu(x, {});
}
Value glu(Value x, AxisArgs args) {
  const auto axis = static_cast<std::size_t>(axis_of(x, args, "glu"));
  const std::int64_t size = x.shape()[axis];
  if (size % 2 != 0)
    throw ShapeError(fmt::format("glu{}: axis {} must be of even size, to be halved; the input's shape is {}",
                                 in_layer(x), args.axis, x.shape().to_string()));
  graph::Ints start(x.shape().sizes().size(), 0), middle = start, stop = x.shape().sizes(), half = stop;
  middle[axis] = half[axis] = size / 2;
  return graph::slice(x, start, half) * graph::sigmoid(graph::slice(x, middle, stop));
}

// The maximum cancels out of both; it is there for the range of exp only.
Value softmax(Value x) {
  return softmax(x, {});
}
Value softmax(Value x, AxisArgs args) {
  const int axis = axis_of(x, args, "softmax");
  const Value e = graph::exp(x - graph::stop_gradient(graph::reduce_max(x, {axis}, true)));
  return e / graph::reduce_sum(e, {axis}, true);
}
Value log_softmax(Value x) {
  return log_softmax(x, {});
}
Value log_softmax(Value x, AxisArgs args) {
  const int axis = axis_of(x, args, "log_softmax");
  const Value shifted = x - graph::stop_gradient(graph::reduce_max(x, {axis}, true));
  return shifted - graph::log(graph::reduce_sum(graph::exp(shifted), {axis}, true));
}
// z - tau above tau and 0 below, tau such that the sum is 1: with the k largest elements above it, their sum
// less k tau. k is the largest for which the k-th largest element is above the tau of k elements. Which they
// are doesn't change in a neighbourhood of x, so the gradient goes through their sum alone. The maximum,
// which cancels out, is taken off for the range of the sums. Rounding may leave out other elements than were
// counted for tau: the sum and the number that the result is made of are of the same ones.
Value sparsemax(Value x) {
  return sparsemax(x, {});
}
Value sparsemax(Value x, AxisArgs args) {
  const int axis = axis_of(x, args, "sparsemax");
  const auto total = [&](Value v) { return graph::reduce_sum(v, {axis}, true); };
  const auto number = [&](Value mask) { return total(graph::convert(mask, x.dtype())); };
  const Value z = x - graph::stop_gradient(graph::reduce_max(x, {axis}, true));
  const Value fixed = graph::stop_gradient(z), zero = graph::scalar(x, 0);
  const Value largest_first = graph::sort(fixed, axis, true)[0];
  const Value sums = graph::cumsum(largest_first, axis);
  const Value counts = graph::iota(x.graph(), x.type(), axis) + 1.0;
  const Value above = graph::compare(largest_first * counts + 1.0, sums, "gt");
  const Value tau = (total(graph::select(above, largest_first, zero)) - 1.0) / number(above);
  const Value left_out = graph::compare(fixed, tau, "le");  // NaN isn't
  const Value sum = total(graph::select(left_out, zero, z)), count = number(graph::logical_not(left_out));
  return graph::select(left_out, zero, z - (sum - 1.0) / count);
}

namespace {

struct Named {
  std::string_view name;
  Value (*function)(Value);
};

constexpr std::array<Named, 31> by_name = {{
    {"linear", linear},
    {"relu", relu},
    {"relu6", relu6},
    {"leaky_relu", leaky_relu},
    {"elu", elu},
    {"selu", selu},
    {"celu", celu},
    {"softplus", softplus},
    {"softsign", softsign},
    {"squareplus", squareplus},
    {"silu", silu},
    {"swish", silu},
    {"hard_silu", hard_silu},
    {"hard_swish", hard_silu},
    {"gelu", gelu},
    {"mish", mish},
    {"tanh", tanh},
    {"sigmoid", sigmoid},
    {"log_sigmoid", log_sigmoid},
    {"hard_sigmoid", hard_sigmoid},
    {"hard_tanh", hard_tanh},
    {"exponential", exponential},
    {"hard_shrink", hard_shrink},
    {"soft_shrink", soft_shrink},
    {"tanh_shrink", tanh_shrink},
    {"sparse_plus", sparse_plus},
    {"sparse_sigmoid", sparse_sigmoid},
    {"glu", glu},
    {"softmax", softmax},
    {"log_softmax", log_softmax},
    {"sparsemax", sparsemax},
}};

std::string name_of(Value (*function)(Value)) {
  const auto* named = std::find_if(by_name.begin(), by_name.end(),
                                   [&](const Named& entry) { return entry.function == function; });
  return named == by_name.end() ? "custom" : std::string(named->name);
}

}  // namespace

Function::Function(const char* name) : Function(internal::given_name("activation", name)) {}
Function::Function(Value (*function)(Value))
    : Function(std::function<Value(Value)>(function), name_of(function)) {}
Function::Function(std::function<Value(Value)> call, std::string name)
    : call_(internal::not_empty_function(std::move(call), "activation")), name_(std::move(name)) {}
Function::Function(const std::string& name) : name_(name) {
  std::vector<std::string_view> known;
  for (const Named& entry : by_name) {
    if (entry.name == name) {
      call_ = entry.function;
      return;
    }
    known.push_back(entry.name);
  }
  internal::unknown_name("activation", name, known);
}

}  // namespace kiln::activations
