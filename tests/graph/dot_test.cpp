#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

TEST(Dot, MatrixProductByHand) {
  Expression e;
  const Value a = e.input(tensor({2, 3}, {1, 2, 3, 4, 5, 6}));
  const Value b = e.input(tensor({3, 2}, {7, 8, 9, 10, 11, 12}));
  expect_tensor(e.evaluate(dot(a, b, {}, {}, {1}, {0})), {2, 2}, {58, 64, 139, 154});
}

TEST(Dot, TransposedOperandsGiveTheSame) {
  Expression e;
  const Value a = e.input(tensor({3, 2}, {1, 4, 2, 5, 3, 6}));
  const Value b = e.input(tensor({2, 3}, {7, 9, 11, 8, 10, 12}));
  expect_tensor(e.evaluate(dot(a, b, {}, {}, {0}, {1})), {2, 2}, {58, 64, 139, 154});
}

TEST(Dot, ContractingNothingIsAnOuterProduct) {
  Expression e;
  const Value a = e.input(tensor({2}, {1, 2})), b = e.input(tensor({3}, {3, 4, 5}));
  expect_tensor(e.evaluate(dot(a, b, {}, {}, {}, {})), {2, 3}, {3, 4, 5, 6, 8, 10});
}

TEST(Dot, ContractingAnEmptyAxisGivesZeros) {
  Expression e;
  const Value a = e.input(tensor({2, 0}, {})), b = e.input(tensor({0, 2}, {}));
  expect_tensor(e.evaluate(dot(a, b, {}, {}, {1}, {0})), {2, 2}, {0, 0, 0, 0});
}

TEST(Dot, ZeroTimesInfinityIsSeen) {
  Expression e;
  const Value a = e.input(tensor({1, 2}, {0, 1})), b = e.input(tensor({2, 1}, {infinity, 1}));
  expect_tensor(e.evaluate(dot(a, b, {}, {}, {1}, {0})), {1, 1}, {nan});
}

// Two batch and two contracted axes in mixed places, against the sum written out.
TEST(Dot, BatchAndContractedAxesAnywhere) {
  Draw draw(1);
  const Tensor a = draw.tensor({2, 5, 3, 4, 6}), b = draw.tensor({6, 4, 2, 7, 3});
  Expression e;
  // batch: axes of sizes 3 and 2; contracted: sizes 6 and 4
  const Value y = dot(e.input(a), e.input(b), {2, 0}, {4, 2}, {4, 3}, {0, 1});
  Tensor expected({3, 2, 5, 7}, DType::f64);
  for (int p = 0; p < 3; p++)
    for (int q = 0; q < 2; q++)
      for (int m = 0; m < 5; m++)
        for (int n = 0; n < 7; n++) {
          double sum = 0;
          for (int k = 0; k < 6; k++)
            for (int l = 0; l < 4; l++) sum += a(q, m, p, l, k) * b(k, l, q, n, p);
          expected(p, q, m, n) = sum;
        }
  expect_close(e.evaluate(y), expected, 1e-14);
}

TEST(Matmul, LeadingAxesBroadcast) {
  Draw draw(2);
  const Tensor a = draw.tensor({2, 1, 3, 4}), b = draw.tensor({5, 4, 2});
  Expression e;
  const Value y = matmul(e.input(a), e.input(b));
  Tensor expected({2, 5, 3, 2}, DType::f64);
  for (int p = 0; p < 2; p++)
    for (int q = 0; q < 5; q++)
      for (int m = 0; m < 3; m++)
        for (int n = 0; n < 2; n++) {
          double sum = 0;
          for (int k = 0; k < 4; k++) sum += a(p, 0, m, k) * b(q, k, n);
          expected(p, q, m, n) = sum;
        }
  expect_close(e.evaluate(y), expected, 1e-14);
}

