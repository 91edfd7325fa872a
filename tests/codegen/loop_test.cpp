#include "codegen/loop.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace kiln::codegen {
namespace {

using Values = std::unordered_map<const Variable*, std::int64_t>;

std::int64_t evaluate(const Index& i, const Values& values) {
  const auto floor_of = [](std::int64_t a, std::int64_t c) { return a / c - (a % c < 0 ? 1 : 0); };
  switch (i->kind) {
    case IndexKind::constant:
      return i->constant;
    case IndexKind::variable:
      return values.at(i->variable.get());
    case IndexKind::mul:
      return evaluate(i->operands[0], values) * i->constant;
    case IndexKind::floor_div:
      return floor_of(evaluate(i->operands[0], values), i->constant);
    case IndexKind::mod: {
      const std::int64_t a = evaluate(i->operands[0], values);
      return a - floor_of(a, i->constant) * i->constant;
    }
    case IndexKind::add: {
      std::int64_t sum = 0;
      for (const Index& operand : i->operands) sum += evaluate(operand, values);
      return sum;
    }
    case IndexKind::value:
      break;
  }
  ADD_FAILURE() << "no value here";
  return 0;
}

std::string text(const Index& i) {
  Kernel k{.name = "k", .buffers = {{.dtype = DType::i64, .elements = 1 << 20, .written = true}}};
  k.body = {store(0, 0, index_expr(i))};
  const std::string printed = print(k);
  const std::size_t from = printed.find(" = ") + 3;
  return printed.substr(from, printed.find('\n', from) - from);
}

TEST(Index, SimplifiesWithRanges) {
  const Var t = make_var("t", 128), j = make_var("j", 10), f = make_var("f", 1280);
  const Index flat = Index(t) * 10 + j;
  EXPECT_EQ(text(floor_div(flat, 10)), "i64(t)");
  EXPECT_EQ(text(mod(flat, 10)), "i64(j)");
  EXPECT_EQ(text(floor_div(Index(f), 10) * 10 + mod(Index(f), 10)), "i64(f)");
  EXPECT_EQ(text(flat - Index(j)), "i64(t*10)");
  EXPECT_EQ(text(floor_div(floor_div(Index(f), 10), 4)), "i64(f/40)");
  // Three axes taken apart and put together again.
  const Index a = floor_div(Index(f), 40), b = mod(floor_div(Index(f), 10), 4), c = mod(Index(f), 10);
  EXPECT_EQ(text(a * 40 + b * 10 + c), "i64(f)");
  EXPECT_EQ(text(floor_div(Index(t) * 6 + make_var("c", 6), 12)), "i64(t/2)");
  EXPECT_EQ(text(Index(make_var("one", 1)) + 3), "3i64");
}

TEST(Index, AffineFactors) {
  const Var t = make_var("t", 128), j = make_var("j", 10);
  std::int64_t factor = -1;
  EXPECT_TRUE(affine_in(Index(t) * 10 - Index(j), j, factor));
  EXPECT_EQ(factor, -1);
  EXPECT_TRUE(affine_in(Index(t), j, factor));
  EXPECT_EQ(factor, 0);
  EXPECT_FALSE(affine_in(floor_div(Index(t), 3) + j, t, factor));
  EXPECT_TRUE(depends_on(floor_div(Index(t), 3), t));
  EXPECT_FALSE(depends_on(floor_div(Index(t), 3), j));
}

/// Random expressions, simplified while they are built, against plain arithmetic at every point tried; the
/// range must hold too.
TEST(Index, SimplificationKeepsValues) {
  std::mt19937 random(7);
  const auto pick = [&](int n) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 3000; ++round) {
    std::vector<Var> vars;
    for (int i = 0; i < 3; ++i) vars.push_back(make_var("v" + std::to_string(i), 1 + pick(12)));
    std::vector<Values> points(20);
    for (Values& point : points) {
      for (const Var& v : vars) point[v.get()] = pick(static_cast<int>(v->extent));
    }
    struct Item {
      Index index;
      std::vector<std::int64_t> values;
    };
    std::vector<Item> items;
    for (const Var& v : vars) {
      Item item{Index(v), {}};
      for (const Values& point : points) item.values.push_back(point.at(v.get()));
      items.push_back(item);
    }
    for (int step = 0; step < 8; ++step) {
      const Item a = items[random() % items.size()], b = items[random() % items.size()];
      const std::int64_t kind = pick(6), c = 1 + pick(12);
      Item result = a;
      const auto floor_of = [](std::int64_t x, std::int64_t d) { return x / d - (x % d < 0 ? 1 : 0); };
      switch (kind) {
        case 0:
          result.index = a.index + b.index;
          break;
        case 1:
          result.index = a.index - b.index;
          break;
        case 2:
          result.index = a.index * (c - 6);
          break;
        case 3:
          result.index = floor_div(a.index, c);
          break;
        case 4:
          result.index = mod(a.index, c);
          break;
        default:
          result.index = floor_div(a.index, c) * c + mod(a.index, c);
          break;
      }
      for (std::size_t p = 0; p < points.size(); ++p) {
        const std::int64_t x = a.values[p], y = b.values[p];
        const std::int64_t expected = kind == 0   ? x + y
                                      : kind == 1 ? x - y
                                      : kind == 2 ? x * (c - 6)
                                      : kind == 3 ? floor_of(x, c)
                                      : kind == 4 ? x - floor_of(x, c) * c
                                                  : x;
        result.values[p] = expected;
        ASSERT_EQ(evaluate(result.index, points[p]), expected)
            << text(result.index) << " from " << text(a.index);
        ASSERT_LE(result.index->low, expected) << text(result.index);
        ASSERT_GT(result.index->high, expected) << text(result.index);
      }
      items.push_back(result);
    }
  }
}

