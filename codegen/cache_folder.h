#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::codegen {

/// The folder KILN_CACHE. Its files are run as code, so it must be ours and nobody else's to write; it is
/// opened once and all files are reached from there, so that nobody can put another in its place.
class CacheFolder {
 public:
  /// None if KILN_CACHE is not set, or the folder can't be opened or made. Makes it with mode 0700. Throws
  /// FileError if it is a file, belongs to another user, or others may write to it; ValueError if
  /// KILN_CACHE_SIZE is no number.
  static std::optional<CacheFolder> open();
  ~CacheFolder();
  CacheFolder(CacheFolder&& other) noexcept;
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;
  CacheFolder& operator=(CacheFolder&&) = delete;

  /// The content of a file, which counts as used now. None if there is none that we may trust.
  std::optional<std::string> read(const std::string& name) const;
  /// Writes a file so that readers see all of it or nothing, then removes those used longest ago until all
  /// together are within KILN_CACHE_SIZE. If that doesn't work, nothing happens.
  void write(const std::string& name, std::string_view content) const;

 private:
  CacheFolder(int descriptor, std::uint64_t most_bytes) : descriptor_(descriptor), most_bytes_(most_bytes) {}
  void make_room() const;

  int descriptor_;
  std::uint64_t most_bytes_;
};

}  // namespace kiln::codegen
