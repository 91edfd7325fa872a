// The C headers of exported models.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <kiln/kiln.h>

#include "tests/embedded/device.h"
#include "tests/embedded/loaded.h"
#include "tests/embedded/models.h"
#include "tests/support/bits.h"
#include "tests/support/errors.h"
#include "tests/support/process.h"

namespace kiln {
namespace {

using namespace kiln::layers;
using namespace kiln::testing;

// ---- the header -------------------------------------------------------------------------------------------

// Any C compiler takes the object: position-independent as its own code is, and the header in C++, too.
TEST(ExportedHeader, AndItsObjectSuitOrdinaryPrograms) {
  for (const char* target : {"", "x86_64-linux-gnu"}) {
    const TemporaryFolder folder;
    lenet().export_library(folder / "net", {.target = target});
    write_file(folder / "main.c", R"(
#include "net.h"
int main(void) {
  static double scratch[(NET_SCRATCH_BYTES + 7) / 8];
  float scores[NET_SCORES_ELEMENTS];
  return net_selftest(scores, scratch);
}
)");
    const auto built = run_command(fmt::format(
        "cd {} && c++ -x c++ -fPIE -c main.c -o main.o && c++ -pie main.o net.o -o main && ./main && "
        "c++ -shared net.o -o libnet.so",
        folder.path()));
    EXPECT_EQ(built.status, 0) << built.output;
  }
}

TEST(ExportedHeader, HasNamesThatCTakes) {
  const TemporaryFolder folder;
  const auto x = Input({3}, {.name = "float"}), y = Input({4}, {.name = "class"}),
             z = Input({2}, {.name = "x y"});
  const Layer ends = Lambda(
      [](graph::Value v) {
        const graph::Value largest = graph::reduce_max(v, {1});
        graph::check(graph::compare(largest, graph::scalar(largest, 9), "lt"), largest,
                     "must be */ below {value}\nnine");
        return v * 2.0;
      },
      {.name = "Class"});
  const Model model(
      {.inputs = {x, y, z}, .outputs = {Dense(5, {.name = "double"})(x), ends(Flatten()(y)), ReLU()(z)}});
  model.export_library(folder / "odd", {});
  write_file(folder / "main.c", R"(
#include "odd.h"
#include "odd.h"
int main(void) {
  static double scratch[(ODD_SCRATCH_BYTES + 7) / 8];
  float a[5], b[4], c[2];
  float x[ODD_FLOAT_1_ELEMENTS] = {0}, y[ODD_CLASS_1_ELEMENTS] = {0}, z[ODD_X_Y_ELEMENTS] = {-1, 3};
  if (odd_selftest(a, b, c, scratch)) return 1;
  if (odd_predict(x, y, z, a, b, c, scratch)) return 2;
  return c[0] == 0 && c[1] == 3 ? 0 : 3;
}
)");
  const std::string header = read_file(folder / "odd.h");
  const auto built = run_command(fmt::format(
      "cd {} && clang-19 -std=c99 -pedantic -Wall -Wextra -Werror main.c odd.o -o main && ./main && "
      "clang-19 -x c++ -Wall -Werror -fsyntax-only main.c",
      folder.path()));
  EXPECT_EQ(built.status, 0) << built.output << header;
}

TEST(ExportedHeader, HangsOnTheModelAlone) {
  const TemporaryFolder folder;
  lenet().export_library(folder / "net", {});
  const std::string header = read_file(folder / "net.h"), object = read_file(folder / "net.o");
  const Model again = lenet();
  again.export_library(folder / "net", {});
  EXPECT_EQ(read_file(folder / "net.h"), header);
  EXPECT_EQ(read_file(folder / "net.o"), object);
  std::vector<Tensor> weights = again.get_weights();
  weights[1].data<float>()[0] = 5;
  again.get_layer(0);
  Model(again).set_weights(weights);
  again.export_library(folder / "net", {});
  EXPECT_NE(read_file(folder / "net.h"), header);  // its digest
}

TEST(ExportedHeader, CountsMultiplyAdds) {
  const TemporaryFolder folder;
  lenet().export_library(folder / "net", {});
  constexpr int adds = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10;
  EXPECT_NE(read_file(folder / "net.h").find(fmt::format("Multiply-adds  {}\n", adds)), std::string::npos)
      << read_file(folder / "net.h");
}

}  // namespace
}  // namespace kiln
