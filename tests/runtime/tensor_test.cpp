#include "kiln/runtime/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "kiln/runtime/convert.h"
#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln {
namespace {

using testing::message_of;
using testing::TemporaryFolder;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// 0, 1, 2, ... in the given shape.
Tensor counting(Shape shape, DType dtype = DType::f32) {
  std::vector<double> v(static_cast<std::size_t>(shape.elements()));
  std::iota(v.begin(), v.end(), 0);
  return Tensor(v, std::move(shape)).astype(dtype);
}

template <class... T>
concept Braced = requires(T... v) { Tensor({v...}); };
static_assert(Braced<int, int> && Braced<std::int64_t, std::int64_t> && Braced<float>);
// Mixed types look like data, but were zeros of that shape.
static_assert(!Braced<std::int64_t, int> && !Braced<int, std::int64_t, int> && !Braced<short, int>);
static_assert(!Braced<std::size_t, std::size_t>);
static_assert(requires(std::int64_t n, int k) { Tensor({n, k}, DType::f32); });
static_assert(std::is_constructible_v<Tensor, Shape> && !std::is_convertible_v<Shape, Tensor>);

TEST(Tensor, OfAShapeIsZeros) {
  const std::int64_t n = 2;
  EXPECT_EQ(Tensor(Shape{n, 3}).to_vector<float>(), std::vector<float>(6, 0.f));
  EXPECT_EQ(Tensor({n, 3}, DType::i32).shape(), (Shape{2, 3}));
  EXPECT_EQ(Tensor({2, 3}).to_vector<int>(), (std::vector<int>{2, 3}));
}

TEST(Tensor, FromVectorsOfOtherIntegers) {
  const Tensor sizes(std::vector<std::size_t>{1, 2, 3, 4}, {2, 2});
  EXPECT_EQ(sizes.dtype(), DType::i64);
  EXPECT_EQ(sizes.shape(), (Shape{2, 2}));
  EXPECT_EQ(sizes.to_vector<int>(), (std::vector<int>{1, 2, 3, 4}));
  const Tensor small(std::vector<std::int16_t>{-1, 2});
  EXPECT_EQ(small.dtype(), DType::i32);
  EXPECT_EQ(small.to_vector<int>(), (std::vector<int>{-1, 2}));
  EXPECT_EQ(Tensor(std::vector<unsigned>{4294967295u}).item(), 4294967295.0);
  EXPECT_EQ(Tensor(std::vector<long long>{-5}).item(), -5);
  EXPECT_EQ(message_of<ValueError>([] { Tensor(std::vector<std::uint64_t>{1, 9223372036854775808u}); }),
            "Tensor: 9223372036854775808 doesn't fit into int64, the widest whole numbers");
}

TEST(Tensor, FromLists) {
  const Tensor a({1.f, 2.5f});
  EXPECT_EQ(a.shape(), Shape({2}));
  EXPECT_EQ(a.dtype(), DType::f32);
  EXPECT_EQ(a(1), 2.5);
  const Tensor b({{1, 2, 3}, {4, 5, 6}});
  EXPECT_EQ(b.shape(), Shape({2, 3}));
  EXPECT_EQ(b.dtype(), DType::i32);
  EXPECT_EQ(b(1, -1), 6);
  EXPECT_EQ(Tensor({true, false}).dtype(), DType::bool_);
  EXPECT_THROW(Tensor({{1, 2}, {3}}), ShapeError);
}

TEST(Tensor, FromVectorsAndSpans) {
  const std::vector<std::int64_t> v{1, 2, 3, 4};
  EXPECT_EQ(Tensor(v).shape(), Shape({4}));
  EXPECT_EQ(Tensor(v, {2, 2})(1, 0), 3);
  EXPECT_EQ(Tensor(std::span<const std::int64_t>(v), {4, 1})(3, 0), 4);
  EXPECT_EQ(Tensor(std::vector<bool>{true, false}).to_vector<bool>(), (std::vector<bool>{true, false}));
  std::vector<float> f{1, 2};
  EXPECT_EQ(Tensor(std::span<float>(f))(1), 2);
  EXPECT_EQ(Tensor(std::span<float>(f), {2, 1})(1, 0), 2);
  EXPECT_THROW(Tensor(v, {3}), ShapeError);
  EXPECT_EQ(Tensor(std::vector<float>{}).size(), 0);
}

TEST(Tensor, BeginsAsZerosAlignedTo64Bytes) {
  for (std::int64_t n : {0, 1, 3, 1000, 5000000}) {
    const Tensor t(Shape{n}, DType::f32);
    EXPECT_TRUE(t.defined());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.raw()) % 64, 0u);
    for (float x : t.span<float>()) ASSERT_EQ(x, 0);
  }
}

