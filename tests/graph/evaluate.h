#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "kiln/runtime/philox.h"

/// What the tests of ops share: expressions over tensors, evaluated by the reference interpreter.
namespace kiln::graph::testing {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();

/// A graph whose inputs come with their values.
class Expression {
 public:
  Graph graph{"test"};

  Value input(Tensor value) {
    inputs_.push_back(value);
    return graph.input(fmt::format("x{}", inputs_.size()), {value.dtype(), value.shape()});
  }
  Tensor evaluate(Value v) {
    graph.output(fmt::format("y{}", graph.outputs().size()), v);
    return interpret(graph, inputs_, {}).outputs.back();
  }

 private:
  std::vector<Tensor> inputs_;
};

inline Tensor tensor(Shape shape, const std::vector<double>& values, DType dtype = DType::f64) {
  return Tensor(values, std::move(shape)).astype(dtype);
}

/// Repeatable draws from a seed.
class Draw {
 public:
  explicit Draw(std::int64_t seed) : seed_(seed) {}
  /// An integer in [low, high].
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(word() % static_cast<std::uint64_t>(high - low + 1));
  }
  /// Elements in (-1, 1).
  Tensor tensor(Shape shape, DType dtype = DType::f64) {
    Tensor t(std::move(shape), DType::f64);
    for (std::int64_t i = 0; i < t.size(); i++) t.data<double>()[i] = (word() + 0.5) * 0x1p-31 - 1;
    return t.astype(dtype);
  }
  /// All different and at least `gap` from each other, in random order: for ops with kinks at ties.
  Tensor distinct(Shape shape, double gap = 0.1) {
    Tensor t(std::move(shape), DType::f64);
    double* p = t.data<double>();
    for (std::int64_t i = 0; i < t.size(); i++) {
      p[i] = gap * static_cast<double>(i - t.size() / 2);
      std::swap(p[i], p[(*this)(0, i)]);
    }
    return t;
  }
  /// int32 elements in [low, high].
  Tensor indices(Shape shape, std::int64_t low, std::int64_t high) {
    Tensor t(std::move(shape), DType::i32);
    for (std::int64_t i = 0; i < t.size(); i++)
      t.data<std::int32_t>()[i] = static_cast<std::int32_t>((*this)(low, high));
    return t;
  }

 private:
  std::uint32_t word() { return random_word(seed_, 0, 7, count_++); }
  std::int64_t seed_, count_ = 0;
};

/// Runs `f(draw)` for the seeds 0 to count - 1, up to the first that fails.
template <class F>
void for_seeds(int count, F&& f) {
  for (int seed = 0; seed < count && !::testing::Test::HasFailure(); seed++) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Draw draw(seed);
    f(draw);
  }
}

/// sum of a * b
inline double inner(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double sum = 0;
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  for (std::size_t i = 0; i < x.size(); i++) sum += x[i] * y[i];
  return sum;
}

/// Shape, and every element to `tolerance`, absolute and relative (NaN equals NaN).
inline void expect_tensor(const Tensor& got, const Shape& shape, const std::vector<double>& expected,
                          double tolerance = 0) {
  ASSERT_EQ(got.shape(), shape) << "got " << got.shape().to_string() << ", expected " << shape.to_string();
  const auto values = got.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); i++) {
    if (std::isnan(expected[i]))
      EXPECT_TRUE(std::isnan(values[i])) << "element " << i << " is " << values[i] << ", not NaN";
    else if (std::isinf(expected[i]))
      EXPECT_EQ(values[i], expected[i]) << "element " << i;
    else
      EXPECT_NEAR(values[i], expected[i], tolerance * (1 + std::fabs(expected[i]))) << "element " << i;
  }
}

inline void expect_close(const Tensor& got, const Tensor& expected, double tolerance = 0) {
  expect_tensor(got, expected.shape(), expected.to_vector<double>(), tolerance);
}

/// `f()` must throw `E` with a message that has every part.
template <class E, class F>
void expect_error(F&& f, const std::vector<std::string>& parts) {
  try {
    f();
  } catch (const E& e) {
    for (const std::string& part : parts)
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
          << "no \"" << part << "\" in: " << e.what();
    return;
  } catch (const std::exception& e) {
    FAIL() << "another kind of error: " << e.what();
  }
  FAIL() << "no error";
}

}  // namespace kiln::graph::testing
