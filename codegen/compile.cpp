#include "kiln/codegen/compile.h"

#include <fmt/format.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "codegen/autotune.h"
#include "codegen/entry.h"
#include "codegen/faults.h"
#include "codegen/forks.h"
#include "codegen/jit.h"
#include "codegen/lower_plan.h"
#include "codegen/program_cache.h"
#include "codegen/program_image.h"
#include "codegen/sanitize.h"
#include "graph/plan.h"

namespace kiln::codegen {
namespace {

/// Object files of the kernels and of the entry that calls them.
void generate(LoweredPlan lowered, const Target& target, ProgramImage& image) {
  runtime::Program& program = image.program;
  const EntryMaker entry = [&](std::span<const std::string> kernels, llvm::LLVMContext& context,
                               const std::string& symbol) {
    for (std::size_t i = 0; i < kernels.size(); ++i) lowered.entry[i].symbol = kernels[i];
    return emit_entry(lowered.entry, target, symbol, context);
  };
  const ProgramObjects objects = compile_program(program.name, lowered.kernels, entry, target);
  std::unordered_map<const ObjectCode*, int> numbers;
  for (std::size_t i = 0; i < objects.kernels.size(); ++i) {
    const auto& kernel = objects.kernels[i];
    const auto [number, is_new] = numbers.try_emplace(kernel.get(), static_cast<int>(numbers.size()));
    if (is_new) image.objects.push_back(kernel);
    program.steps[i].kernel = number->second;
  }
  program.distinct_kernels = static_cast<int>(numbers.size());
  image.objects.push_back(objects.entry);
}

}  // namespace

ProgramImage make_image(const graph::Graph& graph, const CompileOptions& options, const Target& target) {
  graph::PlanOptions plan_options;
  plan_options.conv = options.conv;
  plan_options.fuse = options.fuse;
  plan_options.reuse = options.reuse_memory;
  plan_options.weights_stay = options.weights_stay;
  plan_options.memory_limit = options.memory_limit;
  // The runtime poisons what lies between the values, and so accesses outside an array show.
  plan_options.red_zone = built_with_address_sanitizer ? 64 : 0;
  graph::Plan plan = graph::compile_plan(graph, plan_options);
  const std::vector<int> ways =
      options.autotune ? find_fastest_ways(plan, target) : std::vector<int>(plan.schedule.size());
  LoweredPlan lowered = lower_plan(plan, ways, target);
  ProgramImage image;
  image.program = std::move(lowered.program);
  image.program.red_zones = plan_options.red_zone > 0;
  generate(std::move(lowered), target, image);
  return image;
}

namespace {

/// The environment's KILN_AUTOTUNE.
bool autotune_wanted() {
  const char* value = std::getenv("KILN_AUTOTUNE");
  const std::string_view text = value == nullptr || *value == 0 ? "0" : value;
  if (text != "0" && text != "1")
    throw ValueError(fmt::format(
        "the environment's KILN_AUTOTUNE is \"{}\"; give 1 to search for the fastest kernels, or 0", text));
  return text == "1";
}

}  // namespace

std::shared_ptr<const runtime::Program> compile(const graph::Graph& graph, const CompileOptions& wanted) {
  CompileOptions options = wanted;
  options.autotune = options.autotune || autotune_wanted();
  const auto start = std::chrono::steady_clock::now();
  const Compiling compiling;
  const Target target = Target::host(options.vector_bits, options.cpu);
  const std::optional<ProgramCache> cache = ProgramCache::of(graph, options, target);
  std::shared_ptr<runtime::Program> program = cache ? cache->find() : nullptr;
  if (program == nullptr) {
    try {
      const ProgramImage image = make_image(graph, options, target);
      program = load(image);
      if (cache) cache->store(image);
    } catch (const InternalError& e) {
      throw InternalError(fmt::format("{}\nwhile compiling\n{}", e.what(), graph::print(graph)));
    }
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  program->compile_seconds = elapsed.count();
  return program;
}

}  // namespace kiln::codegen
