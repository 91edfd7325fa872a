#include <fmt/format.h>

#include <functional>

#include "graph/passes/dump.h"
#include "graph/passes/fusion_log.h"
#include "graph/passes/passes.h"
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
  pipeline.run("canonicalize", [&](const Graph& g) { return canonicalize(g, options.conv); });
  pipeline.run("simplify", simplify);
  pipeline.run("fold_constants", fold_constants);
  pipeline.run("cse", cse);
  pipeline.run("split_reductions", split_reductions);
  pipeline.run("simplify", simplify);
  pipeline.run("fold_constants", fold_constants);
  pipeline.run("cse", cse);
  pipeline.run("dce", dce);
  return pipeline.take();
}

Plan compile_plan(const Graph& graph, const PlanOptions& options) {
  Graph optimized = optimize(graph, options);
  FusionLog log;
  std::vector<Group> groups = schedule(optimized, fuse(optimized, options, dumping() ? &log : nullptr));
  dump(optimized.name, "fusion.txt", log.text());
  Plan plan = plan_memory(std::move(optimized), std::move(groups), options);
  verify_plan(plan);
  dump(plan.graph->name, "plan.txt", print(plan));
  return plan;
}

}  // namespace kiln::graph
