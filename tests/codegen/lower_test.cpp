#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "graph/passes/winograd.h"
#include "kiln/graph/ops.h"
#include "tests/codegen/lower_support.h"
#include "tests/support/every_op.h"

namespace kiln::codegen {
namespace {

TEST(Lower, ElementwiseIsOneFlatLoop) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = input "x" : f32[4,5]
    %1 = input "y" : f32[4,5]
    %2 = add(%0, %1) : f32[4,5]
    output "z" = %2
  })"),
            R"(kernel add(b0: f32[20], b1: f32[20], b2: f32[20] written) {
  vector(16) v in 0..20 {
    store b2[v] = add(b0[v], b1[v])
  }
}
)");
}

// As an i32, the number of the last element would be negative.
TEST(Lower, IndicesAreClampedInTheirOwnType) {
  const auto text = [](const char* type) {
    return lower_text(fmt::format(R"(graph g {{
    %0 = input "x" : u8[3000000000]
    %1 = input "i" : {}[5]
    %2 = gather(%0, %1) {{axis=0}} : u8[5]
    output "z" = %2
  }})",
                                  type));
  };
  EXPECT_NE(text("i64").find("minimum(maximum(b0[v], 0i64), 2999999999i64)"), std::string::npos)
      << text("i64");
  EXPECT_NE(text("i32").find("let t0 = i64(maximum(b0[v], 0i32))"), std::string::npos) << text("i32");
}

TEST(Lower, TransposeLoadsAtAStride) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = input "x" : f32[16,40]
    %1 = transpose(%0) {permutation=[1, 0]} : f32[40,16]
    output "z" = %1
  })"),
            R"(kernel transpose(b0: f32[640], b1: f32[640] written) {
  for i in 0..40 {
    vector(16) v in 0..16 {
      store b1[i*16 + v] = b0[v*40 + i]
    }
  }
}
)");
}

TEST(Lower, SumsOfNeighboursRunAlongLanes) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = input "x" : f32[3,40]
    %1 = reduce_sum(%0) {axes=[1]} : f32[3]
    output "z" = %1
  })"),
            R"(kernel reduce_sum(b0: f32[120], b1: f32[3] written) {
  for i in 0..3 {
    vector(16) v in 0..16 {
      acc<lanes f32 1 by 16>[0] = 0
    }
    for k in 0..2 {
      vector(16) v_1 in 0..16 {
        acc[0] = add(acc[0], b0[i*40 + k*16 + v_1])
      }
    }
    vector(16) v_2 in 0..8 {
      acc[0] = add(acc[0], b0[i*40 + v_2 + 32])
    }
    let t0 = fold_add(acc[0])
    store b1[i] = t0
  }
}
)");
}

TEST(Lower, ProductsAreRegisterTiles) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = input "x" : f32[2,5]
    %1 = input "w" : f32[5,20]
    %2 = dot(%0, %1) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]} : f32[2,20]
    output "z" = %2
  })"),
            R"(kernel dot(b0: f32[10], b1: f32[100], b2: f32[40] written) {
  unrolled r in 0..2 {
    vector(16) unrolled c in 0..20 {
      acc<tile f32 2 x 20 by 16>[r, c] = 0
    }
  }
  for k in 0..5 {
    unrolled r_1 in 0..2 {
      let t0 = b0[r_1*5 + k]
      vector(16) unrolled c_1 in 0..20 {
        acc[r_1, c_1] = fma(t0, b1[k*20 + c_1], acc[r_1, c_1])
      }
    }
  }
  unrolled r_2 in 0..2 {
    vector(16) unrolled c_2 in 0..20 {
      let t1 = acc[r_2, c_2]
      store b2[r_2*20 + c_2] = t1
    }
  }
}
)");
}