TEST(Matmul, MatrixOnTheRightNeedsNoBroadcast) {
  Draw draw(3);
  const Tensor a = draw.tensor({2, 3, 4}), b = draw.tensor({4, 2});
  Expression e;
  const Value x = e.input(a), w = e.input(b), y = matmul(x, w);
  EXPECT_EQ(y.shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(y.node->operand(0), x);
  EXPECT_EQ(y.node->operand(1), w);
  double sum = 0;
  for (int k = 0; k < 4; k++) sum += a(1, 2, k) * b(k, 1);
  EXPECT_NEAR(e.evaluate(y)(1, 2, 1), sum, 1e-14);
}

// The sums have the same order, so the same bits.
TEST(DotPanels, AreAMatrixInOtherPlaces) {
  Expression e;
  Draw draw(1);
  const Value x = e.input(draw.tensor({3, 7})), w = e.input(draw.tensor({7, 128}));
  const Value panels = transpose(reshape(w, {7, 2, 64}), {1, 0, 2});
  EXPECT_TRUE(e.evaluate(dot_panels(x, panels)).to_vector<double>() ==
              e.evaluate(matmul(x, w)).to_vector<double>());
}

struct DotErrors : ::testing::Test {
  Graph g;
  Value f32(Shape shape) { return g.input("x", {DType::f32, std::move(shape)}); }
};

TEST_F(DotErrors, ContractedSizesDiffer) {
  LabelScope scope(g, "dense_1");
  const Value a = f32({2, 3}), b = f32({4, 5});
  expect_error<ShapeError>([&] { dot(a, b, {}, {}, {1}, {0}); },
                           {"dense_1 (dot)", "contracted", "(2, 3) is 3", "(4, 5) is 4"});
}
TEST_F(DotErrors, BatchSizesDiffer) {
  const Value a = f32({2, 3}), b = f32({4, 3});
  expect_error<ShapeError>([&] { dot(a, b, {0}, {0}, {1}, {1}); }, {"batch", "(2, 3) is 2", "(4, 3) is 4"});
}
TEST_F(DotErrors, AxesDontPair) {
  const Value a = f32({2, 3}), b = f32({3, 2});
  expect_error<ShapeError>([&] { dot(a, b, {}, {}, {0, 1}, {0}); }, {"pair up", "[0, 1]", "[0]"});
}
TEST_F(DotErrors, AxisOutOfRange) {
  const Value a = f32({2, 3}), b = f32({3, 2});
  expect_error<ShapeError>([&] { dot(a, b, {}, {}, {2}, {0}); }, {"lhs", "(2, 3)", "no axis 2"});
}
TEST_F(DotErrors, AxisNamedTwice) {
  const Value a = f32({3, 3}), b = f32({3, 3});
  expect_error<ShapeError>([&] { dot(a, b, {0}, {0}, {0}, {1}); }, {"axis 0 of the lhs is named twice"});
}
TEST_F(DotErrors, TypesDiffer) {
  const Value a = f32({2, 3}), b = g.input("b", {DType::f64, {3, 2}});
  expect_error<TypeError>([&] { dot(a, b, {}, {}, {1}, {0}); }, {"float32", "float64"});
}
TEST_F(DotErrors, Integers) {
  const Value a = g.input("a", {DType::i32, {2, 2}});
  expect_error<TypeError>([&] { dot(a, a, {}, {}, {1}, {0}); }, {"float32 or float64", "int32", "convert"});
}
TEST_F(DotErrors, PanelsOfOtherShapes) {
  const Value x = f32({2, 3});
  for (const Shape& panels : {Shape{3, 64}, Shape{2, 4, 64}, Shape{2, 3, 32}})
    expect_error<ShapeError>([&] { dot_panels(x, f32(panels)); },
                             {"(panels, steps, 64)", "(2, 3)", panels.to_string()});
  expect_error<TypeError>([&] { dot_panels(x, g.input("w", {DType::f64, {2, 3, 64}})); }, {"float64"});
}
TEST_F(DotErrors, MatmulOfVectors) {
  LabelScope scope(g, "attention");
  const Value a = f32({3}), b = f32({3, 2});
  expect_error<ShapeError>([&] { matmul(a, b); }, {"attention", "rank 2 or more", "(3,)", "reshape"});
}
TEST_F(DotErrors, MatmulLeadingAxes) {
  const Value a = f32({2, 3, 4}), b = f32({3, 4, 5});
  expect_error<ShapeError>([&] { matmul(a, b); }, {"leading axes", "(2, 3, 4)", "(3, 4, 5)"});
}

}  // namespace
}  // namespace kiln::graph::testing
