// Every elementwise op on every type against the reference evaluation's rules, at hand-picked corners.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "graph/op_def.h"
#include "kiln/graph/interpreter.h"
#include "run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Op;
constexpr DType all_types[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_};

template <class T>
std::vector<T> corners() {
  using limits = std::numeric_limits<T>;
  if constexpr (std::is_same_v<T, bool>) {
    return {};
  } else if constexpr (std::is_integral_v<T>) {
    return {0,
            1,
            2,
            3,
            7,
            8,
            31,
            32,
            33,
            63,
            64,
            100,
            limits::max(),
            limits::min(),
            T(limits::max() - 1),
            T(-1),
            T(-2),
            T(-7),
            T(-32),
            T(-64)};
  } else {
    return {0,
            T(-0.0),
            1,
            -1,
            0.5,
            -0.5,
            1.5,
            2.5,
            -2.5,
            3,
            100.75,
            -100.75,
            255,
            256,
            -3,
            2147483647.0,
            2147483648.0,
            -2147483648.0,
            -2147483904.0,
            T(9.3e18),
            T(-9.3e18),
            T(1e30),
            T(-1e30),
            limits::infinity(),
            -limits::infinity(),
            limits::quiet_NaN(),
            limits::min(),
            limits::denorm_min(),
            limits::max()};
  }
}

/// All pairs of corners as two tensors (bool: the four pairs).
std::pair<Tensor, Tensor> pairs(DType dtype) {
  return kiln::visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> values = corners<T>();
    if constexpr (std::is_same_v<T, bool>) values = {false, true};
    const auto n = static_cast<std::int64_t>(values.size() * values.size());
    std::pair<Tensor, Tensor> result{Tensor(Shape{n}, dtype), Tensor(Shape{n}, dtype)};
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (std::size_t j = 0; j < values.size(); ++j) {
        result.first.template data<T>()[i * values.size() + j] = values[i];
        result.second.template data<T>()[i * values.size() + j] = values[j];
      }
    }
    return result;
  });
}

bool same_element(DType dtype, const Tensor& a, const Tensor& b, std::int64_t i, bool ignore_zero_sign) {
  return kiln::visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T x = a.data<T>()[i], y = b.data<T>()[i];
    if (x != x && y != y) return true;
    if (ignore_zero_sign && x == y) return true;
    return std::memcmp(&x, &y, sizeof(T)) == 0;
  });
}

/// One op through the graph's interpreter and through a kernel, with vectors and with scalars.
void expect_same(Op op, graph::Attributes attributes, const std::vector<Tensor>& inputs, DType out,
                 const std::function<Expr(const std::vector<Expr>&)>& expr, bool ignore_zero_sign = false) {
  graph::Graph g;
  std::vector<graph::Value> values;
  for (const Tensor& t : inputs) values.push_back(g.input("x", {t.dtype(), t.shape()}));
  g.output("y", g.emit(op, values, attributes).value());
  const Tensor expected = graph::interpret(g, inputs, {}).outputs[0];
  const std::int64_t n = inputs[0].size();
  for (const auto& [lanes, target] :
       {std::pair(16, Target::host()), std::pair(8, targets().back()), std::pair(1, Target::host())}) {
    const Var i = make_var("i", n);
    Kernel k{.name = std::string(graph::op_name(op))};
    std::vector<Expr> loads;
    std::vector<void*> buffers;
    for (const Tensor& t : inputs) {
      loads.push_back(load(static_cast<int>(k.buffers.size()), t.dtype(), i));
      k.buffers.push_back({t.dtype(), n, false, false});
      buffers.push_back(const_cast<void*>(t.raw()));
    }
    Tensor result(Shape{n}, out);
    k.buffers.push_back({out, n, true, false});
    buffers.push_back(result.raw());
    k.body = {vector_loop(i, lanes, {store(static_cast<int>(inputs.size()), i, expr(loads))})};
    RunnableKernel run(k, target);
    run(buffers);
    for (std::int64_t e = 0; e < n; ++e) {
      ASSERT_TRUE(same_element(out, result, expected, e, ignore_zero_sign))
          << graph::op_name(op) << " of " << name(inputs[0].dtype()) << " at " << e << ": " << inputs[0](e)
          << ", " << inputs.back()(e) << " gives " << result(e) << ", not " << expected(e) << " (" << lanes
          << " lanes)";
    }
  }
}