/// The kernel of x (a matrix of `rows` rows) times a matrix of `steps` rows and `columns` columns.
std::string product_kernel(std::int64_t rows, std::int64_t steps, std::int64_t columns,
                           bool transposed = false) {
  return lower_text(fmt::format(R"(graph g {{
      %0 = input "x" : f32[{},{}]
      %1 = input "w" : f32[{},{}]
      %2 = dot(%0, %1) {{lhs_batch=[], lhs_contract=[{}], rhs_batch=[], rhs_contract=[0]}} : f32[{},{}]
      output "z" = %2
    }})",
                                transposed ? steps : rows, transposed ? rows : steps, steps, columns,
                                transposed ? 0 : 1, rows, columns));
}
/// With x or its transpose times f32[2048,1024].
std::string large_product(std::int64_t rows, bool transposed) {
  return product_kernel(rows, 2048, 1024, transposed);
}

TEST(Lower, TilesOfRowsAreAsEvenAsCanBe) {
  const auto heights = [](std::int64_t rows) {
    const std::string text = product_kernel(rows, 5, 64);
    std::vector<std::string> result;
    const std::regex tile("acc[_0-9]*<tile f32 ([0-9]+) x 64");
    for (std::sregex_iterator i(text.begin(), text.end(), tile), end; i != end; ++i)
      result.push_back(i->str(1));
    return fmt::format("{}", fmt::join(result, " "));
  };
  EXPECT_EQ(heights(54), "6");
  EXPECT_EQ(heights(56), "6 5");  // six of 6 and four of 5: not nine of 6 and one of 2
  EXPECT_EQ(heights(8), "4");
  EXPECT_EQ(heights(4), "4");
}

TEST(Lower, LongEpiloguesAreLoopsOverATileAndItsTail) {
  using namespace graph;
  Graph g("dense");
  const Value x = g.input("x", {DType::f32, {8, 40}}), w = g.state("w", {DType::f32, {40, 84}});
  g.output("y", sigmoid(matmul(x, w)));
  const std::string text = print(lower_all(std::move(g)).back().kernel);
  const auto count = [&](const char* pattern) {
    const std::regex expression(pattern);
    return std::distance(std::sregex_iterator(text.begin(), text.end(), expression), std::sregex_iterator());
  };
  EXPECT_EQ(count("<tile f32 8 x 48 by 16>"), 1) << text;
  EXPECT_EQ(count("<tile f32 8 x 36 by 16>"), 1) << text;
  // All columns' sums wait as whole vectors; a function of each takes the tail's.
  EXPECT_EQ(count(R"(c_\d+ in 0\.\.48 \{\n\s*store b0)"), 2) << text;
  EXPECT_EQ(
      count(
          R"(for r_\d+ in 0\.\.4 \{\n\s*unrolled r_\d+ in 0\.\.2 \{\n\s*vector\(16\) unrolled c_\d+ in 0\.\.(48|36) )"),
      2)
      << text;
}

TEST(Lower, ProductsOfFewRowsAskForTheirRightOperandAhead) {
  const std::regex next_panel("prefetch b[0-9]\\[.*k.*\\*1024 .* \\+ 64\\] into the second cache");
  EXPECT_TRUE(std::regex_search(large_product(32, true), next_panel)) << large_product(32, true);
  // Hardly anything to do but read: the same columns of the next pass, eight steps further.
  const std::regex next_pass("prefetch b[0-9]\\[.*k.*\\*1024 .* \\+ 8192\\] into the second cache");
  for (const std::int64_t rows : {1, 12})
    EXPECT_TRUE(std::regex_search(large_product(rows, true), next_pass)) << large_product(rows, true);
}

/// What a 3 x 3 convolution of one small image with 128 channels asks for.
std::string asked_for(std::int64_t size, std::int64_t filters, bool winograd) {
  using namespace graph;
  const ConvAttrs attrs{.strides = {1, 1}, .low = {0, 0}, .high = {0, 0}, .dilation = {1, 1}};
  Graph g("conv");
  const Value x = g.input("x", {DType::f32, {1, size, size, 128}});
  const Value kernel = g.input("kernel", {DType::f32, {3, 3, 128, filters}});
  g.output("y", winograd ? winograd_form(x, kernel, attrs) : conv(x, kernel, attrs));
  const std::string text = print(lower_all(std::move(g)).back().kernel);
  std::smatch line;
  return std::regex_search(text, line, std::regex("prefetch .*")) ? line.str() : "";
}

