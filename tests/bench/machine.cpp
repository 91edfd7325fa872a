#include "tests/bench/machine.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln::bench {
namespace {

using Vec = float __attribute__((vector_size(__BIGGEST_ALIGNMENT__)));
constexpr std::int64_t lanes = sizeof(Vec) / sizeof(float);

void keep(Vec& v) {
  asm volatile("" : "+m"(v));
}

/// Chains of multiply-adds, more than the units' latency times their number.
void multiply_add(std::int64_t rounds) {
  constexpr int chains = 12;
  Vec sums[chains] = {}, a = {}, b = {};
  keep(a), keep(b);
  for (std::int64_t i = 0; i < rounds; i++)
#pragma GCC unroll 12
    for (Vec& sum : sums) sum += a * b;
  for (Vec& sum : sums) keep(sum);
}
constexpr double operations_a_round = 2.0 * 12 * lanes;

void read(const Vec* data, std::int64_t vectors) {
  Vec sums[8] = {};
  for (std::int64_t i = 0; i + 8 <= vectors; i += 8)
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) sums[k] += data[i + k];
  for (Vec& sum : sums) keep(sum);
}

/// The least of several runs' seconds, each on all threads at once.
double best_seconds(int threads, const std::function<void(int)>& work) {
  double best = 1e9;
  for (int repeat = 0; repeat < 40; repeat++) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++) others.emplace_back(work, t);
    work(0);
    for (std::thread& other : others) other.join();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

Machine measure_machine(int threads) {
  constexpr std::int64_t rounds = 4'000'000;
  const double arithmetic = best_seconds(threads, [](int) { multiply_add(rounds); });

  const std::int64_t part = (std::int64_t{256} << 20) / threads / static_cast<std::int64_t>(sizeof(Vec));
  const Tensor memory = Tensor::full({part * threads * lanes}, 1);
  const Vec* data = reinterpret_cast<const Vec*>(memory.data<float>());
  const double reading = best_seconds(threads, [&](int t) { read(data + t * part, part); });
  return {threads * rounds * operations_a_round / arithmetic / 1e9,
          static_cast<double>(part * threads * static_cast<std::int64_t>(sizeof(Vec))) / reading / 1e9};
}

}  // namespace kiln::bench
