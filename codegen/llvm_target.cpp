#include "codegen/llvm_target.h"

#include <fmt/format.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/TargetParser/SubtargetFeature.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

#define KILN_INITIALISE(NAME)         \
  LLVMInitialize##NAME##TargetInfo(); \
  LLVMInitialize##NAME##Target();     \
  LLVMInitialize##NAME##TargetMC();   \
  LLVMInitialize##NAME##AsmPrinter()

/// False for architectures that Kiln makes no code for.
bool initialise(const llvm::Triple& triple) {
  if (triple.getArch() == llvm::Triple::x86_64) {
    KILN_INITIALISE(X86);
  } else if (triple.getArch() == llvm::Triple::aarch64) {
    KILN_INITIALISE(AArch64);
  } else if (triple.getArch() == llvm::Triple::thumb) {
    KILN_INITIALISE(ARM);
  } else if (triple.isRISCV()) {
    KILN_INITIALISE(RISCV);
  } else if (triple.getArch() == llvm::Triple::wasm32) {
    KILN_INITIALISE(WebAssembly);
  } else {
    return false;
  }
  return true;
}

#undef KILN_INITIALISE

}  // namespace

const llvm::Target& llvm_target(const std::string& triple) {
  // LLVM's list of targets has no lock of its own.
  static std::mutex mutex;
  static std::set<llvm::Triple::ArchType> known;
  const std::lock_guard lock(mutex);
  std::string error =
      "it knows targets such as x86_64-linux-gnu, aarch64-linux-gnu, thumbv7em-none-eabihf, "
      "thumbv8m.main-none-eabihf, riscv32-unknown-elf, riscv64-linux-gnu and wasm32-unknown-unknown; a CPU's "
      "name, such as cortex-m4, is given beside its target";
  const llvm::Triple parsed(triple);
  if (known.count(parsed.getArch()) > 0 || initialise(parsed)) {
    known.insert(parsed.getArch());
    if (const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error)) return *found;
  }
  throw ValueError(fmt::format("Kiln makes no code for {}: {}", triple, error));
}

std::unique_ptr<llvm::MCSubtargetInfo> subtarget(const std::string& triple, const std::string& cpu,
                                                 const std::string& features) {
  const llvm::Target& target = llvm_target(triple);
  // LLVM prints a warning for what it doesn't know, and leaves it out.
  const std::unique_ptr<llvm::MCSubtargetInfo> any(target.createMCSubtargetInfo(triple, "", ""));
  if (!cpu.empty() && !any->isCPUStringValid(cpu))
    throw ValueError(
        fmt::format("cpu \"{}\": LLVM knows no such CPU of {}; give one such as cortex-m4, or leave it out",
                    cpu, triple));
  const llvm::SubtargetFeatures list(features);
  for (const std::string& feature : list.getFeatures()) {
    const auto all = any->getAllProcessorFeatures();
    const std::string name = feature.substr(1);
    if ((feature[0] != '+' && feature[0] != '-') ||
        std::none_of(all.begin(), all.end(), [&](const auto& known) { return name == known.Key; }))
      throw ValueError(
          fmt::format("features: LLVM knows no \"{}\" of {}; give names with + or - before, such as \"+v\"",
                      feature, triple));
  }
  return std::unique_ptr<llvm::MCSubtargetInfo>(target.createMCSubtargetInfo(triple, cpu, features));
}

}  // namespace kiln::codegen
