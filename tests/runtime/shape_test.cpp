#include "kiln/runtime/shape.h"

#include <gtest/gtest.h>

#include <sstream>

namespace kiln {
namespace {

TEST(Shape, PrintsAsKerasDoes) {
  EXPECT_EQ(Shape({None, 28, 28, 1}).to_string(), "(None, 28, 28, 1)");
  EXPECT_EQ(Shape({10}).to_string(), "(10,)");
  EXPECT_EQ(Shape().to_string(), "()");
}

TEST(Shape, CountsElementsIn64Bits) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape({3, 4}).elements(), 12);
  EXPECT_EQ(Shape({3, 0, 4}).elements(), 0);
  EXPECT_EQ(Shape({65536, 65536}).elements(), 4294967296);
  EXPECT_EQ(Shape({1 << 20, 1 << 20}).elements(), 1099511627776);
}

TEST(Shape, RefusesToCountWhatHasNoCount) {
  EXPECT_THROW(Shape({None, 3}).elements(), ShapeError);
  EXPECT_THROW(Shape({2, -3}).elements(), ShapeError);
  EXPECT_THROW(Shape({std::int64_t{1} << 32, std::int64_t{1} << 32}).elements(), ShapeError);
  EXPECT_EQ(Shape({std::int64_t{1} << 32, std::int64_t{1} << 32, 0}).elements(), 0);
}

TEST(Shape, Axes) {
  const Shape s({2, 3, 5});
  EXPECT_EQ(s.dim(-1), 5);
  EXPECT_EQ(s.dim(0), 2);
  EXPECT_THROW(s.dim(3), ShapeError);
  EXPECT_THROW(s.dim(-4), ShapeError);
  EXPECT_THROW(Shape().dim(0), ShapeError);
  EXPECT_EQ(normalize_axis(-3, 3, "sum"), 0);
  try {
    normalize_axis(3, 3, "sum");
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "sum: axis 3 is out of range for rank 3; it must be in [-3, 3)");
  }
}

TEST(Shape, StridesAreRowMajor) {
  EXPECT_EQ(Shape({2, 3, 5}).strides(), (std::vector<std::int64_t>{15, 5, 1}));
  EXPECT_EQ(Shape({2, 0, 5}).strides(), (std::vector<std::int64_t>{5, 5, 1}));
  EXPECT_TRUE(Shape().strides().empty());
}

TEST(Shape, Parts) {
  const Shape s({2, 3, 5});
  EXPECT_EQ(s.tail(), Shape({3, 5}));
  EXPECT_EQ(s.slice(1, 2), Shape({3}));
  EXPECT_EQ(s.slice(3, 3), Shape());
  EXPECT_EQ(s.prepend(7), Shape({7, 2, 3, 5}));
  EXPECT_THROW(s.slice(2, 4), ShapeError);
  EXPECT_THROW(s.slice(2, 1), ShapeError);
  EXPECT_THROW(Shape().tail(), ShapeError);
  EXPECT_TRUE(s.is_static());
  EXPECT_FALSE(Shape({None}).is_static());
}

TEST(Shape, GoesIntoStreams) {
  std::ostringstream out;
  out << Shape{None, 28, 1} << Shape{3};
  EXPECT_EQ(out.str(), "(None, 28, 1)(3,)");
}

}  // namespace
}  // namespace kiln
