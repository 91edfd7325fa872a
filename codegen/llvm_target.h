#pragma once
#include <memory>
#include <string>

namespace llvm {
class MCSubtargetInfo;
class Target;
}  // namespace llvm

namespace kiln::codegen {

/// LLVM's back end for a triple. Each is made known to LLVM when it is first asked for: all at once would
/// cost every start of a program some milliseconds. Throws ValueError if LLVM has none that Kiln makes code
/// for. Thread-safe.
const llvm::Target& llvm_target(const std::string& triple);

/// What LLVM knows of a CPU. Throws ValueError for CPUs and features that it doesn't know.
std::unique_ptr<llvm::MCSubtargetInfo> subtarget(const std::string& triple, const std::string& cpu,
                                                 const std::string& features);

}  // namespace kiln::codegen
