#pragma once
#include <memory>
#include <optional>

#include "codegen/cache_folder.h"
#include "codegen/program_image.h"
#include "codegen/program_key.h"

namespace kiln::codegen {

/// The place in the folder KILN_CACHE of what compile() makes of a graph.
class ProgramCache {
 public:
  /// None if the cache is off: KILN_CACHE isn't set or can't be used, KILN_DUMP wants every stage of the
  /// compiler to run, or a test has planted a fault into it. Throws as CacheFolder::open does.
  static std::optional<ProgramCache> of(const graph::Graph& graph, const CompileOptions& options,
                                        const Target& target);

  /// The program, linked; null if the folder doesn't have it or what it has is damaged.
  std::shared_ptr<runtime::Program> find() const;
  /// Keeps the program. If that doesn't work (no space, no permission), nothing happens.
  void store(const ProgramImage& image) const;

 private:
  ProgramCache(CacheFolder folder, const ProgramKey& key) : folder_(std::move(folder)), key_(key) {}

  CacheFolder folder_;
  ProgramKey key_;
};

}  // namespace kiln::codegen
