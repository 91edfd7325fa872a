#include "api/support/weight_guards.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <shared_mutex>

namespace kiln::internal {

namespace {

/// Held while a weight's lock is looked up or given.
std::mutex& assignment() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

WeightGuards::WeightGuards(std::span<const Variable> weights) {
  const std::lock_guard lock(assignment());
  collect(weights);
}

void WeightGuards::collect(std::span<const Variable> weights) {
  for (const Variable& w : weights)
    if (w.guard() && std::find(mutexes_.begin(), mutexes_.end(), w.guard()) == mutexes_.end())
      mutexes_.push_back(w.guard());
  std::sort(mutexes_.begin(), mutexes_.end());
}

WeightGuards WeightGuards::made_for(std::span<const Variable> weights) {
  const std::lock_guard lock(assignment());
  WeightGuards present;
  present.collect(weights);
  const auto mutex =
      present.mutexes_.empty() ? std::make_shared<FairSharedMutex>() : present.mutexes_.front();
  for (const Variable& w : weights)
    if (!w.guard()) w.guard() = mutex;
  WeightGuards all;
  all.collect(weights);
  return all;
}

std::vector<Tensor> read_weights(std::span<const Variable> weights) {
  WeightGuards guards(weights);
  const std::shared_lock lock(guards);
  std::vector<Tensor> values;
  for (const Variable& w : weights) values.push_back(w.storage().clone());
  return values;
}

void write_weights(std::span<const Variable> weights, std::span<const Tensor> values) {
  std::vector<Tensor> converted;
  for (std::size_t i = 0; i < weights.size(); i++)
    converted.push_back(values[i].astype(weights[i].dtype()).contiguous());
  WeightGuards guards(weights);
  const std::unique_lock lock(guards);
  for (std::size_t i = 0; i < weights.size(); i++) {
    Tensor elements = weights[i].storage();  // the same memory
    if (converted[i].nbytes() > 0) std::memcpy(elements.raw(), converted[i].raw(), converted[i].nbytes());
  }
}

}  // namespace kiln::internal
