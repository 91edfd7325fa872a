#include "codegen/target.h"

#include <fmt/format.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/AArch64TargetParser.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/TargetParser/X86TargetParser.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

using Features = llvm::StringMap<bool>;

bool has_all(const Features& features, std::initializer_list<const char*> names) {
  return std::all_of(names.begin(), names.end(), [&](const char* name) { return features.lookup(name); });
}

void describe_x86(Target& t, const Features& features) {
  const bool wide = has_all(features, {"avx512f", "avx512vl", "avx512dq", "avx512bw"});
  const bool avx2 = has_all(features, {"avx2"});
  t.vector_bits = wide ? 512 : avx2 ? 256 : 128;
  t.vector_registers = wide ? 32 : 16;
  t.has_fma = has_all(features, {"fma"});
  t.has_rounding = has_all(features, {"sse4.1"});
  t.masked_access = wide ? MaskedAccess::all : avx2 ? MaskedAccess::loads : MaskedAccess::none;
}

/// Every 64-bit ARM CPU has NEON; SVE, where there is more, isn't used.
void describe_aarch64(Target& t) {
  t.vector_bits = 128;
  t.vector_registers = 32;
  t.masked_access = MaskedAccess::none;
}

Features features_of_x86(std::string_view cpu) {
  if (llvm::X86::parseArchX86(cpu, /*Only64Bit=*/true) == llvm::X86::CK_None) {
    throw ValueError(
        fmt::format("There is no x86-64 CPU \"{}\"; known are the levels x86-64, x86-64-v2, x86-64-v3 and "
                    "x86-64-v4, and LLVM's names of CPUs, like haswell or znver4.",
                    cpu));
  }
  llvm::SmallVector<llvm::StringRef> names;
  llvm::X86::getFeaturesForCPU(cpu, names);
  Features features;
  for (llvm::StringRef name : names) {
    features[name] = true;
    llvm::X86::updateImpliedFeatures(name, true, features);
  }
  return features;
}

void check_aarch64_cpu(std::string_view cpu) {
  if (cpu != "generic" && !llvm::AArch64::parseCpu(cpu)) {
    throw ValueError(fmt::format(
        "There is no AArch64 CPU \"{}\"; known are generic, which all are, and LLVM's names of CPUs, like "
        "cortex-a72 or neoverse-n1.",
        cpu));
  }
}

void set_vector_bits(Target& t, int vector_bits) {
  if (vector_bits == 0) return;
  if (vector_bits < 128 || vector_bits > t.vector_bits || (vector_bits & (vector_bits - 1)) != 0) {
    throw ValueError(fmt::format(
        "vector_bits = {}: this CPU ({}) has vectors of up to {} bits; 128, 256 and 512 are known",
        vector_bits, t.cpu, t.vector_bits));
  }
  t.vector_bits = vector_bits;
}

void measure_caches(Target& t) {
  const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (l1 > 0) t.l1_bytes = l1;
  if (l2 > 0) t.l2_bytes = l2;
}

Target find_native() {
  Target t;
  t.triple = llvm::sys::getProcessTriple();
  t.cpu = llvm::sys::getHostCPUName().str();
  const Features features = llvm::sys::getHostCPUFeatures();
  std::vector<std::string> words;
  for (const auto& feature : features) {
    words.push_back(fmt::format("{}{}", feature.second ? '+' : '-', feature.first().str()));
  }
  std::sort(words.begin(), words.end());  // the map's order is no order: equal hosts must give equal text
  t.features = fmt::format("{}", fmt::join(words, ","));
  if (llvm::Triple(t.triple).isX86()) {
    describe_x86(t, features);
  } else {
    describe_aarch64(t);
  }
  measure_caches(t);
  return t;
}

/// Throws if this machine lacks what programs for `target` may use.
void check_runs_here(const Target& target, const Target& native) {
  if (!llvm::Triple(target.triple).isX86()) {
    if (target.cpu == "generic" || target.cpu == native.cpu) return;
    throw ValueError(fmt::format("cpu \"{}\": this machine is a {}; it can stand in for generic only",
                                 target.cpu, native.cpu));
  }
  const Features have = llvm::sys::getHostCPUFeatures();
  std::vector<std::string> missing;
  for (const auto& feature : features_of_x86(target.cpu)) {
    const auto known = have.find(feature.first());
    if (known != have.end() && !known->second) missing.push_back(feature.first().str());
  }
  if (missing.empty()) return;
  std::sort(missing.begin(), missing.end());
  throw ValueError(fmt::format("cpu \"{}\": this machine ({}) doesn't have its instructions {}", target.cpu,
                               native.cpu, fmt::join(missing, ", ")));
}

std::string_view cpu_of_environment() {
  const char* value = std::getenv("KILN_CPU");
  return value == nullptr ? "" : value;
}

}  // namespace

Target Target::of(std::string_view triple, std::string_view cpu, int vector_bits) {
  Target t;
  t.triple = triple;
  t.cpu = cpu;
  const llvm::Triple parsed(t.triple);
  if (parsed.getArch() == llvm::Triple::x86_64) {
    describe_x86(t, features_of_x86(cpu));
  } else if (parsed.getArch() == llvm::Triple::aarch64) {
    check_aarch64_cpu(cpu);
    describe_aarch64(t);
  } else {
    throw ValueError(fmt::format("Kiln makes no code for {}: x86_64 and aarch64 are known.", triple));
  }
  set_vector_bits(t, vector_bits);
  return t;
}

Target Target::host(int vector_bits, std::string_view cpu) {
  static const Target native = find_native();
  if (cpu.empty()) cpu = cpu_of_environment();
  Target t = native;
  if (!cpu.empty() && cpu != "native") {
    t = Target::of(native.triple, cpu);
    check_runs_here(t, native);
    measure_caches(t);
  }
  set_vector_bits(t, vector_bits);
  return t;
}

std::string describe(const Target& target) {
  return fmt::format("{} {} {} vector_bits={} registers={} fma={} rounding={} masks={} l1={} l2={}",
                     target.triple, target.cpu, target.features, target.vector_bits, target.vector_registers,
                     target.has_fma, target.has_rounding, static_cast<int>(target.masked_access),
                     target.l1_bytes, target.l2_bytes);
}

}  // namespace kiln::codegen