Kernel bias_relu() {
  const Var t = make_var("t", 128), j = make_var("j", 10);
  Kernel k{.name = "bias_relu",
           .buffers = {{.elements = 1280}, {.elements = 10}, {.elements = 1280, .written = true}}};
  const Index at = Index(t) * 10 + j;
  Expr sum = apply(graph::Op::add, {load(0, DType::f32, at), load(1, DType::f32, j)});
  k.body = {loop(
      LoopKind::parallel, t,
      {vector_loop(j, 16, {store(2, at, apply(graph::Op::maximum, {sum, constant_expr(DType::f32, 0)}))})})};
  return k;
}

TEST(LoopPrint, ReadsLikeAProgram) {
  EXPECT_EQ(print(bias_relu()),
            "kernel bias_relu(b0: f32[1280], b1: f32[10], b2: f32[1280] written) {\n"
            "  parallel t in 0..128 {\n"
            "    vector(16) j in 0..10 {\n"
            "      store b2[t*10 + j] = maximum(add(b0[t*10 + j], b1[j]), 0)\n"
            "    }\n"
            "  }\n"
            "}\n");
}

TEST(LoopPrint, NamesDontMatterWithoutTheName) {
  Kernel a = bias_relu();
  const Var other = make_var("rows", 128), lane = make_var("x", 10);
  Kernel b = a;
  b.name = "another";
  const Index at = Index(other) * 10 + lane;
  Expr sum = apply(graph::Op::add, {load(0, DType::f32, at), load(1, DType::f32, lane)});
  b.body = {
      loop(LoopKind::parallel, other,
           {vector_loop(lane, 16,
                        {store(2, at, apply(graph::Op::maximum, {sum, constant_expr(DType::f32, 0)}))})})};
  EXPECT_NE(print(a), print(b));
  EXPECT_EQ(print(a, false), print(b, false));
}

TEST(LoopPrint, RegistersShowTheirShapeOnce) {
  const Reg sum = std::make_shared<const Register>(
      Register{.name = "sum", .kind = RegisterKind::lanes, .lane_count = 16});
  const Var j = make_var("j", 40);
  Kernel k{.name = "row_sum", .buffers = {{.elements = 40}, {.elements = 1, .written = true}}};
  k.body = {write(sum, {}, constant_expr(DType::f32, 0)),
            vector_loop(j, 16, {write(sum, {}, apply(graph::Op::add, {read(sum), load(0, DType::f32, j)}))}),
            store(1, 0, fold_lanes(graph::Op::add, sum))};
  EXPECT_EQ(print(k),
            "kernel row_sum(b0: f32[40], b1: f32[1] written) {\n"
            "  sum<lanes f32 by 16> = 0\n"
            "  vector(16) j in 0..40 {\n"
            "    sum = add(sum, b0[j])\n"
            "  }\n"
            "  store b1[0] = fold_add(sum)\n"
            "}\n");
  EXPECT_NO_THROW(verify(k));
}

