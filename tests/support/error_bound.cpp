#include "tests/support/error_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/loops.h"
#include "graph/ops/winograd.h"

namespace kiln::graph {
namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();

DType widened(DType t) {
  return t == DType::f32 ? DType::f64 : t;
}

Node widened(const Node& node) {
  Node wide = node;
  wide.attributes = {};
  for (const auto& [name, value] : node.attributes) {
    if (const DType* t = std::get_if<DType>(&value))
      wide.attributes.set(name, widened(*t));
    else if (const Tensor* t = std::get_if<Tensor>(&value))
      wide.attributes.set(name, t->astype(widened(t->dtype())));
    else
      wide.attributes.set(name, value);
  }
  for (Type& type : wide.results) type.dtype = widened(type.dtype);
  return wide;
}

/// Result 0 of the node's op for other operands, in f64.
Tensor evaluated(const Node& node, const std::vector<Tensor>& operands) {
  std::vector<Tensor> results;
  for (const Type& t : node.results) results.emplace_back(t.shape, DType::f64);
  definition(node.op).evaluate({node, operands, results});
  return results[0];
}

bool is_exact(const Tensor& errors) {
  const auto e = errors.span<double>();
  return std::all_of(e.begin(), e.end(), [](double v) { return v == 0; });
}

void fill(Tensor& bounds, double v) {
  std::fill_n(bounds.data<double>(), bounds.size(), v);
}

// |x| + by * e
Tensor magnitude(const Tensor& x, const Tensor& e, double by) {
  Tensor out(x.shape(), DType::f64);
  const Tensor wide = x.astype(DType::f64);
  for (std::int64_t i = 0; i < out.size(); i++)
    out.data<double>()[i] = std::abs(wide.data<double>()[i]) + (by == 0 ? 0 : by * e.data<double>()[i]);
  return out;
}

/// The operand that says where, not what: indices, starts, places in windows. Or -1.
int place_operand(Op op) {
  switch (op) {
    case Op::gather:
    case Op::take_along:
    case Op::dynamic_slice:
    case Op::scatter_add:
    case Op::put_along:
      return 1;
    case Op::dynamic_update_slice:
      return 2;
    case Op::window_max_grad:
    case Op::window_max_pick:
      return 0;
    default:
      return -1;
  }
}

// ---- sums of products -------------------------------------------------------------------------------------

bool overflows(double magnitude, DType type) {
  return !(magnitude <=
           (type == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max()));
}

// Where the result is NaN or infinity, another of its terms may yet decide which: one that is unknown or
// overflows in the result's type (infinity less infinity is NaN), or a factor that may be 0 beside infinity.
// So the op is applied to the finite magnitudes alone, and to infinity, 1 and, for a doubtful sign, 0.
void excuse_special(const ErrorContext& c) {
  std::vector<Tensor> finite, signs;
  for (std::size_t i = 0; i < c.values.size(); i++) {
    if (static_cast<int>(i) == place_operand(c.node.op)) {
      for (auto* list : {&finite, &signs}) list->push_back(c.values[i]);
      continue;
    }
    const Tensor x = magnitude(c.values[i], c.errors[i], 0);
    Tensor most(x.shape(), DType::f64), sign(x.shape(), DType::f64);
    for (std::int64_t k = 0; k < x.size(); k++) {
      const double size = x.data<double>()[k], e = c.errors[i].data<double>()[k];
      most.data<double>()[k] = std::isfinite(size) ? size + e : e;
      sign.data<double>()[k] = std::isinf(size) ? size : e == 0 || size > e ? 1 : 0;
    }
    finite.push_back(most);
    signs.push_back(sign);
  }
  const Tensor rest = evaluated(c.node, finite), sure = evaluated(c.node, signs);
  for (std::int64_t i = 0; i < rest.size(); i++)
    if (!std::isfinite(c.results[0].data<double>()[i]) &&
        (overflows(rest.data<double>()[i], c.type) || std::isnan(sure.data<double>()[i])))
      c.bounds[0].data<double>()[i] = unknown;
}

// For an op that is linear in each of its data operands, with coefficients 0 or 1: applied to |x| + e and to
// |x| it bounds what the operands' errors do, and applied to ones it counts the terms of each sum.
void bound_linear(const ErrorContext& c) {
  std::vector<Tensor> large, small, ones;
  for (std::size_t i = 0; i < c.values.size(); i++) {
    const Tensor& x = c.values[i];
    if (static_cast<int>(i) == place_operand(c.node.op)) {
      for (auto* list : {&large, &small, &ones}) list->push_back(x);
      if (!is_float(x.dtype()) && !is_exact(c.errors[i])) return fill(c.bounds[0], unknown);
      continue;
    }
    if (!is_float(x.dtype()) && !is_exact(c.errors[i])) return fill(c.bounds[0], unknown);  // it may wrap
    small.push_back(magnitude(x, c.errors[i], 0));
    large.push_back(magnitude(x, c.errors[i], 1));
    ones.push_back(Tensor::full(x.shape(), 1, DType::f64));
  }
  if (!is_float(c.type)) return;  // exact
  const Tensor most = evaluated(c.node, large), least = evaluated(c.node, small),
               terms = evaluated(c.node, ones);
  const double* y = c.results[0].data<double>();
  double* out = c.bounds[0].data<double>();
  const std::int64_t count = c.bounds[0].size();
  const double factors =
      c.node.op == Op::reduce_prod && count > 0 ? static_cast<double>(c.values[0].size() / count) : 0;
  const double u = unit_roundoff(c.type), step = smallest_step(c.type);
  for (std::int64_t i = 0; i < count; i++) {
    const double total = most.data<double>()[i], known = least.data<double>()[i];
    const double roundings = terms.data<double>()[i] + factors + 1;
    if (!std::isfinite(y[i]))
      out[i] = 0;  // NaN and infinity must come, unless excuse_special below says that they needn't
    else if (overflows(total, c.type))
      out[i] = unknown;
    else
      out[i] = (total - known) + roundings * (u * total + step);
  }
  if (std::any_of(y, y + count, [](double v) { return !std::isfinite(v); })) excuse_special(c);
}

// Winograd's convolutions: as above with the transforms' magnitudes. Which elements of a tile an infinity or
// NaN reaches is left open.
void bound_winograd(const ErrorContext& c) {
  using winograd::Matrix;
  const auto magnitudes = [](Matrix m) {
    for (double& e : m.elements) e = std::abs(e);
    return m;
  };
  const Matrix input = magnitudes(winograd::input_transform()),
               result = magnitudes(winograd::result_transform(c.node.attributes.integer("window")));
  const auto bounded = [&](double errors) {
    std::vector<Tensor> operands, results{Tensor(c.results[0].shape(), DType::f64)};
    for (std::size_t i = 0; i < c.values.size(); i++)
      operands.push_back(magnitude(c.values[i], c.errors[i], errors));
    winograd::evaluate({c.node, operands, results}, input, result);
    return results[0];
  };
  const Tensor most = bounded(1), least = bounded(0);
  // Two factors a position, two axes a transform; and the sum over channels, or over tiles.
  const Shape& x = c.values[0].shape();
  const bool forward = c.node.op == Op::winograd_conv;
  const bool last = forward && c.node.attributes.flag("batch_last");
  const double length = static_cast<double>(last ? x[2] : forward ? x[3] : x.elements());
  const double roundings = length + 4 * (winograd::side + 1);
  for (std::int64_t i = 0; i < c.bounds[0].size(); i++) {
    const double total = most.data<double>()[i], known = least.data<double>()[i];
    const bool finite = std::isfinite(c.results[0].data<double>()[i]) && !overflows(total, c.type);
    c.bounds[0].data<double>()[i] =
        finite ? (total - known) + roundings * (unit_roundoff(c.type) * total + smallest_step(c.type))
               : unknown;
  }
}

// ---- data that moves --------------------------------------------------------------------------------------

// The errors move as the elements do; an index that isn't sure makes all unknown.
void bound_movement(const ErrorContext& c) {
  std::vector<Tensor> operands(c.errors.begin(), c.errors.end());
  if (const int place = place_operand(c.node.op); place >= 0) {
    const auto i = static_cast<std::size_t>(place);
    if (!is_exact(c.errors[i])) return fill(c.bounds[0], unknown);
    operands[i] = c.values[i];
  }
  c.bounds[0] = evaluated(c.node, operands).clone();
}

// ---- maxima -----------------------------------------------------------------------------------------------

// The largest of some numbers moves by no more than the largest of their errors.
void bound_extremum(const ErrorContext& c) {
  Node largest = c.node;
  if (largest.op == Op::reduce_min) largest.op = Op::reduce_max;
  const Tensor e = evaluated(largest, {c.errors[0]});
  for (std::int64_t i = 0; i < e.size(); i++)
    c.bounds[0].data<double>()[i] = std::max(e.data<double>()[i], 0.0);  // of nothing: -infinity
}

/// A line along an axis: element k lies at first + k * step.
struct Line {
  std::int64_t first, step;
  Line(const Tensor& t, std::int64_t axis, std::int64_t number)
      : step(t.strides()[static_cast<std::size_t>(axis)]) {
    first = number / step * step * t.shape()[static_cast<std::size_t>(axis)] + number % step;
  }
  std::size_t at(std::int64_t k) const { return static_cast<std::size_t>(first + k * step); }
};

// sort, top_k and argmax. Values move by no more than the line's largest error. Positions are sure where
// there are no errors, or where numbers that are neighbours in order (for argmax: the first and any other)
// are farther apart than their errors.
void bound_order(const ErrorContext& c) {
  const Tensor x = c.values[0].astype(DType::f64);
  const bool only_first = c.node.op == Op::argmax;
  const std::int64_t axis = c.node.op == Op::top_k ? x.rank() - 1 : c.node.attributes.integer("axis");
  const std::int64_t n = x.shape()[static_cast<std::size_t>(axis)];
  for (std::int64_t number = 0; n > 0 && number < x.size() / n; number++) {
    const Line line(x, axis, number);
    std::vector<std::pair<double, double>> order;  // value and error, largest first
    double largest = 0;
    for (std::int64_t k = 0; k < n; k++) {
      order.emplace_back(x.data<double>()[line.at(k)], c.errors[0].data<double>()[line.at(k)]);
      largest = std::max(largest, order.back().second);
    }
    bool sure = true;
    if (largest > 0) {
      std::sort(order.rbegin(), order.rend());
      for (std::size_t k = 1; k < order.size(); k++) {
        const auto& above = order[only_first ? 0 : k - 1];
        sure = sure && above.first - order[k].first > above.second + order[k].second;
      }
    }
    if (only_first) {
      c.bounds[0].data<double>()[number] = sure ? 0 : unknown;
      continue;
    }
    for (std::size_t result = 0; result < 2; result++) {
      const Line out(c.bounds[result], axis, number);
      for (std::int64_t k = 0; k < c.bounds[result].shape()[static_cast<std::size_t>(axis)]; k++)
        c.bounds[result].data<double>()[out.at(k)] = result == 0 ? largest : sure ? 0 : unknown;
    }
  }
}

// ---- the choices of windows -------------------------------------------------------------------------------

// 1 for each window in which errors leave more than one element that may be the largest, else 0.
Tensor doubtful_windows(const Node& node, const Tensor& x, const Tensor& errors, const Shape& windows) {
  const Ints& strides = node.attributes.ints("strides");
  const Ints& low = node.attributes.ints("low");
  const Shape window(node.attributes.ints("window"));
  Tensor doubtful(windows, DType::f64);
  std::int64_t number = 0;
  for_each_index(windows, [&](const Ints& w) {
    std::vector<std::pair<double, double>> covered;  // value and error
    for_each_index(window, [&](const Ints& k) {
      std::int64_t offset = 0;
      for (std::size_t i = 0; i < w.size(); i++) {
        const std::int64_t position = w[i] * strides[i] + k[i] - low[i];
        if (position < 0 || position >= x.shape()[i]) return;
        offset += position * x.strides()[i];
      }
      covered.emplace_back(x.data<double>()[offset], errors.data<double>()[offset]);
    });
    double sure = -unknown;  // the largest is at least this
    for (const auto& [v, e] : covered) sure = std::max(sure, v - e);
    int candidates = 0;
    double error = 0;
    for (const auto& [v, e] : covered)
      if (v + e >= sure) candidates++, error += e;
    doubtful.data<double>()[number++] = candidates > 1 && error > 0 ? 1 : 0;
  });
  return doubtful;
}

// Where an element may be the largest that isn't for sure, any place of the window may be named.
void bound_window_argmax(const ErrorContext& c) {
  if (is_exact(c.errors[0])) return;
  if (!is_float(c.values[0].dtype())) return fill(c.bounds[0], unknown);
  const Tensor doubtful = doubtful_windows(c.node, c.values[0], c.errors[0], c.results[0].shape());
  for (std::int64_t i = 0; i < doubtful.size(); i++)
    if (doubtful.data<double>()[i] != 0) c.bounds[0].data<double>()[i] = unknown;
}

// window_max_grad and window_max_pick: linear in what is given to or taken from the places that are sure.
// Windows in doubt may give to (take from) any element that they cover.
void bound_window_choice(const ErrorContext& c) {
  std::vector<Tensor> errors = {Tensor::zeros(c.errors[0].shape(), DType::f64), c.errors[1]};
  bound_linear({c.node, c.type, c.values, errors, c.results, c.bounds});
  if (is_exact(c.errors[0])) return;
  if (!is_float(c.type)) return fill(c.bounds[0], unknown);
  const bool gives = c.node.op == Op::window_max_grad;
  Tensor data = magnitude(c.values[1], c.errors[1], 1);
  const Tensor& doubtful = c.errors[0];
  Node spread = c.node;
  Tensor more;
  if (gives) {
    for (std::int64_t i = 0; i < data.size(); i++)
      if (doubtful.data<double>()[i] == 0) data.data<double>()[i] = 0;
    spread.op = Op::window_sum_grad;
    more = evaluated(spread, {data});
  } else {
    spread.op = Op::window_max;
    more = evaluated(spread, {data});
    for (std::int64_t i = 0; i < more.size(); i++)
      more.data<double>()[i] = doubtful.data<double>()[i] == 0 ? 0 : 2 * more.data<double>()[i];
  }
  for (std::int64_t i = 0; i < more.size(); i++) {
    const double sum = c.bounds[0].data<double>()[i] + more.data<double>()[i];
    c.bounds[0].data<double>()[i] = std::isnan(sum) ? unknown : sum;
  }
}

void bound(const ErrorContext& c) {
  switch (c.node.op) {
    case Op::constant:
    case Op::iota:
    case Op::random_bits:
    case Op::check:
      return;  // exact
    case Op::reduce_sum:
    case Op::reduce_prod:
    case Op::dot:
    case Op::dot_panels:
    case Op::conv:
    case Op::conv_input_grad:
    case Op::conv_kernel_grad:
    case Op::conv_batch_last:
    case Op::conv_kernel_sums:
    case Op::window_sum:
    case Op::window_sum_grad:
    case Op::scatter_add:
    case Op::put_along:
    case Op::cumsum:
      return bound_linear(c);
    case Op::winograd_conv:
    case Op::winograd_kernel_grad:
      return bound_winograd(c);
    case Op::reduce_max:
    case Op::reduce_min:
    case Op::window_max:
      return bound_extremum(c);
    case Op::argmax:
    case Op::sort:
    case Op::top_k:
      return bound_order(c);
    case Op::window_argmax:
      return bound_window_argmax(c);
    case Op::window_max_grad:
    case Op::window_max_pick:
      return bound_window_choice(c);
    default:
      break;
  }
  if (definition(c.node.op).op_class == OpClass::elementwise) return bound_elementwise(c);
  bound_movement(c);
}

}  // namespace