/// Types that the op's shape rule accepts.
bool accepts(Op op, DType dtype, int operands) {
  graph::Graph g;
  std::vector<graph::Value> values;
  for (int i = 0; i < operands; ++i) values.push_back(g.input("x", {dtype, Shape{1}}));
  try {
    g.emit(op, values);
    return true;
  } catch (const TypeError&) {
    return false;
  }
}

TEST(Elementwise, BinaryOpsOnAllPairsOfCorners) {
  for (Op op : {Op::add, Op::sub, Op::mul, Op::div, Op::rem, Op::maximum, Op::minimum, Op::bit_and,
                Op::bit_or, Op::bit_xor, Op::shift_left, Op::shift_right}) {
    int types = 0;
    for (DType dtype : all_types) {
      if (!accepts(op, dtype, 2)) continue;
      ++types;
      const auto [a, b] = pairs(dtype);
      // Which zero is the larger is left open.
      const bool extremum = op == Op::maximum || op == Op::minimum;
      expect_same(op, {}, {a, b}, dtype, [&](const std::vector<Expr>& x) { return apply(op, x); }, extremum);
    }
    EXPECT_GE(types, 3) << graph::op_name(op);
  }
}

TEST(Elementwise, ExactUnaryOps) {
  for (Op op : {Op::neg, Op::abs, Op::sign, Op::floor, Op::ceil, Op::round, Op::sqrt, Op::is_finite,
                Op::logical_not, Op::stop_gradient}) {
    int types = 0;
    for (DType dtype : all_types) {
      if (!accepts(op, dtype, 1)) continue;
      ++types;
      const bool truth = op == Op::is_finite || op == Op::logical_not;
      expect_same(op, {}, {pairs(dtype).second}, truth ? DType::bool_ : dtype,
                  [&](const std::vector<Expr>& x) { return apply(op, x); });
    }
    EXPECT_GE(types, 1) << graph::op_name(op);
  }
}

TEST(Elementwise, Comparisons) {
  for (DType dtype : all_types) {
    const auto [a, b] = pairs(dtype);
    for (const char* direction : {"eq", "ne", "lt", "le", "gt", "ge"}) {
      expect_same(Op::compare, {{"direction", std::string(direction)}}, {a, b}, DType::bool_,
                  [&](const std::vector<Expr>& x) { return compare_expr(direction, x[0], x[1]); });
    }
  }
}

TEST(Elementwise, ConversionsBetweenAllTypes) {
  for (DType from : all_types) {
    for (DType to : all_types) {
      if (from == to) continue;
      expect_same(Op::convert, {{"dtype", to}}, {pairs(from).first}, to,
                  [&](const std::vector<Expr>& x) { return convert_expr(x[0], to); });
    }
  }
}

TEST(Elementwise, SelectOfEveryType) {
  std::mt19937 random(5);
  for (DType dtype : all_types) {
    const auto [a, b] = pairs(dtype);
    Tensor predicate(a.shape(), DType::bool_);
    for (std::int64_t i = 0; i < a.size(); ++i) predicate.data<bool>()[i] = random() % 2 == 0;
    expect_same(Op::select, {}, {predicate, a, b}, dtype,
                [&](const std::vector<Expr>& x) { return select_expr(x[0], x[1], x[2]); });
  }
}

TEST(Elementwise, MaximumWithAConstantHasTheBitsOfTheGeneralForm) {
  const std::vector<float> x = corners<float>();
  const auto n = static_cast<std::int64_t>(x.size());
  for (float bound : {0.0F, -0.0F, 2.5F}) {
    for (Op op : {Op::maximum, Op::minimum}) {
      const Var i = make_var("i", n);
      Kernel k{.name = "both"};
      k.buffers = {{DType::f32, n, false, false},
                   {DType::f32, 1, false, false},
                   {DType::f32, n, true, false},
                   {DType::f32, n, true, false}};
      const Expr value = load(0, DType::f32, i);
      k.body = {vector_loop(i, 16,
                            {store(2, i, apply(op, {value, constant_expr(DType::f32, bound)})),
                             store(3, i, apply(op, {value, load(1, DType::f32, 0)}))})};
      std::vector<float> y(x.size()), z(x.size());
      RunnableKernel run(k);
      run({const_cast<float*>(x.data()), &bound, y.data(), z.data()});
      for (std::size_t e = 0; e < x.size(); ++e) {
        EXPECT_TRUE(std::memcmp(&y[e], &z[e], 4) == 0 || (std::isnan(y[e]) && std::isnan(z[e])))
            << x[e] << " " << bound;
      }
    }
  }
}

}  // namespace
}  // namespace kiln::codegen
