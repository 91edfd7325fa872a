#include "api/model/step.h"

#include <algorithm>

namespace kiln::internal {

Step::Step(graph::Graph graph, std::vector<Tensor> storage, std::span<const Variable> counted,
           std::int64_t memory_limit, bool keep_graph)
    : storage_(std::move(storage)) {
  bool trains = false;
  for (std::size_t i = 0; i < storage_.size(); i++) {
    states_.push_back(storage_[i].raw());
    const bool is_counted = std::any_of(counted.begin(), counted.end(),
                                        [&](const Variable& w) { return w.storage().raw() == states_[i]; });
    if (graph.states()[i].next)
      trains = trains || is_counted;
    else
      counted_ = counted_ && is_counted;
  }
  runnable_ = make_runnable(
      std::move(graph),
      {.weights_stay = counted_ && !trains, .memory_limit = memory_limit, .keep_graph = keep_graph});
}

std::vector<Tensor> Step::copied_states() const {
  std::vector<Tensor> copies;
  for (const Tensor& t : storage_) copies.push_back(t.clone());
  return copies;
}

std::shared_ptr<Step> StepCache::get(Mode mode, const BatchTypes& types,
                                     const std::function<std::unique_ptr<Step>()>& make) {
  const std::lock_guard lock(mutex_);
  for (Entry& e : entries_) {
    if (e.mode == mode && e.types == types) {
      e.used = ++clock_;
      return e.step;
    }
  }
  if (entries_.size() >= capacity)
    entries_.erase(std::min_element(entries_.begin(), entries_.end(),
                                    [](const Entry& a, const Entry& b) { return a.used < b.used; }));
  entries_.push_back({mode, types, make(), ++clock_});
  return entries_.back().step;
}

std::optional<BatchTypes> StepCache::newest_types(std::int64_t batch_size) {
  const std::lock_guard lock(mutex_);
  const auto newest = std::max_element(entries_.begin(), entries_.end(),
                                       [](const Entry& a, const Entry& b) { return a.used < b.used; });
  if (newest == entries_.end()) return {};
  BatchTypes types = newest->types;
  for (graph::Type& t : types.x) t.shape[0] = batch_size;
  for (graph::Type& t : types.y) t.shape[0] = batch_size;
  if (types.weight) types.weight->shape[0] = batch_size;
  return types;
}

std::vector<std::shared_ptr<const runtime::Program>> StepCache::programs() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const runtime::Program>> programs;
  for (const Entry& e : entries_)
    if (auto program = e.step->program()) programs.push_back(std::move(program));
  return programs;
}

void StepCache::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace kiln::internal