TEST(Tensor, FullAndScalar) {
  EXPECT_EQ(Tensor::full({2, 2}, 3, DType::u8).to_vector<int>(), (std::vector<int>{3, 3, 3, 3}));
  EXPECT_EQ(Tensor::scalar(7, DType::i64).item(), 7);
  EXPECT_EQ(Tensor::scalar(7).rank(), 0);
  EXPECT_EQ(Tensor::scalar(7)(), 7);
}

TEST(Tensor, MoreThanTheMachineHasIsAnError) {
  EXPECT_THROW(Tensor({-1, 3}, DType::f32), ShapeError);
  EXPECT_THROW(Tensor({None, 3}, DType::f32), ShapeError);
  const std::int64_t n = std::int64_t{1} << 21;
  EXPECT_EQ(message_of<ShapeError>([&] { Tensor t({n, n}, DType::f64); }),
            "Tensor: the shape (2097152, 2097152) of 4398046511104 elements of type float64 needs 35184.4 GB "
            "of memory, "
            "which this machine doesn't have");
  EXPECT_THROW(Tensor({std::int64_t{1} << 61}, DType::f64), ShapeError);  // the byte count leaves 63 bits
  EXPECT_THROW(Tensor({n, n, n}, DType::u8), ShapeError);                 // the element count does
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  Tensor a({1.f, 2.f});
  Tensor shared = a, own = a.clone();
  a(0) = 9;
  EXPECT_EQ(shared(0), 9);
  EXPECT_EQ(own(0), 1);
}

TEST(Tensor, ElementsReadAndAssign) {
  Tensor t({2, 3}, DType::i32);
  t(1, 2) = 7.9;
  t(0, 0) = t(1, 2);
  EXPECT_EQ(t(0, 0), 7);
  t(0, 1) += 5;
  t(0, 1) *= 3;
  t(0, 1) -= 1;
  t(0, 1) /= 4;
  EXPECT_EQ(t(0, 1), 3);  // 14 / 4, truncated
  EXPECT_EQ(t(-1, -1), 7);
  EXPECT_EQ(message_of<ShapeError>([&] { t(2, 0) = 1; }),
            "Tensor: index 2 is out of range for axis 0 of the shape (2, 3)");
  EXPECT_THROW(t(0, -4), ShapeError);
  EXPECT_EQ(message_of<ShapeError>([&] { t(0) = 1; }), "Tensor: 1 indices into the shape (2, 3) of rank 2");
}

TEST(Tensor, TypedAccessChecksTheType) {
  Tensor t({1.f, 2.f});
  EXPECT_EQ(t.data<float>()[1], 2);
  EXPECT_EQ(message_of<TypeError>([&] { t.data<double>(); }),
            "Tensor: elements asked for as float64 but their type is float32; convert with astype()");
  EXPECT_THROW(t.span<std::int32_t>(), TypeError);
}

TEST(Tensor, SpansShareElements) {
  Tensor t({{1.f, 2.f}, {3.f, 4.f}});
  for (float& x : t.span<float>()) x *= 2;
  const Tensor& same = t;
  EXPECT_EQ(same.span<float>().size(), 4u);
  EXPECT_EQ(same.span<float>()[3], 8);
}

TEST(Tensor, ItemIsTheOnlyElement) {
  EXPECT_EQ(Tensor({{5.f}}).item(), 5);
  EXPECT_THROW(Tensor({1.f, 2.f}).item(), ShapeError);
  EXPECT_THROW(Tensor(Shape{0}).item(), ShapeError);
}

TEST(Tensor, IndexingSharesElements) {
  Tensor t = counting({3, 4});
  Tensor row = t[-1];
  EXPECT_EQ(row.shape(), Shape({4}));
  row(0) = 80;
  EXPECT_EQ(t(2, 0), 80);
  EXPECT_EQ(t[1][2].item(), 6);
  EXPECT_THROW(t[3], ShapeError);
  EXPECT_THROW(t[-4], ShapeError);
  EXPECT_THROW(t[0][0][0], ShapeError);
}

