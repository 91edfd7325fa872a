#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/error_bound.h"

namespace kiln::graph {
namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();

/// One element: operands x with their errors e, result y, and the roundoff u of its type.
struct Element {
  double x[3], e[3], y, u;
  double magnitude(int i) const { return std::abs(x[i]) + e[i]; }
};
using Rule =
    double (*)(const Element&);  // the result's error by those of the operands, without its own rounding

// Rising or falling functions: the ends of the interval decide.
template <auto f>
double monotone(const Element& v) {
  if (v.e[0] == 0) return 0;
  return std::max(std::abs(f(v.x[0] + v.e[0]) - v.y), std::abs(v.y - f(v.x[0] - v.e[0])));
}
// The same for x > lowest only: beyond, the result jumps to NaN or infinity.
template <auto f, int lowest>
double monotone_above(const Element& v) {
  if (v.e[0] == 0) return 0;
  if (v.x[0] + v.e[0] < lowest) return 0;  // surely NaN
  return v.x[0] - v.e[0] <= lowest ? unknown : monotone<f>(v);
}
template <auto f>
double jumps(const Element& v) {
  return v.e[0] == 0 ? 0 : f(v.x[0] + v.e[0]) - f(v.x[0] - v.e[0]);
}
double keep(const Element& v) {
  return v.e[0];
}
double at_most_two(const Element& v) {
  return std::min(v.e[0], 2.0);
}
double any_unknown(const Element& v) {
  return v.e[0] + v.e[1] > 0 ? unknown : 0;
}
double any_flip(const Element& v) {
  return v.e[0] + v.e[1] > 0 ? 1 : 0;
}

double add_error(const Element& v) {
  return v.e[0] + v.e[1];
}
double mul_error(const Element& v) {
  return v.e[0] * v.magnitude(1) + v.e[1] * std::abs(v.x[0]);
}
double div_error(const Element& v) {
  if (v.e[0] == 0 && v.e[1] == 0) return 0;
  const double least = std::abs(v.x[1]) - v.e[1];
  return least <= 0 ? unknown : (v.e[0] + std::abs(v.y) * v.e[1]) / least;
}
// a - trunc(a / b) b: fine while the quotient's whole part is sure.
double rem_error(const Element& v) {
  if (v.e[0] == 0 && v.e[1] == 0) return 0;
  const double least = std::abs(v.x[1]) - v.e[1];
  if (least <= 0) return unknown;
  const double quotient = std::abs(v.x[0] / v.x[1]), off = (v.e[0] + quotient * v.e[1]) / least;
  if (std::floor(quotient - off) != std::floor(quotient + off)) return std::abs(v.x[1]) + v.e[1];
  return v.e[0] + std::floor(quotient) * v.e[1];
}
double pow_error(const Element& v) {
  const double a = v.x[0], b = v.x[1];
  if (v.e[0] == 0 && v.e[1] == 0) return 0;
  if (a - v.e[0] > 0) {  // a^b = exp(b log a)
    const double log_error = std::max(std::log1p(v.e[0] / a), -std::log1p(-v.e[0] / a));
    return std::abs(v.y) * std::expm1(v.magnitude(1) * log_error + v.e[1] * std::abs(std::log(a)));
  }
  if (v.e[1] == 0 && b >= 1 && b == std::floor(b))  // a power: |b| |a|^(b-1) e
    return b * std::pow(v.magnitude(0), b - 1) * v.e[0];
  return unknown;
}
double extremum_error(const Element& v) {
  return std::max(v.e[0], v.e[1]);
}
double compare_error(const Element& v) {
  const double near = v.e[0] + v.e[1];
  return near > 0 && !(std::abs(v.x[0] - v.x[1]) > near) ? 1 : 0;
}
double select_error(const Element& v) {
  if (v.e[0] == 0) return v.x[0] != 0 ? v.e[1] : v.e[2];
  return std::abs(v.x[1] - v.x[2]) + std::max(v.e[1], v.e[2]);
}
double sign_error(const Element& v) {
  return v.e[0] > 0 && std::abs(v.x[0]) <= v.e[0] ? 2 : 0;
}
double is_finite_error(const Element& v) {
  return std::isinf(v.e[0]) ? 1 : 0;
}

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}
double inverse_root(double x) {
  return 1 / std::sqrt(x);
}

struct ElementwiseBound {
  Op op;
  Rule rule;
  double roundings;  ///< of the operation itself, in units of the result's roundoff
};