TEST(Lower, ConvolutionsOfFewPixelsAskForLaterRowsOfTheKernel) {
  // 16 channels further than the row that is read.
  const std::regex later_row("b[0-9]\\[.*k.* \\+ 4096\\]$");
  EXPECT_TRUE(std::regex_search(asked_for(5, 256, false), later_row)) << asked_for(5, 256, false);
  EXPECT_TRUE(std::regex_search(asked_for(14, 256, true), later_row)) << asked_for(14, 256, true);
  // A transformed kernel of half a megabyte stays in the second cache.
  EXPECT_EQ(asked_for(14, 32, true), "");
}

TEST(Lower, WhatIsCopiedIsNotAskedForWhereItWas) {
  const std::string text = product_kernel(256, 512, 1024);
  EXPECT_EQ(text.find("prefetch b1"), std::string::npos) << text;
  EXPECT_NE(text.find("store b3"), std::string::npos) << "the copy:\n" << text;
  const std::string few = product_kernel(128, 512, 1024);
  EXPECT_NE(few.find("prefetch b1"), std::string::npos) << few;
  EXPECT_EQ(few.find("store b3"), std::string::npos) << "a copy:\n" << few;
}

TEST(Lower, ProductsAskForTheNextRowsOfTheirLeftOperand) {
  const std::string small = product_kernel(128, 784, 64);
  EXPECT_TRUE(std::regex_search(small, std::regex("prefetch b0\\[.*k.* \\+ 4704\\]"))) << small;
  // Six rows at a time, a line for each in eight steps.
  const std::string rows = large_product(512, false);
  EXPECT_TRUE(std::regex_search(rows, std::regex("prefetch b[0-9]\\[.* \\+ pass\\*1024 .* \\+ 12288\\]")))
      << rows;
  // One step's rows lie side by side: their lines come with this tile's, so those after the next.
  const std::string columns = large_product(512, true);
  EXPECT_TRUE(std::regex_search(columns, std::regex("prefetch b[0-9]\\[.*k.*\\*512 .* \\+ 37\\] into")))
      << columns;
}

TEST(Lower, LongSumsAskForWhereFarResultsWillBeWritten) {
  const auto asks = [](std::int64_t rows, std::int64_t steps) {
    const std::string text = product_kernel(rows, steps, 64);
    std::smatch output;
    std::regex_search(text, output, std::regex("(b[0-9]): f32\\[[0-9]+\\] written"));
    return text.find("prefetch " + output.str(1) + "[") != std::string::npos;
  };
  EXPECT_TRUE(asks(8192, 128));
  EXPECT_FALSE(asks(8192, 32)) << "a short sum";
  EXPECT_FALSE(asks(2048, 128)) << "half a megabyte stays in the cache";
}

TEST(Lower, SquaresAskForRowsThatLieFarApart) {
  const auto asks = [](std::int64_t rows, std::int64_t columns) {
    using namespace graph;
    Graph g("turn");
    g.output("y", transpose(g.input("x", {DType::f32, {rows, columns}}), {1, 0}));
    const std::string text = print(lower_all(std::move(g)).back().kernel);
    std::smatch line;
    return std::regex_search(text, line, std::regex("prefetch .*")) ? line.str() : "";
  };
  const std::regex two("\\+ 32768\\] into the second cache"), four("\\+ 64000\\] into the second cache");
  EXPECT_TRUE(std::regex_search(asks(1024, 1024), two)) << asks(1024, 1024);
  EXPECT_TRUE(std::regex_search(asks(1024, 1000), four)) << asks(1024, 1000);
  EXPECT_EQ(asks(256, 256), "");
}

TEST(Lower, WinogradsKernelGradientsAskForLaterImages) {
  const auto asks = [](std::int64_t images) {
    using namespace graph;
    Graph g("grad");
    const Value x = g.input("x", {DType::f32, {images, 12, 12, 8}});
    const Value dy = g.input("dy", {DType::f32, {images, 8, 8, 16}});
    g.output("sums", winograd_kernel_grad(x, dy, 5, {0, 0}, {0, 0}, 1));
    const std::string text = print(lower_all(std::move(g)).back().kernel);
    const std::regex line("prefetch b[0-9]\\[[^\n]*\\*(72|64) \\+ 1[0-9]{3}\\] into the second cache");
    return std::distance(std::sregex_iterator(text.begin(), text.end(), line), std::sregex_iterator());
  };
  EXPECT_EQ(asks(1024),
            5 + 4);  // lines of the 72 and 64 elements of an image that each of 16 tiles stands for
  EXPECT_EQ(asks(64), 0);
}

