// The generator of random programs and its error bounds, tested against the interpreter in the graph's own
// types: what the comparison with compiled code (tests/fuzz) stands on.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"

namespace kiln::graph {
namespace {

RandomProgramOptions options_of(std::int64_t seed) {
  return {.ops = 12 + static_cast<int>(seed % 9), .gradient = seed % 3 == 0, .specials = seed % 8 == 7};
}

TEST(RandomProgram, IsTheSameForTheSameSeed) {
  const RandomProgram a = random_program(5), b = random_program(5), c = random_program(6);
  EXPECT_EQ(print(*a.graph), print(*b.graph));
  EXPECT_NE(print(*a.graph), print(*c.graph));
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  for (std::size_t i = 0; i < a.inputs.size(); i++)
    EXPECT_EQ(a.inputs[i].to_vector<double>(), b.inputs[i].to_vector<double>());
}

TEST(RandomProgram, IsValidAndInterpretsWithinItsBounds) {
  std::int64_t checked = 0, unknown = 0;
  double worst = 0;
  for (std::int64_t seed = 0; seed < 120; seed++) {
    const RandomProgram p = random_program(seed, options_of(seed));
    verify(*p.graph);
    int ops = 0;
    for (const Node& n : p.graph->nodes()) ops += !n.operands.empty();
    EXPECT_GE(ops, 12) << "seed " << seed;
    const InterpreterResult r = interpret(*p.graph, p.inputs, p.states);
    const Agreement a = compare(p, r.outputs, r.states);
    EXPECT_EQ(a.failure, "") << "seed " << seed << "\n" << (a.failure.empty() ? "" : print(*p.graph));
    checked += a.checked;
    unknown += a.unknown;
    worst = std::max(worst, a.worst);
  }
  // Mostly known, and bounds that errors come near to: else the comparison would pass whatever happens.
  EXPECT_GT(checked, 20 * unknown) << checked << " checked, " << unknown << " unknown";
  EXPECT_GT(worst, 0.3);
}

TEST(RandomProgram, CornersAreGenerated) {
  Coverage coverage;
  int swaps = 0, plain_outputs = 0, twice = 0, unused = 0;
  for (std::int64_t seed = 0; seed < 200; seed++) {
    const RandomProgram p = random_program(seed, {.ops = 20, .corners = true});
    verify(*p.graph);
    coverage.count(*p.graph);
    const auto& states = p.graph->states();
    for (const StateSlot& a : states)
      for (const StateSlot& b : states) swaps += a.next && a.next == b.current && b.next == a.current;
    std::set<const Node*> named, used;
    for (const Output& o : p.graph->outputs()) {
      plain_outputs += o.value.node->op == Op::input || o.value.node->op == Op::state;
      twice += !named.insert(o.value.node).second;
    }
    for (const Node& n : p.graph->nodes())
      for (Value v : n.operands) used.insert(v.node);
    for (const Node& n : p.graph->nodes())
      unused += !n.operands.empty() && !used.count(&n) && !named.count(&n);
  }
  EXPECT_GT(swaps, 0);
  EXPECT_GT(plain_outputs, 0);
  EXPECT_GT(twice, 0);
  EXPECT_GT(unused, 0);
  EXPECT_GT(coverage["size=0"], 10);
  EXPECT_GT(coverage["check"], 10);
  EXPECT_GT(coverage["state takes another's value"], 10);
}

TEST(RandomProgram, CoverageNoticesWhatIsMissing) {
  Coverage coverage;
  Graph g;
  const Value x = g.input("x", {DType::f32, {4, 17}});
  cumsum(x, 1, true);
  coverage.count(g);
  EXPECT_EQ(coverage["cumsum.exclusive=true"], 1);
  EXPECT_EQ(coverage["size=17"], 1);
  const auto missing = coverage.missing();
  const auto lacks = [&](const char* f) {
    return std::find(missing.begin(), missing.end(), f) != missing.end();
  };
  EXPECT_TRUE(lacks("cumsum.reverse=true"));
  EXPECT_TRUE(lacks("conv"));
  EXPECT_FALSE(lacks("cumsum.exclusive=true"));
}

// ---- bounds -----------------------------------------------------------------------------------------------

struct Bounded {
  Graph graph{"bounded"};
  ErrorBound bound{graph};
  Value x;
  explicit Bounded(const Tensor& t) {
    x = graph.input("x", {t.dtype(), t.shape()});
    bound.set(x, t);
  }
  double error(Value v, std::int64_t i = 0) {
    bound.extend();
    return bound.error(v).data<double>()[i];
  }
};

constexpr double u = 0x1p-24;

TEST(ErrorBound, OfSumsGrowsWithTheMagnitudesNotTheResult) {
  Bounded b(Tensor({1000.f, -1000.f, 1.f}));
  const double error = b.error(reduce_sum(b.x));
  EXPECT_GT(error, 2000 * u);
  EXPECT_LT(error, 5 * 2001 * u);
}

TEST(ErrorBound, MovesWithTheData) {
  Bounded b(Tensor({1.f, 3.f}));
  const Value y = reverse(concatenate(std::vector<Value>{b.x, b.x / 3.0}, 0), {0});
  EXPECT_GT(b.error(y, 0), 0);
  EXPECT_GT(b.error(y, 1), 0);
  EXPECT_EQ(b.error(y, 2), 0);
  EXPECT_EQ(b.error(y, 3), 0);
}

TEST(ErrorBound, IsUnknownWhereRoundingDecides) {
  Bounded b(Tensor({3.f, 1.f, 7.f}));
  const Value third = b.x / 3.0;  // 1, 1/3, 7/3: the first might come out just below 1
  const Value whole = floor(third), less = compare(third, scalar(third, 1), "lt");
  EXPECT_EQ(b.error(whole, 0), 1);
  EXPECT_EQ(b.error(whole, 1), 0);
  EXPECT_EQ(b.error(less, 0), 1);
  EXPECT_EQ(b.error(less, 2), 0);
  const Value chosen = select(less, third * 0.0, third + 100.0);
  EXPECT_GT(b.error(chosen, 0), 100);
  EXPECT_LT(b.error(chosen, 1), 1e-5);
  const Value rows = gather(b.x, convert(whole, DType::i32), 0);
  EXPECT_TRUE(std::isinf(b.error(rows, 0)));
}

TEST(ErrorBound, OfOrderDependsOnTheDistances) {
  Bounded b(Tensor({{0.1f, 0.2f, 0.9f}, {0.3f, 0.1f, 0.3f}}));
  const Value y = tanh(b.x);
  const Value winner = argmax(y, 1);
  EXPECT_EQ(b.error(winner, 0), 0);
  EXPECT_TRUE(std::isinf(b.error(winner, 1)));
  const auto sorted = sort(y, 1);
  EXPECT_EQ(b.error(sorted[1], 0), 0);
  EXPECT_TRUE(std::isinf(b.error(sorted[1], 3)));
  EXPECT_LT(b.error(sorted[0], 3), 1e-5);
  EXPECT_EQ(b.error(argmax(b.x, 1), 1), 0);  // ties of exact numbers are no question
}

TEST(ErrorBound, OfWindowChoices) {
  Bounded b(Tensor({0.1f, 0.5f, 0.5f, 0.5f, 0.2f, 0.3f}));
  const WindowAttrs two{.window = {2}, .strides = {2}, .low = {0}, .high = {0}};
  const Value exact = window_max_grad(window_argmax(b.x, two), window_max(b.x, two), b.x.shape(), two);
  EXPECT_EQ(b.error(exact, 2), 2 * (u * 0.5 + std::numeric_limits<float>::denorm_min()));
  const Value y = tanh(b.x);
  const Value doubtful = window_max_grad(window_argmax(y, two), window_max(y, two), y.shape(), two);
  EXPECT_LT(b.error(doubtful, 0), 1e-5);
  EXPECT_GT(b.error(doubtful, 2), 0.4);  // either of the two may have it
  EXPECT_GT(b.error(doubtful, 3), 0.4);
  EXPECT_LT(b.error(doubtful, 4), 1e-5);
}

TEST(ErrorBound, NearASingularityIsUnknown) {
  Bounded b(Tensor({0.3f, 2.f}));
  const Value zero =
      select(compare(b.x, scalar(b.x, 1), "lt"), b.x / 3.0 * 3.0 - b.x, b.x);  // 0 or almost, 2
  EXPECT_TRUE(std::isinf(b.error(log(zero), 0)));
  EXPECT_TRUE(std::isinf(b.error(1.0 / zero, 0)));
  EXPECT_LT(b.error(log(zero), 1), 1e-5);
}

TEST(ErrorBound, SpecialNumbersOfKnownOperandsAreExpected) {
  const float inf = std::numeric_limits<float>::infinity();
  Bounded b(Tensor({inf, 0.f, -1.f, 3e38f}));
  EXPECT_EQ(b.error(log(b.x), 2), 0);              // NaN
  EXPECT_EQ(b.error(b.x - b.x, 0), 0);             // NaN
  EXPECT_EQ(b.error(1.0 / b.x, 1), 0);             // infinity
  EXPECT_TRUE(std::isinf(b.error(b.x * 1.2, 3)));  // over the edge of f32
  EXPECT_EQ(b.error(reduce_sum(b.x)), 0);          // infinity
}

TEST(ErrorBound, BesideInfinityWhatIsUnknownDecides) {
  const float inf = std::numeric_limits<float>::infinity();
  Bounded b(Tensor({inf, -3e38f, -3e38f, 0.3f}));
  const auto sum = [](Value v) { return reduce_sum(v); };
  EXPECT_TRUE(std::isinf(b.error(sum(b.x))));                         // the rest may sum up to -infinity
  EXPECT_EQ(b.error(sum(slice(b.x, {0}, {2}))), 0);                   // here not: infinity
  EXPECT_TRUE(std::isinf(b.error(sum(slice(b.x * 1.2, {0}, {2})))));  // an unknown term
  const Value doubtful = b.x / 3.0 * 3.0 - b.x;                       // last: 0 or almost
  const Value beside = concatenate(std::vector<Value>{slice(doubtful, {3}, {4}), slice(b.x, {3}, {4})}, 0);
  const Value infinite = slice(b.x, {0}, {1});
  const Value products = dot(infinite, beside, {}, {}, {}, {});
  EXPECT_TRUE(std::isinf(b.error(products, 0)));  // infinity or, times 0, NaN
  EXPECT_EQ(b.error(products, 1), 0);             // infinity times 0.3
}

}  // namespace
}  // namespace kiln::graph
