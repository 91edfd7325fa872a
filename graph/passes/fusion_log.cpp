#include "graph/passes/fusion_log.h"

#include <fmt/format.h>

namespace kiln::graph {
namespace {

std::string short_text(const Node& n) {
  return fmt::format("%{} {}", n.id, op_name(n.op));
}

}  // namespace

const Node& namesake(const Draft& kernel) {
  return kernel.root != nullptr ? *kernel.root : *kernel.outputs.front().node;
}

void FusionLog::add(const Node& n, const Draft& kernel, const char* decision, const char* reason) {
  lines_.push_back(
      fmt::format("{} -> {}: {}: {}\n", short_text(n), short_text(namesake(kernel)), decision, reason));
}

void FusionLog::part(const Node& n, const Node& whole, const char* why_not) {
  lines_.push_back(fmt::format("{} -> {}: {}: {}\n", short_text(n), short_text(whole),
                               why_not ? "copied" : "in place", why_not ? why_not : "a part of its array"));
}

void FusionLog::join(const Group& a, const Group& b, const char* why_not, const char* how) {
  joins_.push_back(fmt::format("\"{}\" -> \"{}\": {}: {}\n", a.name, b.name, why_not ? "apart" : "fused",
                               why_not ? why_not : how));
}

std::string FusionLog::text() const {
  std::string text;
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) text += *line;
  for (const std::string& line : joins_) text += line;
  return text;
}

}  // namespace kiln::graph
