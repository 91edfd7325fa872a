#include "tests/codegen/assembly.h"

#include <algorithm>
#include <map>
#include <regex>
#include <sstream>

#include "codegen/jit.h"
#include "codegen/lower.h"

namespace kiln::codegen {
namespace {

bool is_instruction(const std::string& line) {
  return line.size() > 1 && line[0] == '\t' && line[1] != '.' && line[1] != '#' && line[1] != '/';
}

}  // namespace

Lines instructions(const std::string& assembly) {
  Lines lines;
  std::istringstream stream(assembly);
  for (std::string line; std::getline(stream, line);)
    if (is_instruction(line)) lines.push_back(line);
  return lines;
}

std::vector<Lines> innermost_loops(const std::string& assembly) {
  // LLVM's names of blocks; an operand that is one makes a line a jump.
  static const std::regex block(R"(\.LBB\d+_\d+)");
  std::map<std::string, std::size_t> labels;  // the number of the instruction behind each
  Lines lines;
  struct Range {
    std::size_t first, last;
  };
  std::vector<Range> loops;
  std::istringstream stream(assembly);
  for (std::string line; std::getline(stream, line);) {
    std::smatch name;
    const bool names_block = std::regex_search(line, name, block);
    if (names_block && name.position() == 0) labels[name.str()] = lines.size();
    if (!is_instruction(line)) continue;
    if (names_block && labels.count(name.str())) loops.push_back({labels[name.str()], lines.size()});
    lines.push_back(line);
  }
  std::vector<Lines> result;
  for (const Range& loop : loops) {
    const bool holds_another = std::any_of(loops.begin(), loops.end(), [&](const Range& other) {
      return &other != &loop && other.first >= loop.first && other.last <= loop.last &&
             (other.first != loop.first || other.last != loop.last);
    });
    if (!holds_another)
      result.emplace_back(lines.begin() + static_cast<std::ptrdiff_t>(loop.first),
                          lines.begin() + static_cast<std::ptrdiff_t>(loop.last) + 1);
  }
  return result;
}

int count(const Lines& lines, const std::string& pattern) {
  const std::regex regex(pattern);
  return static_cast<int>(std::count_if(
      lines.begin(), lines.end(), [&](const std::string& line) { return std::regex_search(line, regex); }));
}
int count(const std::string& assembly, const std::string& pattern) {
  return count(instructions(assembly), pattern);
}

int spills(const Lines& lines) {
  return count(lines, R"(%[xyz]mm.*\(%rsp\)$|\tst[rp]\t[qds]\d.*\[sp)");
}

int reloads(const Lines& lines) {
  return count(lines, R"(\(%rsp\),.*%[xyz]mm|\tld[rp]\t[qds]\d.*\[sp)");
}

int multiply_adds(const Lines& lines) {
  const int fused = count(lines, R"(\tvfn?m(add|sub)\d+p[sd]|\tfml[as]\tv)");
  return fused > 0 ? fused : std::min(count(lines, R"(\tv?mulp[sd])"), count(lines, R"(\tv?addp[sd])"));
}

Lines busiest_loop(const std::string& assembly) {
  Lines best;
  for (Lines& loop : innermost_loops(assembly))
    if (best.empty() || multiply_adds(loop) > multiply_adds(best)) best = std::move(loop);
  return best;
}

std::vector<KernelAssembly> kernels_of(const graph::Graph& graph, const Target& target,
                                       const graph::PlanOptions& options) {
  std::vector<KernelAssembly> result;
  const graph::Plan plan = graph::compile_plan(graph, options);
  for (const graph::ScheduledGroup& group : plan.schedule) {
    const Kernel kernel = lower(group, target, 0).kernel;
    result.push_back({kernel.name, list_kernel(kernel, target).assembly});
  }
  return result;
}

}  // namespace kiln::codegen
