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

Value linear(Value x) {
  return x;
}
// By select, not maximum: the derivative at 0 is 0, as in Keras, where maximum shares it between its
// operands.
Value relu(Value x) {
  return graph::select(graph::compare(x, graph::scalar(x, 0), "le"), graph::scalar(x, 0), x);
}
Value relu6(Value x) {
  return graph::select(graph::compare(x, graph::scalar(x, 6), "ge"), graph::scalar(x, 6), relu(x));
}
Value leaky_relu(Value x) {
  return graph::select(graph::compare(x, graph::scalar(x, 0), "lt"), x * 0.2, x);
}
Value elu(Value x) {
  return graph::select(graph::compare(x, graph::scalar(x, 0), "gt"), x,
                       graph::expm1(graph::minimum(x, graph::scalar(x, 0))));
}
Value selu(Value x) {
  constexpr double alpha = 1.6732632423543772848170429916717;
  constexpr double scale = 1.0507009873554804934193349852946;
  const Value negative = alpha * graph::expm1(graph::minimum(x, graph::scalar(x, 0)));
  return scale * graph::select(graph::compare(x, graph::scalar(x, 0), "gt"), x, negative);
}
// max(x, 0) + log(1 + exp(-|x|)): neither overflows nor loses the small values. The maximum's derivative at 0
// is 1/2 and the second term's 0, which sum to sigmoid(0).
Value softplus(Value x) {
  return graph::maximum(x, graph::scalar(x, 0)) + graph::log1p(graph::exp(-graph::abs(x)));
}
Value softsign(Value x) {
  return x / (graph::abs(x) + 1.0);
}
Value silu(Value x) {
  return x * graph::sigmoid(x);
}
Value gelu(Value x) {
  return 0.5 * x * (1.0 + graph::erf(x * std::sqrt(0.5)));
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
Value exponential(Value x) {
  return graph::exp(x);
}
Value mish(Value x) {
  return x * graph::tanh(softplus(x));
}

// The maximum cancels out of both; it is there for the range of exp only.
Value softmax_along(Value x, int axis) {
  const Value e = graph::exp(x - graph::stop_gradient(graph::reduce_max(x, {axis}, true)));
  return e / graph::reduce_sum(e, {axis}, true);
}
Value log_softmax_along(Value x, int axis) {
  const Value shifted = x - graph::stop_gradient(graph::reduce_max(x, {axis}, true));
  return shifted - graph::log(graph::reduce_sum(graph::exp(shifted), {axis}, true));
}
Value softmax(Value x) {
  return softmax_along(x, x.rank() - 1);
}
Value log_softmax(Value x) {
  return log_softmax_along(x, x.rank() - 1);
}

namespace {

struct Named {
  std::string_view name;
  Value (*function)(Value);
};

constexpr std::array<Named, 19> by_name = {{
    {"linear", linear},
    {"relu", relu},
    {"relu6", relu6},
    {"leaky_relu", leaky_relu},
    {"elu", elu},
    {"selu", selu},
    {"softplus", softplus},
    {"softsign", softsign},
    {"silu", silu},
    {"swish", silu},
    {"gelu", gelu},
    {"tanh", tanh},
    {"sigmoid", sigmoid},
    {"log_sigmoid", log_sigmoid},
    {"hard_sigmoid", hard_sigmoid},
    {"exponential", exponential},
    {"mish", mish},
    {"softmax", softmax},
    {"log_softmax", log_softmax},
}};

}  // namespace

Function::Function(const char* name) : Function(internal::given_name("activation", name)) {}
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
