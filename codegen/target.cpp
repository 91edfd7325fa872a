#include "codegen/target.h"

#include <fmt/format.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/TargetParser/AArch64TargetParser.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/TargetParser/X86TargetParser.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "codegen/llvm_target.h"
#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

using Features = llvm::StringMap<bool>;

/// `has` answers for a feature's name.
template <class Has>
void describe_x86(Target& t, Has has) {
  const bool wide = has("avx512f") && has("avx512vl") && has("avx512dq") && has("avx512bw");
  const bool avx2 = has("avx2");
  t.vector_bits = wide ? 512 : avx2 ? 256 : 128;
  t.vector_registers = wide ? 32 : 16;
  t.has_fma = has("fma");
  t.has_rounding = has("sse4.1");
  t.masked_access = wide ? MaskedAccess::all : avx2 ? MaskedAccess::loads : MaskedAccess::none;
}

/// Every 64-bit ARM CPU has NEON; SVE, where there is more, isn't used.
void describe_aarch64(Target& t) {
  t.vector_bits = 128;
  t.vector_registers = 32;
  t.masked_access = MaskedAccess::none;
}

[[noreturn]] void no_floats(const Target& t, const char* example) {
  throw ValueError(fmt::format(
      "{}: the CPU \"{}\" has no instructions for float32, which models compute in; take one that "
      "has, such as {}",
      t.triple, t.cpu, example));
}

/// What is asked for, behind what everyone gets.
std::string with_features(const std::string& standard, const std::string& asked) {
  return asked.empty() ? standard : standard + "," + asked;
}

/// Cortex-M4, M7, M33 and their kin: one float a register.
void describe_cortex_m(Target& t) {
  const llvm::Triple::SubArchType kind = llvm::Triple(t.triple).getSubArch();
  const bool v7em = kind == llvm::Triple::ARMSubArch_v7em,
             v8m = kind == llvm::Triple::ARMSubArch_v8m_mainline;
  if (!v7em && !v8m)
    throw ValueError(fmt::format(
        "Kiln makes no code for {}: of Arm's 32-bit CPUs it knows those of thumbv7em (Cortex-M4, M7) and "
        "thumbv8m.main (M33)",
        t.triple));
  if (t.cpu.empty()) {
    t.cpu = v7em ? "cortex-m4" : "cortex-m33";
    if (v8m) t.features = with_features("-dsp", t.features);  // not every M33 has it
  }
  const auto cpu = subtarget(t.triple, t.cpu, t.features);
  if (cpu->checkFeatures("+armv8-m.main") != v8m || !cpu->checkFeatures("+mclass"))
    throw ValueError(
        fmt::format("cpu \"{}\" isn't one of {}: Cortex-M4 and M7 are of thumbv7em, M33 is of thumbv8m.main",
                    t.cpu, t.triple));
  if (!cpu->checkFeatures("+vfp2sp")) no_floats(t, "cortex-m4, cortex-m7 or cortex-m33");
  t.vector_bits = 32;
  t.vector_registers = 32;
  t.has_fma = cpu->checkFeatures("+vfp4d16sp");
  t.has_rounding = false;  // LLVM knows no instruction for halves to even
  t.has_double = cpu->checkFeatures("+fp64");
  t.masked_access = MaskedAccess::none;
  t.pointer_bits = 32;
  t.is_small = true;
  t.l1_bytes = t.l2_bytes = 16 << 10;
}

void describe_riscv(Target& t, bool is_64_bit) {
  if (t.cpu.empty()) t.features = with_features(is_64_bit ? "+m,+a,+f,+d,+c" : "+m,+f,+c", t.features);
  const auto cpu = subtarget(t.triple, t.cpu, t.features);
  if (!cpu->checkFeatures("+f")) no_floats(t, "the features +m,+f,+c");
  const bool has_vectors = cpu->checkFeatures("+v");
  t.vector_bits = has_vectors ? 128 : 32;
  t.vector_registers = 32;
  t.has_fma = true;
  t.has_rounding = false;  // without Zfa
  t.has_double = cpu->checkFeatures("+d");
  t.masked_access = has_vectors ? MaskedAccess::all : MaskedAccess::none;
  t.pointer_bits = is_64_bit ? 64 : 32;
  t.is_small = !is_64_bit;
}

