#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "kiln/runtime/tensor.h"

// What numpy 2.4's str() gives for the same arrays.

namespace kiln {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Tensor arange(std::int64_t n, DType dtype = DType::f32) {
  std::vector<double> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return Tensor(v).astype(dtype);
}

TEST(Print, PointsLineUp) {
  EXPECT_EQ(Tensor({{1.f, 2.5f}, {3.f, 4.f}}).to_string(), "[[1.  2.5]\n [3.  4. ]]");
  EXPECT_EQ(Tensor({-1.5f, 20.f}).to_string(), "[-1.5 20. ]");
  EXPECT_EQ(Tensor({0.f, -0.f}).to_string(), "[ 0. -0.]");
}

TEST(Print, EightDigits) {
  EXPECT_EQ(Tensor({1.0 / 3, 2.0}).to_string(), "[0.33333333 2.        ]");
  EXPECT_EQ(Tensor({1.f / 3, 2.f}).to_string(), "[0.33333334 2.        ]");
  EXPECT_EQ(Tensor({0.1f, 0.7f}).to_string(), "[0.1 0.7]");
  EXPECT_EQ(Tensor({12345678.9}).to_string(), "[12345678.9]");
}

TEST(Print, WideRangesAreScientific) {
  EXPECT_EQ(Tensor({1e-5, 1.0}).to_string(), "[1.e-05 1.e+00]");
  EXPECT_EQ(Tensor({1e8}).to_string(), "[1.e+08]");
  EXPECT_EQ(Tensor({1234567.f}).to_string(), "[1.234567e+06]");
  EXPECT_EQ(Tensor({1e-5f, 0.12345678f}).to_string(), "[9.9999997e-06 1.2345678e-01]");
  EXPECT_EQ(Tensor({1e300, 1e-7, -2.0}).to_string(), "[ 1.e+300  1.e-007 -2.e+000]");
  EXPECT_EQ(Tensor({1.f, 1000.f}).to_string(), "[   1. 1000.]");
  EXPECT_EQ(Tensor({1.f, 1001.f}).to_string(), "[1.000e+00 1.001e+03]");
}

TEST(Print, NotNumbers) {
  EXPECT_EQ(Tensor({kNaN, -kInf, 1.5f}).to_string(), "[ nan -inf  1.5]");
  EXPECT_EQ(Tensor({kInf, 1.f}).to_string(), "[inf  1.]");
  EXPECT_EQ(Tensor({kNaN, kNaN}).to_string(), "[nan nan]");
  EXPECT_EQ(Tensor({kInf, 1e10f}).to_string(), "[   inf 1.e+10]");
}

TEST(Print, IntegersAndBools) {
  EXPECT_EQ(Tensor({{1, -20}, {300, 4}}).to_string(), "[[  1 -20]\n [300   4]]");
  EXPECT_EQ(Tensor({true, false}).to_string(), "[ True False]");
  EXPECT_EQ(Tensor({true, true}).to_string(), "[ True  True]");
  EXPECT_EQ(Tensor({std::uint8_t{7}, std::uint8_t{255}}).to_string(), "[  7 255]");
}

TEST(Print, ScalarsHaveAllTheirDigits) {
  EXPECT_EQ(Tensor::scalar(2.5).to_string(), "2.5");
  EXPECT_EQ(Tensor::scalar(3).to_string(), "3.0");
  EXPECT_EQ(Tensor::scalar(1.0 / 3, DType::f64).to_string(), "0.3333333333333333");
  EXPECT_EQ(Tensor::scalar(1e-5).to_string(), "1e-05");
  EXPECT_EQ(Tensor::scalar(1234567).to_string(), "1.234567e+06");
  EXPECT_EQ(Tensor::scalar(1e15, DType::f64).to_string(), "1000000000000000.0");
  EXPECT_EQ(Tensor::scalar(kNaN).to_string(), "nan");
  EXPECT_EQ(Tensor::scalar(-kInf).to_string(), "-inf");
  EXPECT_EQ(Tensor::scalar(1, DType::bool_).to_string(), "True");
  EXPECT_EQ(Tensor::scalar(-7, DType::i64).to_string(), "-7");
}

TEST(Print, ManyAxes) {
  EXPECT_EQ(arange(8).reshape({2, 2, 2}).to_string(), "[[[0. 1.]\n  [2. 3.]]\n\n [[4. 5.]\n  [6. 7.]]]");
  EXPECT_EQ(arange(4, DType::i32).reshape({2, 1, 2, 1}).to_string(),
            "[[[[0]\n   [1]]]\n\n\n [[[2]\n   [3]]]]");
}

TEST(Print, WithoutElements) {
  EXPECT_EQ(Tensor(Shape{0}).to_string(), "[]");
  EXPECT_EQ(Tensor({3, 0}, DType::i32).to_string(), "[]");
}

TEST(Print, LongLinesAreBroken) {
  EXPECT_EQ(arange(30, DType::i64).to_string(),
            "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
            " 24 25 26 27 28 29]");
  std::vector<float> v(20, 1.5f);
  v[17] = 2;  // the last of its line: no spaces are left at the end
  v[14] = 2;
  EXPECT_EQ(Tensor(v, {1, 20}).to_string(),
            "[[1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 2.  1.5 1.5 2.\n"
            "  1.5 1.5]]");
}

TEST(Print, MoreThanAThousandElementsAreSummarised) {
  EXPECT_EQ(arange(1001).to_string(), "[   0.    1.    2. ...  998.  999. 1000.]");
  EXPECT_EQ(arange(1001, DType::i32).to_string(), "[   0    1    2 ...  998  999 1000]");
  EXPECT_EQ(arange(1200, DType::i32).reshape({30, 40}).to_string(),
            "[[   0    1    2 ...   37   38   39]\n [  40   41   42 ...   77   78   79]\n"
            " [  80   81   82 ...  117  118  119]\n ...\n [1080 1081 1082 ... 1117 1118 1119]\n"
            " [1120 1121 1122 ... 1157 1158 1159]\n [1160 1161 1162 ... 1197 1198 1199]]");
  EXPECT_EQ(arange(1002, DType::i32).reshape({2, 501}).to_string(),
            "[[   0    1    2 ...  498  499  500]\n [ 501  502  503 ...  999 1000 1001]]");
}

TEST(Print, Streams) {
  std::ostringstream out;
  out << Tensor({1.f, 2.f});
  EXPECT_EQ(out.str(), "[1. 2.]");
}

TEST(Print, StridedViews) {
  std::int32_t memory[6] = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(Tensor::view(memory, {3, 2}, {1, 3}).to_string(), "[[0 3]\n [1 4]\n [2 5]]");
}

}  // namespace
}  // namespace kiln