#define F(name) [](double x) { return std::name(x); }
// Functions of codegen's vector maths promise a few ulp; 8 units are 4 ulp. One operation rounds once.
const ElementwiseBound bounds[] = {
    {Op::neg, keep, 0},
    {Op::abs, keep, 0},
    {Op::sign, sign_error, 0},
    {Op::exp, monotone<F(exp)>, 8},
    {Op::expm1, monotone<F(expm1)>, 8},
    {Op::log, monotone_above<F(log), 0>, 8},
    {Op::log1p, monotone_above<F(log1p), -1>, 8},
    {Op::sqrt, monotone_above<F(sqrt), 0>, 4},
    {Op::rsqrt, monotone_above<inverse_root, 0>, 8},
    {Op::tanh, monotone<F(tanh)>, 8},
    {Op::sigmoid, monotone<logistic>, 8},
    {Op::erf, monotone<F(erf)>, 8},
    {Op::sin, at_most_two, 8},
    {Op::cos, at_most_two, 8},
    {Op::floor, jumps<F(floor)>, 0},
    {Op::ceil, jumps<F(ceil)>, 0},
    {Op::round, jumps<F(nearbyint)>, 0},
    {Op::is_finite, is_finite_error, 0},
    {Op::logical_not, any_flip, 0},
    {Op::stop_gradient, keep, 0},
    {Op::add, add_error, 1},
    {Op::sub, add_error, 1},
    {Op::mul, mul_error, 1},
    {Op::div, div_error, 2},
    {Op::rem, rem_error, 2},
    {Op::pow, pow_error, 16},
    {Op::maximum, extremum_error, 0},
    {Op::minimum, extremum_error, 0},
    {Op::bit_and, any_flip, 0},
    {Op::bit_or, any_flip, 0},
    {Op::bit_xor, any_flip, 0},
    {Op::shift_left, any_unknown, 0},
    {Op::shift_right, any_unknown, 0},
    {Op::compare, compare_error, 0},
    {Op::select, select_error, 0},
};
#undef F

const ElementwiseBound& bound_of(Op op) {
  for (const ElementwiseBound& b : bounds)
    if (b.op == op) return b;
  throw InternalError("error_bound_elementwise.cpp lacks a rule for " + std::string(op_name(op)));
}

double convert_error(const Element& v, DType from, DType to) {
  if (to == DType::bool_) return v.e[0] > 0 && std::abs(v.x[0]) <= v.e[0] ? 1 : 0;
  if (is_float(to)) return v.e[0];
  if (is_float(from)) return jumps<[](double x) { return std::trunc(x); }>(v);
  return v.e[0] > 0 ? unknown : 0;
}

// What is left when a rule's arithmetic met infinity or NaN, or the result leaves the type's range.
double settled(double error, const Element& v, int operands, double rounding, DType type) {
  bool known = true;
  for (int i = 0; i < operands; i++) known = known && !std::isinf(v.e[i]);
  if (error == unknown) return unknown;
  if (!known && std::isnan(error)) return unknown;
  if (!std::isfinite(v.y)) return known ? 0 : unknown;  // NaN or infinity of known operands must come
  if (std::isnan(error)) return unknown;
  const double total = error + rounding;
  if (type == DType::f32 && std::abs(v.y) + total > std::numeric_limits<float>::max()) return unknown;
  return total;
}

}  // namespace

void bound_elementwise(const ErrorContext& c) {
  const int operands = static_cast<int>(c.values.size());
  const double u = unit_roundoff(c.type), step = smallest_step(c.type);
  std::vector<Tensor> x;
  for (const Tensor& t : c.values) x.push_back(t.astype(DType::f64));
  const Tensor y = c.results[0].astype(DType::f64);
  double* out = c.bounds[0].data<double>();
  const ElementwiseBound* bound = c.node.op == Op::convert ? nullptr : &bound_of(c.node.op);
  const bool arithmetic_in_integers = is_integer(c.type) && bound != nullptr && bound->rule != keep &&
                                      c.node.op != Op::select && c.node.op != Op::maximum &&
                                      c.node.op != Op::minimum;
  for (std::int64_t i = 0; i < y.size(); i++) {
    Element v{{0, 0, 0}, {0, 0, 0}, y.data<double>()[i], u};
    for (int k = 0; k < operands; k++) {
      v.x[k] = x[static_cast<std::size_t>(k)].data<double>()[i];
      v.e[k] = c.errors[static_cast<std::size_t>(k)].data<double>()[i];
    }
    double error;
    if (arithmetic_in_integers)
      error = any_unknown(v);  // it may wrap
    else if (bound == nullptr)
      error = convert_error(v, c.values[0].dtype(), c.type);
    else
      error = bound->rule(v);
    const double units = bound == nullptr ? 1 : bound->roundings;
    const double rounding =
        is_float(c.type) ? units * (u * (std::abs(v.y) + (std::isfinite(error) ? error : 0)) + step) : 0;
    out[i] = settled(error, v, operands, rounding, c.type);
  }
}

}  // namespace kiln::graph