TEST(LoopVerify, AcceptsGoodKernels) {
  EXPECT_NO_THROW(verify(bias_relu()));
  Kernel k = bias_relu();
  k.body[0].body.push_back(prefetch(0, Index(k.body[0].variable) * 10 + 100000));
  EXPECT_NO_THROW(verify(k)) << "nothing is read, so it may lie outside";
}

TEST(LoopVerify, RefusesBrokenKernels) {
  const auto broken = [](const char* reason, auto change) {
    Kernel k = bias_relu();
    change(k);
    try {
      verify(k);
      ADD_FAILURE() << "accepted: " << reason;
    } catch (const InternalError& e) {
      EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
    }
  };
  const Var stray = make_var("stray", 4);
  broken("outside its loop", [&](Kernel& k) { k.body[0].body[0].body[0].index = Index(stray); });
  broken("isn't marked as written", [](Kernel& k) { k.buffers[2].written = false; });
  broken("without a predicate", [](Kernel& k) { k.buffers[0].elements = 1279; });
  broken("f32 in b1 of f64", [](Kernel& k) { k.buffers[1].dtype = DType::f64; });
  broken("parallel loop inside", [](Kernel& k) { k.body[0].body[0].loop = LoopKind::parallel; });
  broken("more than one parallel", [](Kernel& k) { k.body.push_back(k.body[0]); });
  broken("lets and register writes only", [](Kernel& k) { k.body.push_back(k.body[0].body[0]); });
  broken("vector loop j inside t", [](Kernel& k) {
    k.body[0].loop = LoopKind::vector;
    k.body[0].lanes = 4;
  });
  broken("two loops over t",
         [](Kernel& k) { k.body[0].body = {loop(LoopKind::serial, k.body[0].variable, {})}; });
  broken("b3 of 3 buffers", [](Kernel& k) { k.body[0].body.push_back(prefetch(3, Index(0))); });
  broken("outside the block that defines it", [](Kernel& k) {
    Block inner;
    const Expr t = k.new_temporary(inner, constant_expr(DType::f32, 1));
    k.body[0].body.push_back(loop(LoopKind::serial, make_var("i", 2), inner));
    k.body[0].body.push_back(store(2, 0, t));
  });
  broken("which isn't unrolled", [](Kernel& k) {
    const Reg r = std::make_shared<const Register>(Register{.name = "r", .dims = {128}});
    k.body[0].body.push_back(write(r, {Index(k.body[0].variable)}, constant_expr(DType::f32, 1)));
  });
  broken("can't be turned by 4", [](Kernel& k) {
    const Reg r = std::make_shared<const Register>(
        Register{.name = "r", .kind = RegisterKind::tile, .dims = {8}, .extent = 16, .lane_count = 16});
    k.body[0].body.push_back(turn(r, 2));
    k.body[0].body.push_back(turn(r, 4));
  });
  broken("turned inside a vector loop", [](Kernel& k) {
    const Reg r = std::make_shared<const Register>(
        Register{.name = "r", .kind = RegisterKind::tile, .dims = {4}, .extent = 4, .lane_count = 4});
    k.body[0].body[0].body.push_back(turn(r));
  });
  broken("outside an unrolled vector loop", [](Kernel& k) {
    const Reg r = std::make_shared<const Register>(
        Register{.name = "r", .kind = RegisterKind::tile, .extent = 10, .lane_count = 16});
    Block& inner = k.body[0].body[0].body;
    inner.push_back(write(r, {Index(k.body[0].body[0].variable)}, constant_expr(DType::f32, 1)));
  });
}

}  // namespace
}  // namespace kiln::codegen
