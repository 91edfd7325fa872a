#include "codegen/program_key.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/Support/BLAKE3.h>
#include <sys/stat.h>

#include <variant>

#include "codegen/binary.h"
#include "codegen/sanitize.h"

namespace kiln::codegen {
namespace {

/// Differs where LLVM's library is another: it is replaced by packages without a new version number, too.
std::string llvm_identity() {
  Dl_info library{};
  struct stat file{};
  std::string text = LLVM_VERSION_STRING;
  if (dladdr(reinterpret_cast<void*>(&llvm_blake3_hasher_init), &library) != 0 &&
      stat(library.dli_fname, &file) == 0) {
    text += fmt::format(" {} {}.{:09}", file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
  }
  return text;
}

}  // namespace

// A field that is added to one of these structures must be added here, or this file doesn't compile.

template <class Archive>
static void fields(Archive& archive, const CompileOptions& options) {
  const auto& [conv, fuse, reuse_memory, weights_stay, vector_bits, cpu, memory_limit, autotune] = options;
  archive(conv, fuse, reuse_memory, weights_stay, vector_bits, cpu, memory_limit, autotune);
}

template <class Archive>
static void fields(Archive& archive, const Target& target) {
  const auto& [triple, cpu, features, vector_bits, vector_registers, has_fma, has_rounding, has_double,
               pointer_bits, is_small, has_team, reports_check_values, masked_access, l1_bytes, l2_bytes] =
      target;
  archive(triple, cpu, features, vector_bits, vector_registers, has_fma, has_rounding, has_double,
          pointer_bits, is_small, has_team, reports_check_values, masked_access, l1_bytes, l2_bytes);
}

template <class Archive>
static void fields(Archive& archive, const graph::Type& type) {
  const auto& [dtype, shape] = type;
  archive(dtype, shape);
}

template <class Archive>
static void fields(Archive& archive, const graph::Value& value) {
  const auto& [node, result] = value;
  archive(node != nullptr ? node->id : -1, result);
}

template <class Archive>
static void fields(Archive& archive, const graph::Node& node) {
  const auto& [graph, id, op, operands, attributes, results, label] = node;
  archive(id, op, operands, results, label);
  for (const auto& [name, attribute] : attributes) {
    archive(name, attribute.index());
    std::visit([&](const auto& value) { archive(value); }, attribute);
  }
}

template <class Archive>
static void fields(Archive& archive, const graph::StateSlot& state) {
  const auto& [name, current, next] = state;
  archive(name, current, next);
}

template <class Archive>
static void fields(Archive& archive, const graph::Output& output) {
  const auto& [name, value] = output;
  archive(name, value);
}

template <class Archive>
static void fields(Archive& archive, const graph::Graph& graph) {
  archive(graph.name, graph.nodes().size());
  for (const graph::Node& node : graph.nodes()) archive(node);
  archive(graph.inputs(), graph.states(), graph.outputs());
}

ProgramKey program_key(const graph::Graph& graph, const CompileOptions& options, const Target& target) {
  static const std::string compiler =
      fmt::format("{} {} {}", build_id, llvm_identity(), built_with_address_sanitizer ? "asan" : "");
  DigestOf digest;
  ProgramKey key;
  BinaryWriter writer([&](std::string_view block) {
    digest.add(block);
    key.bytes += block.size();
  });
  writer(compiler, target, options, graph);
  writer.flush();
  key.digest = digest.result();
  return key;
}

}  // namespace kiln::codegen
