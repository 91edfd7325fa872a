#include <fmt/format.h>

#include <functional>

#include "graph/passes/dump.h"
#include "graph/passes/fusion_log.h"
#include "graph/passes/lives.h"
#include "graph/passes/passes.h"
#include "graph/passes/rematerialize.h"
#include "graph/plan.h"

namespace kiln::graph {
namespace {

// Runs passes one after the other. Each result is verified (that costs little next to code generation) and,
// if KILN_DUMP is set, written to NN-pass.txt.
class Pipeline {
 public:
  explicit Pipeline(const Graph& source) : name_(source.name) {
    verify(source);
    if (dumping()) write("source", print(source));
    graph_ = dce(source);
    check_and_dump("dce");
  }

  void run(std::string_view name, const std::function<Graph(const Graph&)>& pass) {
    graph_ = pass(graph_);
    check_and_dump(name);
  }
  Graph take() { return std::move(graph_); }

 private:
  void check_and_dump(std::string_view name) {
    try {
      verify(graph_);
    } catch (const InternalError& e) {
      throw InternalError(fmt::format("the pass {} broke the graph: {}", name, e.what()));
    }
    if (!dumping()) return;
    std::string text = print(graph_);
    write(name, text == last_ ? "(unchanged)\n" : text);
    last_ = std::move(text);
  }
  void write(std::string_view name, const std::string& text) {
    dump(name_, fmt::format("{:02}-{}.txt", step_++, name), text);
  }

  std::string name_, last_;
  Graph graph_;
  int step_ = 0;
};

}  // namespace

Graph optimize(const Graph& graph, const PlanOptions& options) {
  Pipeline pipeline(graph);
  std::string algorithms;
  std::string* log = dumping() ? &algorithms : nullptr;
  pipeline.run("canonicalize", [&](const Graph& g) { return canonicalize(g, options.conv, log); });
  dump(graph.name, "algorithms.txt", algorithms);
  pipeline.run("simplify", simplify);
  pipeline.run("fold_constants", fold_constants);
  pipeline.run("cse", cse);
  pipeline.run("layout", [](const Graph& g) { return layout(g); });
  pipeline.run("split_reductions", split_reductions);
  pipeline.run("simplify", simplify);
  pipeline.run("fold_constants", fold_constants);
  pipeline.run("cse", cse);
  pipeline.run("siblings", siblings);
  pipeline.run("masks", masks);
  if (options.weights_stay)
    pipeline.run("pack_weights", [&](const Graph& g) { return pack_weights(g, options.least_packed_bytes); });
  pipeline.run("dce", dce);
  return pipeline.take();
}

namespace {

Plan make_plan(Graph graph, const PlanOptions& options) {
  FusionLog log;
  std::vector<Group> groups = schedule(graph, fuse(graph, options, dumping() ? &log : nullptr));
  dump(graph.name, "fusion.txt", log.text());
  return plan_memory(std::move(graph), std::move(groups), options);
}

constexpr int most_plans = 500;  // tried to keep a memory limit
constexpr std::size_t arrays_named = 3;

[[noreturn]] void throw_over_limit(const Plan& plan, std::int64_t limit, std::int64_t without_limit,
                                   std::int64_t least) {
  const Lives lives(plan);
  std::string largest;
  const std::vector<const Life*> arrays = lives.at_peak();
  for (std::size_t i = 0; i < std::min(arrays_named, arrays.size()); i++) {
    const std::string& label = arrays[i]->value.node->label;
    largest += fmt::format("{}{} of \"{}\" ({} bytes)", i ? ", " : "", arrays[i]->value.type().to_string(),
                           label, arrays[i]->bytes);
  }
  throw ValueError(fmt::format(
      "memory_limit: the limit of {} bytes can't be kept. The arrays of \"{}\" take {} bytes, and {} if "
      "as much as possible is computed anew. The largest at the same time: {}. Give a smaller batch_size or "
      "a higher limit",
      limit, plan.graph->name, without_limit, least, largest));
}

// One value after the other is computed anew, each only if that helps, until the limit is kept. The same
// height may be reached several times: it helps to get lower anywhere above the limit.
Plan within_limit(Plan plan, const PlanOptions& options) {
  const std::int64_t limit = options.memory_limit, without_limit = plan.arena_bytes;
  std::int64_t least = without_limit;
  std::size_t rank = 0;
  int plans = 0;
  while (plan.arena_bytes > limit) {
    // Places can't always be found for as little as is in use.
    const std::int64_t lost = std::max<std::int64_t>(0, plan.arena_bytes - Lives(plan).peak_bytes());
    std::optional<Graph> graph = rematerialize(plan, rank);
    if (!graph || plans++ == most_plans) throw_over_limit(plan, limit, without_limit, least);
    Plan next = make_plan(std::move(*graph), options);
    least = std::min(least, next.arena_bytes);
    const bool helps =
        next.arena_bytes <= limit || Lives(next).excess(limit - lost) < Lives(plan).excess(limit - lost);
    rank = helps ? 0 : rank + 1;
    if (helps) plan = std::move(next);
  }
  return plan;
}

}  // namespace

Plan compile_plan(const Graph& graph, const PlanOptions& options) {
  return compile_optimized(optimize(graph, options), options);
}

Plan compile_optimized(Graph graph, const PlanOptions& options) {
  Plan plan = make_plan(std::move(graph), options);
  if (options.memory_limit > 0) plan = within_limit(std::move(plan), options);
  verify_plan(plan);
  dump(plan.graph->name, "plan.txt", print(plan));
  return plan;
}

}  // namespace kiln::graph
