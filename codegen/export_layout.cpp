#include "codegen/export_layout.h"

#include <algorithm>
#include <set>

#include "codegen/narrow_weights.h"
#include "codegen/weight_pairs.h"

namespace kiln::codegen {
namespace {

using runtime::BufferRef;

std::int64_t round_up(std::int64_t bytes, std::int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

bool is_zero(const Tensor& t) {
  const Tensor dense = t.contiguous();
  const auto* bytes = static_cast<const char*>(dense.raw());
  return std::all_of(bytes, bytes + dense.nbytes(), [](char c) { return c == 0; });
}

/// The lowest place of so many bytes that no array has that is alive at the step.
std::int64_t free_place(const runtime::Program& program, std::size_t step, std::int64_t bytes) {
  std::int64_t place = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (const runtime::ArenaValue& v : program.arena_values) {
      const bool is_alive = v.first <= step && step <= v.last;
      if (!is_alive || place + bytes <= v.offset || v.offset + v.bytes <= place) continue;
      place = round_up(v.offset + v.bytes, memory_alignment);
      moved = true;
    }
  }
  return place;
}

/// Calls body(constant, kernel, parameter) for each kernel's parameter that is a constant.
template <class Body>
void each_constant(const LoweredPlan& plan, Body body) {
  for (std::size_t s = 0; s < plan.kernels.size(); ++s) {
    const std::vector<BufferRef>& buffers = plan.program.steps[s].buffers;
    for (std::size_t i = 0; i < buffers.size(); ++i)
      if (buffers[i].space == BufferRef::Space::constant)
        body(static_cast<std::size_t>(buffers[i].index), s, i);
  }
}

}  // namespace

ScratchLayout::ScratchLayout(const LoweredPlan& plan, int max_threads) {
  const runtime::Program& program = plan.program;
  for (const runtime::ArenaValue& v : program.arena_values) bytes = std::max(bytes, v.offset + v.bytes);
  const std::int64_t behind = round_up(bytes, StoredWeights::alignment);
  for (std::size_t s = 0; s < plan.scratch_bytes.size(); ++s) {
    const std::int64_t own = plan.scratch_bytes[s];
    kernels.push_back(max_threads > 1 ? behind : free_place(program, s, own));
    if (own > 0)
      bytes = std::max(bytes, kernels[s] + (max_threads > 1 ? max_threads * program.scratch_bytes : own));
  }
  if (bytes > 0) alignment = memory_alignment;
}

StoredWeights::StoredWeights(LoweredPlan& plan, WeightStorage storage) {
  for (const Tensor& t : plan.program.constants) {
    const Tensor dense = t.contiguous();
    Constant c{t.dtype(), Storage::whole, 0, {}, round_up(bytes, alignment)};
    if (const auto halves = narrowed(dense, storage)) {
      c.storage = storage == WeightStorage::float16 ? Storage::float16 : Storage::bfloat16;
      c.bytes.assign(reinterpret_cast<const char*>(halves->data()), 2 * halves->size());
    } else {
      c.bytes.assign(static_cast<const char*>(dense.raw()), dense.nbytes());
    }
    bytes = c.offset + static_cast<std::int64_t>(c.bytes.size());
    constants.push_back(std::move(c));
  }
  if (storage == WeightStorage::bfloat16) pair_vectors(plan);
  each_constant(plan, [&](std::size_t constant, std::size_t kernel, std::size_t parameter) {
    BufferParam& buffer = plan.kernels[kernel].buffers[parameter];
    buffer.storage = constants[constant].storage;
    buffer.pair_lanes = constants[constant].pair_lanes;
  });
}

void StoredWeights::pair_vectors(const LoweredPlan& plan) {
  std::vector<std::set<int>> lanes(constants.size());
  each_constant(plan, [&](std::size_t constant, std::size_t kernel, std::size_t parameter) {
    lanes[constant].insert(pair_lanes(plan.kernels[kernel], static_cast<int>(parameter)));
  });
  for (std::size_t i = 0; i < constants.size(); ++i) {
    Constant& c = constants[i];
    if (c.storage != Storage::bfloat16 || lanes[i].size() != 1 || *lanes[i].begin() == 0) continue;
    c.pair_lanes = *lanes[i].begin();
    c.bytes = in_pairs(c.bytes, c.pair_lanes);
  }
}

std::string StoredWeights::file() const {
  std::string result(static_cast<std::size_t>(bytes), '\0');
  for (const Constant& c : constants)
    result.replace(static_cast<std::size_t>(c.offset), c.bytes.size(), c.bytes);
  return result;
}

std::uint32_t StoredWeights::checksum() const {
  std::uint32_t hash = fnv_start;
  for (const char byte : file()) hash = (hash ^ static_cast<std::uint8_t>(byte)) * fnv_prime;
  return hash;
}

DeviceMemory::DeviceMemory(std::span<const Tensor> arrays, std::size_t weights, int learning_rate)
    : offsets(arrays.size()) {
  const auto place = [&](auto belongs) {
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      if (!belongs(i)) continue;
      offsets[i] = bytes;
      bytes = round_up(bytes + static_cast<std::int64_t>(arrays[i].nbytes()), memory_alignment);
    }
  };
  place([&](std::size_t i) { return i < weights; });
  weight_bytes = bytes;
  place([&](std::size_t i) { return i >= weights && !is_zero(arrays[i]); });
  image.resize(static_cast<std::size_t>(bytes));
  place([&](std::size_t i) { return i >= weights && is_zero(arrays[i]); });
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (offsets[i] >= static_cast<std::int64_t>(image.size())) continue;
    const Tensor dense = arrays[i].contiguous();
    image.replace(static_cast<std::size_t>(offsets[i]), dense.nbytes(), static_cast<const char*>(dense.raw()),
                  dense.nbytes());
  }
  if (learning_rate >= 0) {
    rate_offset = offsets[static_cast<std::size_t>(learning_rate)];
    rate_dtype = arrays[static_cast<std::size_t>(learning_rate)].dtype();
  }
}

}  // namespace kiln::codegen