void ErrorBound::set(Value leaf, const Tensor& value) {
  const auto id = static_cast<std::size_t>(leaf.node->id);
  if (values_.size() <= id) values_.resize(id + 1);
  values_[id] = {value.astype(widened(value.dtype())).contiguous()};
}

void ErrorBound::extend() {
  values_.resize(graph_.nodes().size());
  for (std::size_t i = errors_.size(); i < graph_.nodes().size(); i++) {
    const Node& node = graph_.nodes()[i];
    std::vector<Tensor> bounds;
    for (const Type& t : node.results) bounds.emplace_back(t.shape, DType::f64);
    if (node.op != Op::input && node.op != Op::state) {
      const Node wide = widened(node);
      std::vector<Tensor> operands, errors, results;
      for (Value v : node.operands) {
        operands.push_back(value(v));
        errors.push_back(error(v));
      }
      for (const Type& t : wide.results) results.emplace_back(t.shape, t.dtype);
      definition(node.op).evaluate({wide, operands, results});
      const DType type = node.results.empty() ? DType::bool_ : node.results[0].dtype;
      bound({wide, type, operands, errors, results, bounds});
      values_[i] = std::move(results);
    }
    errors_.push_back(std::move(bounds));
  }
}

double unit_roundoff(DType t) {
  return t == DType::f32 ? 0x1p-24 : t == DType::f64 ? 2 * 0x1p-53 : 0;
}
double smallest_step(DType t) {
  return t == DType::f32   ? std::numeric_limits<float>::denorm_min()
         : t == DType::f64 ? std::numeric_limits<double>::denorm_min()
                           : 0;
}

}  // namespace kiln::graph
