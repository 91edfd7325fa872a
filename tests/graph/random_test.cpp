#include <set>

#include "evaluate.h"

namespace kiln::graph::testing {
namespace {

// Known answers published with the authors' implementation (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

Tensor key(std::int64_t seed, std::int64_t step) {
  return Tensor({seed, step});
}

TEST(RandomBits, AreThePublishedWords) {
  Expression e;
  const auto bits = e.evaluate(random_bits(e.input(key(0, 0)), {64}, 0)).to_vector<std::int32_t>();
  EXPECT_EQ(static_cast<std::uint32_t>(bits[0]), 0x6627e8d5u);
  EXPECT_EQ(static_cast<std::uint32_t>(bits[48]), 0x9b00dbd8u);
}

TEST(RandomBits, AreTheRuntimesWords) {
  const std::int64_t seed = -81985529216486896, step = std::int64_t{5} << 33;
  Expression e;
  const Tensor bits = e.evaluate(random_bits(e.input(key(seed, step)), {3, 64}, 12));
  std::set<std::int64_t> words;
  for (std::int64_t i = 0; i < 192; i++) {
    const std::int64_t word = random_bits_word(i);
    words.insert(word);
    EXPECT_EQ(static_cast<std::uint32_t>(bits.data<std::int32_t>()[i]), random_word(seed, step, 12, word))
        << i;
  }
  EXPECT_EQ(words.size(), 192u);
  EXPECT_EQ(*words.rbegin(), 191);
}

TEST(RandomBits, SeedStepAndStreamAllMatter) {
  Expression e;
  std::set<double> first;
  for (auto [seed, step, stream] :
       {std::tuple{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 0}, {0, 1, 1}})
    first.insert(e.evaluate(random_bits(e.input(key(seed, step)), {1}, stream))(0));
  EXPECT_EQ(first.size(), 6u);
}

TEST(RandomUniform, IsTheTopBitsOfEachWord) {
  Expression e;
  const Value k = e.input(key(42, 7));
  const Tensor single = e.evaluate(random_uniform(k, {50}, 3)),
               wide = e.evaluate(random_uniform(k, {50}, 3, DType::f64));
  EXPECT_EQ(single.dtype(), DType::f32);
  EXPECT_EQ(wide.dtype(), DType::f64);
  for (std::int64_t i = 0; i < 50; i++) {
    const std::uint32_t word = random_word(42, 7, 3, random_bits_word(i));
    EXPECT_EQ(single(i), (word >> 8) * 0x1p-24) << i;
    EXPECT_EQ(wide(i), word * 0x1p-32) << i;
  }
}

// 100,000 draws: all in [0, 1), each tenth holds a tenth (5 standard deviations), neighbours don't correlate.
TEST(RandomUniform, LooksUniform) {
  constexpr int n = 100000;
  Expression e;
  const auto u = e.evaluate(random_uniform(e.input(key(3, 0)), {n}, 0)).to_vector<double>();
  std::vector<int> tenths(10);
  double correlation = 0;
  for (int i = 0; i < n; i++) {
    ASSERT_GE(u[i], 0);
    ASSERT_LT(u[i], 1);
    tenths[static_cast<std::size_t>(u[i] * 10)]++;
    if (i > 0) correlation += (u[i] - 0.5) * (u[i - 1] - 0.5) * 12 / n;
  }
  for (int count : tenths) EXPECT_NEAR(count, n / 10, 5 * std::sqrt(n * 0.1 * 0.9));
  EXPECT_NEAR(correlation, 0, 5 / std::sqrt(n));
}

TEST(RandomErrors, Key) {
  Graph g;
  LabelScope scope(g, "dropout");
  const Value narrow = g.input("k", {DType::i32, {2}}), three = g.input("k3", {DType::i64, {3}});
  expect_error<TypeError>([&] { random_bits(narrow, {4}, 0); }, {"dropout (random_bits)", "int64", "int32"});
  expect_error<ShapeError>([&] { random_bits(three, {4}, 0); }, {"(2,)", "(3,)"});
}
TEST(RandomErrors, MoreThanAStreamHolds) {
  Graph g;
  const Value k = g.input("k", {DType::i64, {2}});
  expect_error<ShapeError>([&] { random_bits(k, {1 << 20, 1 << 15}, 0); }, {"2^34", "34359738368"});
  expect_error<ShapeError>([&] { random_bits(k, {1}, std::int64_t{1} << 40); }, {"stream", "32 bits"});
}
TEST(RandomErrors, UniformIntegers) {
  Graph g;
  const Value k = g.input("k", {DType::i64, {2}});
  expect_error<TypeError>([&] { random_uniform(k, {1}, 0, DType::i32); }, {"float32 or float64", "int32"});
}

}  // namespace
}  // namespace kiln::graph::testing
