// The comparison must notice wrong code: faults planted in the compiler (codegen/faults.h), and graphs that
// differ in one attribute from the one that is compared with. Faults in plans are planted in
// graph/plan_faults_test.cpp.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "codegen/faults.h"
#include "graph/passes/rewriter.h"
#include "tests/fuzz/differential.h"

namespace kiln::fuzz {
namespace {

// ---- faults of the compiler -------------------------------------------------------------------------------

class CompilerFault : public testing::TestWithParam<codegen::Fault> {};

// Some graph shows it. In a child process, for wrong code may write where it must not; a
// child that crashes has caught its fault as well.
TEST_P(CompilerFault, IsCaught) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(300);
    const codegen::PlantedFault planted(GetParam());
    for (std::int64_t seed = 0; seed < 200; seed++) {
      std::string wrong;
      try {
        wrong = complaint(graph::random_program(seed, options_of(seed)));
      } catch (const Error& e) {
        wrong = e.what();
      }
      if (wrong.empty()) continue;
      std::fputs(fmt::format("seed {}: {}\n", seed, wrong.substr(0, 300)).c_str(), stderr);
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool crashed = WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM;
  EXPECT_TRUE(crashed || (WIFEXITED(status) && WEXITSTATUS(status) == 1)) << "the fault passes unnoticed";
}

INSTANTIATE_TEST_SUITE_P(Each, CompilerFault, testing::ValuesIn(codegen::all_faults),
                         [](const auto& info) { return codegen::name(info.param); });

TEST(NoCompilerFault, MeansNoComplaint) {
  const codegen::PlantedFault none(codegen::Fault::none);
  EXPECT_EQ(complaint(graph::random_program(1, options_of(1))), "");
}

// ---- faults of the graph ----------------------------------------------------------------------------------

using graph::Attributes;
using graph::Graph;
using graph::Ints;
using graph::Node;
using graph::Op;

/// Another node of the same type, or false to leave the node as it is.
using Mutation = std::function<bool(Op& op, Attributes& attributes, const Node& node)>;

// Nodes that a result depends on.
std::vector<bool> needed(const Graph& graph) {
  std::vector<bool> found(graph.nodes().size(), false);
  const auto need = [&](graph::Value v) { found[static_cast<std::size_t>(v.node->id)] = true; };
  for (const graph::Output& o : graph.outputs()) need(o.value);
  for (const graph::StateSlot& s : graph.states())
    if (s.next) need(s.next);
  for (std::size_t i = found.size(); i-- > 0;)
    if (found[i])
      for (graph::Value v : graph.nodes()[i].operands) need(v);
  return found;
}

// The same graph with the first needed node that the mutation takes changed.
bool mutate(const Graph& graph, const Mutation& mutation, Graph& result) {
  bool done = false;
  const std::vector<bool> live = needed(graph);
  result = graph::Rewriter::run(graph, [&](graph::Rewriter& r, const Node& node) {
    Op op = node.op;
    Attributes attributes = node.attributes;
    if (done || !live[static_cast<std::size_t>(node.id)] || !mutation(op, attributes, node)) return false;
    std::vector<graph::Value> operands;
    for (graph::Value v : node.operands) operands.push_back(r(v));
    const Node& other = r.target().emit(op, operands, attributes);
    if (other.results != node.results) return false;
    for (int i = 0; i < static_cast<int>(node.results.size()); i++) r.replace(node.value(i), other.value(i));
    return done = true;
  });
  return done;
}

// Of ten graphs that have a place for the mutation, how many are noticed. Not all need be (an element may be
// equal by chance, or not matter; which graphs come up depends on the compiler's order of evaluation), but
// most.
constexpr int most = 6;
int caught_of_ten(const Mutation& mutation) {
  int caught = 0, tried = 0;
  for (std::int64_t seed = 0; seed < 1000 && tried < 10; seed++) {
    if (seed % 3 == 0) continue;  // gradients make large graphs, and nothing new here
    const graph::RandomProgram random = graph::random_program(seed, options_of(seed));
    Graph other;
    if (!mutate(*random.graph, mutation, other)) continue;
    tried++;
    const Results r = run(codegen::compile(other), random, 1);
    caught += !graph::compare(random, r.outputs, r.states).failure.empty();
  }
  EXPECT_EQ(tried, 10) << "too few graphs have a place for it";
  return caught;
}

bool swap_padding(Op, Attributes& attributes, const Node& node, Op wanted) {
  if (node.op != wanted || attributes.ints("low") == attributes.ints("high")) return false;
  const Ints low = attributes.ints("low");
  attributes.set("low", attributes.ints("high"));
  attributes.set("high", low);
  return true;
}

TEST(GraphFault, PaddingOnTheOtherSide) {
  for (Op op : {Op::conv, Op::window_sum, Op::pad})
    EXPECT_GE(caught_of_ten([=](Op& o, Attributes& a, const Node& n) { return swap_padding(o, a, n, op); }),
              most)
        << graph::op_name(op);
}

TEST(GraphFault, AnotherOp) {
  const std::pair<Op, Op> pairs[] = {{Op::add, Op::sub},
                                     {Op::maximum, Op::minimum},
                                     {Op::exp, Op::expm1},
                                     {Op::reduce_max, Op::reduce_min},
                                     {Op::floor, Op::ceil}};
  for (auto [from, to] : pairs)
    EXPECT_GE(caught_of_ten([from = from, to = to](Op& op, Attributes&, const Node&) {
                if (op != from) return false;
                op = to;
                return true;
              }),
              most)
        << graph::op_name(from);
}

TEST(GraphFault, AnotherFlag) {
  for (const char* flag : {"exclusive", "reverse"})
    EXPECT_GE(caught_of_ten([=](Op& op, Attributes& attributes, const Node&) {
                if (op != Op::cumsum) return false;
                attributes.set(flag, !attributes.flag(flag));
                return true;
              }),
              most)
        << flag;
}

TEST(GraphFault, SliceOffByOne) {
  EXPECT_GE(caught_of_ten([](Op& op, Attributes& attributes, const Node& node) {
              if (op != Op::slice) return false;
              Ints start = attributes.ints("start"), limit = attributes.ints("limit");
              for (std::size_t i = 0; i < start.size(); i++)
                if (limit[i] < node.operand(0).shape()[i]) {
                  start[i]++, limit[i]++;
                  attributes.set("start", start);
                  attributes.set("limit", limit);
                  return true;
                }
              return false;
            }),
            most);
}

}  // namespace
}  // namespace kiln::fuzz
