#include "codegen/target.h"

#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

Target find_host() {
  Target t;
  t.triple = llvm::sys::getProcessTriple();
  t.cpu = llvm::sys::getHostCPUName().str();
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  std::vector<std::string> words;
  for (const auto& feature : features) {
    words.push_back(fmt::format("{}{}", feature.second ? '+' : '-', feature.first().str()));
  }
  std::sort(words.begin(), words.end());  // the map's order is no order: equal hosts must give equal text
  t.features = fmt::format("{}", fmt::join(words, ","));

  if (llvm::Triple(t.triple).isX86()) {
    if (!features.lookup("fma") || !features.lookup("avx2")) {
      throw Error(fmt::format("This CPU ({}) has no AVX2 with fused multiply-add, which Kiln's kernels need.",
                              t.cpu));
    }
    const bool wide = features.lookup("avx512f") && features.lookup("avx512vl") &&
                      features.lookup("avx512dq") && features.lookup("avx512bw");
    t.vector_bits = wide ? 512 : 256;
    t.vector_registers = wide ? 32 : 16;
  } else {
    t.vector_registers = 32;
  }
  const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (l1 > 0) t.l1_bytes = l1;
  if (l2 > 0) t.l2_bytes = l2;
  return t;
}

}  // namespace

Target Target::host(int vector_bits) {
  static const Target widest = find_host();
  Target t = widest;
  if (vector_bits == 0) return t;
  if (vector_bits < 128 || vector_bits > t.vector_bits || (vector_bits & (vector_bits - 1)) != 0) {
    throw ValueError(
        fmt::format("vector_bits = {}: this CPU has vectors of up to {} bits; 128, 256 and 512 are known",
                    vector_bits, t.vector_bits));
  }
  t.vector_bits = vector_bits;
  return t;
}

}  // namespace kiln::codegen
