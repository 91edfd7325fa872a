#include "kiln/runtime/error.h"

#include <gtest/gtest.h>

#include <cmath>

namespace kiln {
namespace {

std::string text(const char* message, std::int64_t row, double value) {
  return DataError(message, row, value).what();
}

TEST(DataError, FillsInRowAndValue) {
  EXPECT_EQ(text("label {value} in row {row} ({row})", 12345678, 3), "label 3 in row 12345678 (12345678)");
  EXPECT_EQ(text("{value}", 0, -1), "-1");
  EXPECT_EQ(text("{value}", 0, 1e6), "1000000");
  EXPECT_EQ(text("{value}", 0, 1e17), "100000000000000000");
  EXPECT_EQ(text("{value}", 0, 0.5), "0.5");
  EXPECT_EQ(text("{value}", 0, NAN), "nan");
  EXPECT_EQ(text("{value}", 0, 1e30), "1e+30");
  EXPECT_EQ(text("{values} stay", 0, 1), "{values} stay");
}

TEST(DataError, KeepsWhatItWasMadeOf) {
  const DataError error("label {value} in row {row}", 4, 10);
  EXPECT_EQ(error.row(), 4);
  EXPECT_EQ(error.value(), 10);
  EXPECT_EQ(error.message(), "label {value} in row {row}");
}

}  // namespace
}  // namespace kiln