// A weight that is updated in place is read when its gradient's sum is complete: parts of it wait elsewhere.
TEST(Lower, SumsOfUpdatesWaitInScratchMemory) {
  using namespace graph;
  Graph g("update");
  const Value x = g.input("x", {DType::f32, {2048, 96}}), dy = g.input("dy", {DType::f32, {2048, 512}});
  const Value w = g.state("w", {DType::f32, {96, 512}});
  g.update(w, w - matmul(transpose(x, {1, 0}), dy));
  const Kernel kernel = lower_all(std::move(g)).back().kernel;
  const std::int64_t panel = 1024 * 64, sums = 96 * 64;
  EXPECT_EQ(kernel.scratch_stride, 4 * (panel + sums)) << print(kernel);
}

TEST(Lower, ProductsCopyPanelsWhoseRowsMeetInFewSetsOfTheCache) {
  const auto scratch_bytes = [](std::int64_t rows, std::int64_t columns, std::int64_t steps) {
    using namespace graph;
    Graph g("dot");
    const Value x = g.input("x", {DType::f32, {rows, steps}}),
                w = g.input("w", {DType::f32, {steps, columns}});
    g.output("y", matmul(x, w));
    return lower_all(std::move(g)).at(0).kernel.scratch_stride;
  };
  EXPECT_EQ(scratch_bytes(512, 1024, 512), 512 * 4 * 64);  // rows whole pages apart: all steps of a panel
  EXPECT_EQ(scratch_bytes(512, 512, 512), 0);              // half a page: an eighth of the cache is enough
  EXPECT_EQ(scratch_bytes(512, 512, 640), 640 * 4 * 64);   // and now it isn't
  EXPECT_EQ(scratch_bytes(512, 256, 512), 0);              // four rows on a page: all sets are used
  EXPECT_EQ(scratch_bytes(512, 1008, 512), 0);
  EXPECT_EQ(scratch_bytes(128, 1024, 512), 0);  // few tiles of rows ask for their panel ahead instead
  EXPECT_EQ(scratch_bytes(512, 1024, 2048), 1024 * 4 * 64);  // in two passes
  EXPECT_EQ(scratch_bytes(144, 512, 1536), 768 * 4 * 64);    // so few tiles of rows, too
}

TEST(Lower, ImagesThatMeetInFewSetsOfTheCacheAreCopied) {
  const auto scratch_bytes = [](std::int64_t images) {
    using namespace graph;
    Graph g("conv");
    const Value x = g.input("x", {DType::f32, {9, 8, 8, images}});
    g.output("y", winograd_conv(x, g.input("k", {DType::f32, {36, 8, 6}}), 3, {1, 1}, {1, 1}, true));
    return lower_all(std::move(g)).at(0).kernel.scratch_stride;
  };
  const std::int64_t copy = 9 * 8 * 8 * 64 * 4;
  EXPECT_EQ(scratch_bytes(1024) - scratch_bytes(1088), copy);  // a page apart, or not
  EXPECT_EQ(scratch_bytes(512), scratch_bytes(1088)) << "too few blocks for all threads";
}

TEST(Lower, MapsAskForThePagesOfLargeArraysAhead) {
  const auto map_of = [](std::int64_t elements) {
    using namespace graph;
    Graph g("map");
    const Value x = g.input("x", {DType::f32, {elements}}), y = g.input("y", {DType::f32, {1}});
    g.output("z", (x * x + exp(x)) * broadcast_to(y, {elements}));
    return print(lower_all(std::move(g)).at(0).kernel);
  };
  const std::string large = map_of(1 << 20);
  const std::size_t first = large.find("prefetch b0[");  // once, of the array that is read in order
  ASSERT_NE(first, std::string::npos) << large;
  EXPECT_NE(large.find("v + 1024]", first), std::string::npos) << large;
  EXPECT_EQ(large.find("prefetch", first + 1), std::string::npos) << large;
  EXPECT_EQ(map_of(1 << 16).find("prefetch"), std::string::npos);  // it stays in the cache
}

