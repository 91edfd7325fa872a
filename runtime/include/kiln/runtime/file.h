#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "kiln/runtime/error.h"

namespace kiln::runtime {

/// A file open for reading, of known size. Every error is a FileError that names the file.
class KILN_API InputFile {
 public:
  /// Throws FileError if `path` can't be opened or isn't a regular file.
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  /// Copies bytes [offset, offset + n) to `to`. Throws FileError if the file doesn't have them.
  void read(void* to, std::uint64_t offset, std::size_t n) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Writes a file so that its name always holds either the whole old content or the whole new one, whatever
/// fails on the way: into a temporary file beside it, which `commit` syncs to the disk and then renames.
/// Follows symbolic links, and keeps the permissions of a file it replaces. Every error is a FileError that
/// names the file.
class KILN_API AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  /// Removes the temporary file if `commit` wasn't reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t n);
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

}  // namespace kiln::runtime
