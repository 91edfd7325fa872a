#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/digest.h"
#include "codegen/export_module.h"
#include "codegen/object.h"
#include "graph/plan.h"
#include "kiln/codegen/export.h"

/// What the exports of predictions and of training steps have in common.
namespace kiln::codegen {

/// The target that is asked for. Throws ValueError for one that Kiln makes no code for, and for a prefix that
/// can't begin C names.
Target export_target(const ExportOptions& options);

/// A graph planned for the device, with what hangs on states that stay as they are as constants
/// in the form in which its kernels read them.
struct DeviceProgram {
  graph::Plan plan;
  LoweredPlan lowered;
  StoredWeights weights;
  int max_threads;

  /// `states` are the elements of the graph's states; those for which `changing` is true (empty: none) may
  /// differ from run to run even if the graph doesn't update them. Throws ValueError for arrays that are too
  /// large for the target's addresses.
  DeviceProgram(const graph::Graph& graph, std::span<const Tensor> states, const std::vector<bool>& changing,
                const ExportOptions& options, const Target& target);
  ExportedFunction facts(const graph::Graph& graph) const;
};

/// Makes code of an export's module.
class CodeOfExport {
 public:
  /// Optimises the module, which `maker`'s context holds, and gives its code in the form that `options` name.
  /// Throws ValueError if it would call a library.
  CodeOfExport(std::unique_ptr<llvm::Module> module, ObjectMaker& maker, const Target& target,
               const ExportOptions& options);
  /// All but the digest and the constants.
  const ExportedCode& code() const { return code_; }
  /// Bytes of stack that PREFIX_NAME and what it calls take at most, return addresses included.
  std::int64_t stack_bytes(const std::string& name) const;

 private:
  std::int64_t stack_bytes(const llvm::Function& function) const;

  std::unique_ptr<llvm::Module> module_;
  std::map<std::string, std::int64_t> frames_;
  std::int64_t return_address_bytes_;
  ExportedCode code_;
};

/// Throws ValueError if an array of so many bytes is more than the target's addresses reach.
void check_size(const std::string& what, std::int64_t bytes, const ExportOptions& options,
                const Target& target);

/// Adds the graph without labels and names of states, which hang on what else the program has built, and the
/// constants of its program.
void add_to(DigestOf& digest, const graph::Graph& graph, const StoredWeights& weights);
/// Adds what else the code hangs on.
void add_to(DigestOf& digest, const ExportOptions& options, const Target& target);
/// The digest as text: half of its bits.
std::string text_of(const DigestOf& digest);

}  // namespace kiln::codegen