TEST(Tensor, SlicesTakeBoundsAsPythonDoes) {
  const Tensor t = counting({5, 2});
  EXPECT_EQ(t.slice(1, 3).to_vector<int>(), (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(t.slice(-2, 100).to_vector<int>(), (std::vector<int>{6, 7, 8, 9}));
  EXPECT_EQ(t.slice(-100, 1).shape(), Shape({1, 2}));
  EXPECT_EQ(t.slice(3, 2).shape(), Shape({0, 2}));
  EXPECT_EQ(t.slice(5, 9).shape(), Shape({0, 2}));
  EXPECT_THROW(Tensor::scalar(1).slice(0, 1), ShapeError);
}

TEST(Tensor, StridedViews) {
  std::vector<float> memory(12);
  std::iota(memory.begin(), memory.end(), 0.f);
  // The transpose of a 3 x 4 matrix.
  Tensor t = Tensor::view(memory.data(), {4, 3}, {1, 4});
  EXPECT_FALSE(t.is_contiguous());
  EXPECT_EQ(t(1, 2), 9);
  EXPECT_EQ(t.to_vector<int>(), (std::vector<int>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(t[1].to_vector<int>(), (std::vector<int>{1, 5, 9}));
  EXPECT_EQ(t.slice(2, 4).to_vector<int>(), (std::vector<int>{2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(t.reshape({2, 6})(1, 0), 2);
  EXPECT_EQ(t.astype(DType::i64)(3, 2), 11);
  EXPECT_THROW(t.span<float>(), ShapeError);
  EXPECT_TRUE(t.contiguous().is_contiguous());
  t(0, 1) = -1;
  EXPECT_EQ(memory[4], -1);
  // Backwards, and one element many times.
  EXPECT_EQ(Tensor::view(&memory[11], {3}, {-1}).to_vector<int>(), (std::vector<int>{11, 10, 9}));
  EXPECT_EQ(Tensor::view(&memory[2], {2, 2}, {0, 0}).to_vector<int>(), (std::vector<int>{2, 2, 2, 2}));
}

TEST(Tensor, AxesOfSizeOneDoNotMatterForContiguity) {
  float memory[6] = {};
  EXPECT_TRUE(Tensor::view(memory, {1, 6}, {99, 1}).is_contiguous());
  EXPECT_TRUE(Tensor::view(memory, {6, 1}, {1, 99}).is_contiguous());
  EXPECT_TRUE(Tensor::view(memory, {0, 3}, {7, 9}).is_contiguous());
  EXPECT_FALSE(Tensor::view(memory, {3, 1}, {2, 1}).is_contiguous());
}

TEST(Tensor, ViewsCheckTheirArguments) {
  float memory[4] = {};
  EXPECT_THROW(Tensor::view(memory, {2, 2}, {1}), ShapeError);
  EXPECT_THROW(Tensor::view(static_cast<float*>(nullptr), {2}), ValueError);
  EXPECT_THROW(Tensor::view(reinterpret_cast<char*>(memory) + 1, {2}, DType::f32), ValueError);
  const Tensor none = Tensor::view(static_cast<float*>(nullptr), {0});
  EXPECT_TRUE(none.defined());
  EXPECT_NE(none.raw(), nullptr);
}

TEST(Tensor, ViewsKeepTheirOwner) {
  auto owner = std::make_shared<std::vector<float>>(3, 4.f);
  std::weak_ptr<std::vector<float>> watch = owner;
  Tensor row;
  {
    const Tensor t = Tensor::view(owner->data(), {3, 1}, DType::f32, {}, owner);
    owner.reset();
    row = t[2];
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(row(0), 4);
  row = {};
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, ReshapeSharesAndInfers) {
  Tensor t = counting({2, 6});
  Tensor r = t.reshape({3, None});
  EXPECT_EQ(r.shape(), Shape({3, 4}));
  r(0, 0) = 50;
  EXPECT_EQ(t(0, 0), 50);
  EXPECT_EQ(Tensor::scalar(3).reshape({1, 1})(0, 0), 3);
  EXPECT_EQ(Tensor({0, 3}, DType::f32).reshape({3, 0}).size(), 0);
  EXPECT_EQ(message_of<ShapeError>([&] { t.reshape({5, 2}); }),
            "Tensor::reshape: the shape (2, 6) has 12 elements, (5, 2) has 10");
  EXPECT_THROW(t.reshape({5, None}), ShapeError);
  EXPECT_THROW(t.reshape({None, None}), ShapeError);
  EXPECT_THROW(t.reshape({0, None}), ShapeError);
  EXPECT_THROW(t.reshape({-12}), ShapeError);
}

TEST(Tensor, AstypeTruncatesSaturatesAndMakesNaNZero) {
  const Tensor t({-kInf, -1e300, -2.9, -0.5, 0.0, 0.9, 255.5, 256.0, 3e9, 1e19, kInf, kNaN});
  constexpr std::int32_t low = std::numeric_limits<std::int32_t>::min(),
                         high = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t low64 = std::numeric_limits<std::int64_t>::min(),
                         high64 = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(t.to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{low, low, -2, 0, 0, 0, 255, 256, high, high, high, 0}));
  EXPECT_EQ(t.to_vector<std::int64_t>(),
            (std::vector<std::int64_t>{low64, low64, -2, 0, 0, 0, 255, 256, 3000000000, high64, high64, 0}));
  EXPECT_EQ(t.to_vector<std::uint8_t>(),
            (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 0}));
  EXPECT_EQ(t.to_vector<bool>(), (std::vector<bool>{1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1}));
}

TEST(Tensor, AstypeFromIntegersAndBools) {
  EXPECT_EQ(Tensor({-1, 256, 300}).to_vector<std::uint8_t>(), (std::vector<std::uint8_t>{255, 0, 44}));
  EXPECT_EQ(Tensor({(std::int64_t{1} << 32) + 5}).to_vector<std::int32_t>(), (std::vector<std::int32_t>{5}));
  EXPECT_EQ(Tensor({true, false}).to_vector<double>(), (std::vector<double>{1, 0}));
  EXPECT_EQ(Tensor({16777217}).to_vector<float>(), (std::vector<float>{16777216.f}));
}

TEST(Tensor, AstypeToTheSameTypeShares) {
  Tensor t({1.f});
  EXPECT_EQ(t.astype(DType::f32).raw(), t.raw());
  EXPECT_NE(t.astype(DType::f64).raw(), t.raw());
}

// The last floating-point number below each bound, and the bound itself.
TEST(Convert, BoundsOfIntegers) {
  EXPECT_EQ(convert<std::int32_t>(2147483520.f), 2147483520);
  EXPECT_EQ(convert<std::int32_t>(2147483648.f), 2147483647);
  EXPECT_EQ(convert<std::int32_t>(2147483647.5), 2147483647);
  EXPECT_EQ(convert<std::int32_t>(-2147483648.9), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(convert<std::int64_t>(9223372036854774784.0), 9223372036854774784);
  EXPECT_EQ(convert<std::int64_t>(9223372036854775808.0), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(convert<std::int64_t>(9223371487098961920.f), 9223371487098961920);
  EXPECT_EQ(convert<std::uint8_t>(255.99f), 255);
  EXPECT_EQ(convert<std::uint8_t>(-0.99f), 0);
}

TEST(EmptyTensor, ItsUseIsAnErrorNotACrash) {
  const Tensor fresh;
  Tensor source({1.f, 2.f});
  const Tensor taken = std::move(source);
  Tensor assigned;
  Tensor from({3.f});
  assigned = std::move(from);
  EXPECT_EQ(taken(1), 2);
  EXPECT_EQ(assigned(0), 3);

  for (const Tensor* t : {&fresh, static_cast<const Tensor*>(&source), static_cast<const Tensor*>(&from)}) {
    EXPECT_FALSE(t->defined());
    EXPECT_EQ(t->size(), 0);
    EXPECT_EQ(t->nbytes(), 0u);
    EXPECT_EQ(t->raw(), nullptr);
    EXPECT_EQ(t->to_string(), "<empty Tensor>");
    EXPECT_THROW(t->data<float>(), StateError);
    EXPECT_THROW(t->span<float>(), StateError);
    EXPECT_THROW(t->to_vector<float>(), StateError);
    EXPECT_THROW((*t)(), StateError);
    EXPECT_THROW((*t)(0), StateError);
    EXPECT_THROW((*t)[0], StateError);
    EXPECT_THROW(t->slice(0, 1), StateError);
    EXPECT_THROW(t->item(), StateError);
    EXPECT_THROW(t->reshape({1}), StateError);
    EXPECT_THROW(t->clone(), StateError);
    EXPECT_THROW(t->contiguous(), StateError);
    EXPECT_THROW(t->astype(DType::f32), StateError);
    EXPECT_THROW(t->astype(DType::f64), StateError);
    EXPECT_THROW(t->save_npy(TemporaryFolder() / "never.npy"), StateError);
    EXPECT_THROW(t->dim(0), ShapeError);
  }
}

TEST(EmptyTensor, CanBeCopiedAndGivenAValue) {
  Tensor a;
  Tensor b = a;
  b = Tensor({1.f});
  EXPECT_FALSE(a.defined());
  EXPECT_EQ(b.item(), 1);
  Tensor& same = b;
  b = std::move(same);
  EXPECT_EQ(b.item(), 1);
}

}  // namespace
}  // namespace kiln