void describe_wasm(Target& t) {
  if (t.cpu.empty()) t.features = with_features("+simd128", t.features);
  const bool has_vectors = subtarget(t.triple, t.cpu, t.features)->checkFeatures("+simd128");
  t.vector_bits = has_vectors ? 128 : 32;
  t.vector_registers = 16;
  t.has_fma = false;
  t.masked_access = MaskedAccess::none;
  t.pointer_bits = 32;
}

Features features_of_x86(std::string_view cpu) {
  if (llvm::X86::parseArchX86(cpu, /*Only64Bit=*/true) == llvm::X86::CK_None) {
    throw ValueError(fmt::format(
        "There is no x86-64 CPU \"{}\"; known are the levels x86-64, x86-64-v2, x86-64-v3 and "
        "x86-64-v4, and LLVM's names of CPUs, like haswell or znver4. Other machines' need a target, too.",
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
  if (vector_bits < std::min(128, t.vector_bits) || vector_bits > t.vector_bits ||
      (vector_bits & (vector_bits - 1)) != 0) {
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
    describe_x86(t, [&](const char* name) { return features.lookup(name); });
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

/// Throws for names of makers, systems and ABIs that LLVM doesn't know and takes for none at all: a slip of
/// the pen would make code for another calling convention.
void check_names(const llvm::Triple& triple) {
  const auto check = [&](llvm::StringRef name, bool known) {
    if (known || name.empty() || name == "none" || name == "unknown") return;
    throw ValueError(fmt::format(
        "Kiln makes no code for {}: \"{}\" is no part of a target that LLVM knows; targets are written like "
        "thumbv7em-none-eabihf, x86_64-linux-gnu or riscv32-unknown-elf",
        triple.str(), name.str()));
  };
  check(triple.getVendorName(), triple.getVendor() != llvm::Triple::UnknownVendor);
  check(triple.getOSName(), triple.getOS() != llvm::Triple::UnknownOS);
  const llvm::StringRef abi = triple.getEnvironmentName();
  check(abi, abi == "elf" || abi == "wasm" || triple.isAndroid() ||
                 abi == llvm::Triple::getEnvironmentTypeName(triple.getEnvironment()));
}

}  // namespace

Target Target::of(std::string_view triple, std::string_view cpu, int vector_bits, std::string_view features) {
  Target t;
  t.triple = llvm::Triple::normalize(llvm::StringRef(triple.data(), triple.size()));
  t.cpu = cpu;
  t.features = features;
  const llvm::Triple parsed(t.triple);
  if (!parsed.isOSBinFormatELF() && !parsed.isOSBinFormatWasm())
    throw ValueError(
        fmt::format("Kiln makes no code for {}: it knows ELF and WebAssembly as object files", triple));
  if (parsed.getArch() == llvm::Triple::x86_64) {
    features_of_x86(cpu);  // says which CPUs there are
    const auto known = subtarget(t.triple, t.cpu, t.features);
    describe_x86(t, [&](const char* name) { return known->checkFeatures(fmt::format("+{}", name)); });
  } else if (parsed.getArch() == llvm::Triple::aarch64) {
    check_aarch64_cpu(cpu);
    subtarget(t.triple, t.cpu, t.features);
    describe_aarch64(t);
  } else if (parsed.getArch() == llvm::Triple::thumb) {
    describe_cortex_m(t);
  } else if (parsed.isRISCV()) {
    describe_riscv(t, parsed.isArch64Bit());
  } else if (parsed.getArch() == llvm::Triple::wasm32) {
    describe_wasm(t);
  } else {
    llvm_target(std::string(triple));  // says which are known
  }
  check_names(parsed);
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
  return fmt::format(
      "{} {} {} vector_bits={} registers={} fma={} rounding={} double={} pointer={} small={} team={} "
      "values={} masks={} l1={} l2={}",
      target.triple, target.cpu, target.features, target.vector_bits, target.vector_registers, target.has_fma,
      target.has_rounding, target.has_double, target.pointer_bits, target.is_small, target.has_team,
      target.reports_check_values, static_cast<int>(target.masked_access), target.l1_bytes, target.l2_bytes);
}

}  // namespace kiln::codegen
