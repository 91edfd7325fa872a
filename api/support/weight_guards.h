#pragma once
#include <memory>
#include <span>
#include <vector>

#include "api/support/fair_mutex.h"
#include "kiln/variable.h"

namespace kiln::internal {

/// The locks of a group of weights: held shared by who reads them (a prediction, get_weights), alone by who
/// changes them (a training step, set_weights). The weights of a model have one lock in common, which its
/// layers keep when they are used in another model, too: so the lock goes with the weight, whichever model or
/// layer it is reached through. A weight that is in no model yet has none.
///
/// Works with std::unique_lock and std::shared_lock. Several locks are taken in one order for all, so that
/// two groups that overlap can't wait for each other.
class WeightGuards {
 public:
  WeightGuards() = default;
  /// The locks that the weights have.
  explicit WeightGuards(std::span<const Variable> weights);
  /// The same after giving a lock to those that have none.
  static WeightGuards made_for(std::span<const Variable> weights);

  void lock() {
    for (const auto& mutex : mutexes_) mutex->lock();
  }
  void unlock() {
    for (const auto& mutex : mutexes_) mutex->unlock();
  }
  void lock_shared() {
    for (const auto& mutex : mutexes_) mutex->lock_shared();
  }
  void unlock_shared() {
    for (const auto& mutex : mutexes_) mutex->unlock_shared();
  }

  /// A number that changes whenever one of the weights may have; never 0. For holders of the lock.
  std::uint64_t version() const {
    std::uint64_t sum = 1;
    for (const auto& mutex : mutexes_) sum += mutex->version();
    return sum;
  }

 private:
  void collect(std::span<const Variable> weights);
  std::vector<std::shared_ptr<FairSharedMutex>> mutexes_;  // different ones, in the order of their addresses
};

/// Copies of the weights' elements, all as they are at one moment.
std::vector<Tensor> read_weights(std::span<const Variable> weights);
/// Replaces the weights' elements, all at one moment. Shapes must fit; types are converted.
void write_weights(std::span<const Variable> weights, std::span<const Tensor> values);

}  // namespace kiln::internal
