#include "codegen/weight_pairs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tests/codegen/run_kernel.h"

namespace kiln::codegen {
namespace {

/// Copies `columns` of each of the rows, by a vector loop, from a matrix whose rows lie `stride` apart and
/// begin at `first`.
Kernel copy_rows(std::int64_t rows, std::int64_t columns, std::int64_t stride, int lanes, bool unrolled,
                 Expr predicate = nullptr, std::int64_t first = 0) {
  Kernel k{.name = "copy",
           .buffers = {{.elements = rows * stride}, {.elements = rows * columns, .written = true}}};
  const Var row = make_var("r", rows), column = make_var("c", columns);
  const Stmt copy = store(1, Index(row) * columns + column,
                          load(0, DType::f32, Index(row) * stride + column + first, std::move(predicate)));
  k.body = {loop(LoopKind::serial, row, {vector_loop(column, lanes, {copy}, unrolled)})};
  return k;
}

TEST(WeightPairs, AreOfWholeVectorsInKnownPlaces) {
  EXPECT_EQ(pair_lanes(copy_rows(3, 64, 64, 16, true), 0), 16);
  EXPECT_EQ(pair_lanes(copy_rows(3, 8, 16, 8, false), 0), 8) << "one vector of each pair";
  EXPECT_EQ(pair_lanes(copy_rows(3, 64, 64, 1, true), 0), 0) << "no vectors";
  EXPECT_EQ(pair_lanes(copy_rows(3, 64, 64, 16, false), 0), 0) << "first and second by turns";
  EXPECT_EQ(pair_lanes(copy_rows(4, 16, 16, 16, true), 0), 0) << "first and second by turns of the rows";
  EXPECT_EQ(pair_lanes(copy_rows(3, 60, 64, 16, true), 0), 0) << "a tail";
  EXPECT_EQ(pair_lanes(copy_rows(4, 32, 40, 16, true), 0), 0) << "rows between vectors";
  EXPECT_EQ(pair_lanes(copy_rows(3, 64, 64, 16, true, integer_expr(DType::bool_, 1)), 0), 0);
  EXPECT_EQ(pair_lanes(copy_rows(1, 16, 16, 16, true), 0), 0) << "the only vector";
  EXPECT_EQ(pair_lanes(copy_rows(3, 64, 64, 16, true), 1), 0) << "is not read at all";
  Kernel twice = copy_rows(2, 32, 32, 16, true);
  const Kernel other = copy_rows(2, 32, 32, 8, true);
  twice.body.push_back(other.body[0]);
  EXPECT_EQ(pair_lanes(twice, 0), 0) << "vectors of two kinds";
}

TEST(WeightPairs, GiveTheElementsInOrder) {
  constexpr std::int64_t rows = 3, stride = 96;
  std::vector<float> numbers(rows * stride);
  std::iota(numbers.begin(), numbers.end(), -100.f);
  std::string halves;  // these numbers need no more than 8 bits
  for (const float x : numbers) {
    char bytes[4];
    std::memcpy(bytes, &x, 4);
    halves.append(bytes + 2, 2);
  }
  for (const Target& target : targets())
    for (const bool from_second : {false, true}) {
      const int lanes = target.lanes(DType::f32);
      const std::int64_t columns = 64, first = from_second ? lanes : 0;
      Kernel k = copy_rows(rows, columns, stride, lanes, true, nullptr, first);
      ASSERT_EQ(pair_lanes(k, 0), lanes);
      k.buffers[0].storage = Storage::bfloat16;
      k.buffers[0].pair_lanes = lanes;
      std::string pairs = in_pairs(halves, lanes);
      EXPECT_NE(pairs, halves);
      std::vector<float> copied(rows * columns), expected;
      for (std::int64_t r = 0; r < rows; r++)
        std::copy_n(numbers.begin() + r * stride + first, columns, std::back_inserter(expected));
      RunnableKernel(k, target)({pairs.data(), copied.data()});
      EXPECT_EQ(copied, expected) << target.cpu << " " << target.vector_bits << " " << first;
    }
}

TEST(WeightPairs, AreRefusedWhereALoadIsOfNone) {
  const auto verify_pairs = [](Kernel k, int lanes) {
    k.buffers[0].storage = Storage::bfloat16;
    k.buffers[0].pair_lanes = lanes;
    verify(k);
  };
  verify_pairs(copy_rows(3, 64, 64, 16, true), 16);
  EXPECT_THROW(verify_pairs(copy_rows(3, 60, 64, 16, true), 16), InternalError) << "a tail";
  EXPECT_THROW(verify_pairs(copy_rows(3, 64, 64, 16, true), 8), InternalError) << "other vectors";
  EXPECT_THROW(verify_pairs(copy_rows(1, 16, 16, 16, true), 16), InternalError) << "half a pair";
}

}  // namespace
}  // namespace kiln::codegen