TEST(Lower, CopiedPanelsServeBlocksOfRows) {
  // Sixteen panels are enough tiles for all threads; four are not, and four blocks of rows share each.
  EXPECT_NE(large_product(512, false).find("parallel t in 0..16 {"), std::string::npos);
  const std::string few_panels = product_kernel(960, 1536, 256);
  EXPECT_NE(few_panels.find("store b1"), std::string::npos) << few_panels;
  EXPECT_NE(few_panels.find("for i in 0..40 {"), std::string::npos) << few_panels;
}

TEST(Lower, FewRowsPassByEachPanelOfALargeKernel) {
  const auto panel_of_tile = [](std::int64_t channels) {
    using namespace graph;
    Graph g("conv");
    const Value x = g.input("x", {DType::f32, {16, 8, 8, channels}});
    g.output("y", conv(x, g.input("kernel", {DType::f32, {3, 3, channels, 320}}), {}));
    const std::string text = print(lower_all(std::move(g)).back().kernel);
    std::smatch column;
    return std::regex_search(text, column, std::regex("\\+ ([^+]*)\\*64 \\+ c")) ? column.str(1) : text;
  };
  EXPECT_EQ(panel_of_tile(96), "(t/32)");  // 1.1 MiB, more than the cache: a panel, then all images
  EXPECT_NE(panel_of_tile(16), "(t/32)");  // all panels, then the next row of pixels
}

TEST(Lower, ConvolutionsWalkTheKernelOverRowsOfPixels) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = input "x" : f32[1,10,4,3]
    %1 = input "kernel" : f32[3,2,3,6]
    %2 = conv(%0, %1) {dilation=[1, 1], groups=1, high=[0, 0], low=[0, 0], strides=[1, 1]} : f32[1,8,3,6]
    output "z" = %2
  })"),
            R"(kernel conv(b0: f32[120], b1: f32[108], b2: f32[144] written) {
  for i in 0..8 {
    unrolled r in 0..3 {
      vector(8) unrolled c in 0..6 {
        acc<tile f32 3 x 6 by 8>[r, c] = 0
      }
    }
    for k in 0..3 {
      for k_1 in 0..6 {
        unrolled r_1 in 0..3 {
          let t0 = b0[i*12 + k*12 + r_1*3 + k_1]
          vector(8) unrolled c_1 in 0..6 {
            acc[r_1, c_1] = fma(t0, b1[k*36 + k_1*6 + c_1], acc[r_1, c_1])
          }
        }
      }
    }
    unrolled r_2 in 0..3 {
      vector(8) unrolled c_2 in 0..6 {
        let t1 = acc[r_2, c_2]
        store b2[i*18 + r_2*6 + c_2] = t1
      }
    }
  }
}
)");
}

TEST(Lower, OutputsAreComputedBeforeAnyIsStored) {
  EXPECT_EQ(lower_text(R"(graph g {
    %0 = state "w" : f32[20]
    %1 = state "m" : f32[20]
    %2 = add(%0, %1) : f32[20]
    %3 = sub(%0, %2) : f32[20]
    update %0 = %3
    update %1 = %2
  })"),
            R"(kernel add+sub(b0: f32[20] written, b1: f32[20] written) {
  vector(16) v in 0..20 {
    let t0 = b0[v]
    let t1 = add(t0, b1[v])
    let t2 = sub(t0, t1)
    store b1[v] = t1
    store b0[v] = t2
  }
}
)");
}

// Verified at every width; what the kernels compute is compared with the interpreter in compile tests.
TEST(Lower, EveryOpHasAKernel) {
  for (int bits : {128, 256, 512}) EXPECT_FALSE(lower_all(graph::optimize(graph::every_op()), bits).empty());
}

}  // namespace
}  // namespace kiln::codegen
