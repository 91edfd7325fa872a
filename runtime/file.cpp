#include "kiln/runtime/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace kiln::runtime {
namespace {

[[noreturn]] void fail(const std::string& path, const char* doing) {
  const int code = errno;  // before anything else can change it
  throw FileError(fmt::format("{}: {}: {}", path, doing, std::generic_category().message(code)));
}

/// The file that a symbolic link stands for, so that the link survives the rename.
std::string resolved(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const auto target = std::filesystem::weakly_canonical(path, error);
  return error ? path : target.string();
}

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail(path_, "can't open the file");
  struct stat info{};
  const bool regular = fstat(descriptor_, &info) == 0 && S_ISREG(info.st_mode);
  if (!regular) {
    close(descriptor_);
    throw FileError(fmt::format("{}: is not a regular file", path_));
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  close(descriptor_);
}

void InputFile::read(void* to, std::uint64_t offset, std::size_t n) const {
  if (offset > size_ || n > size_ - offset)
    throw FileError(fmt::format("{}: the file ends early: bytes {} to {} wanted, it has {}", path_, offset,
                                offset + n, size_));
  auto* p = static_cast<std::byte*>(to);
  while (n > 0) {
    const ssize_t got = pread(descriptor_, p, n, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, "can't read the file");
    if (got == 0) throw FileError(fmt::format("{}: the file became shorter while it was read", path_));
    p += got;
    offset += static_cast<std::uint64_t>(got);
    n -= static_cast<std::size_t>(got);
  }
}

AtomicFile::AtomicFile(std::string path) : path_(resolved(path)) {
  static std::atomic<unsigned> counter{0};
  // The kernel opens the temporary file with the permissions that a plain write would have given.
  temporary_ = fmt::format("{}.tmp-{}-{}", path_, getpid(), counter.fetch_add(1));
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path_, "can't write the file");
  struct stat old{};
  // Some file systems refuse; the content matters more than the permissions.
  if (stat(path_.c_str(), &old) == 0) (void)!fchmod(descriptor_, old.st_mode & 0777);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t n) {
  auto* p = static_cast<const std::byte*>(data);
  while (n > 0) {
    const ssize_t written = ::write(descriptor_, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "can't write the file");
    p += written;
    n -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail(path_, "can't write the file to the disk");
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail(path_, "can't write the file");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "can't put the new file in place");
  temporary_.clear();
  // The rename itself must reach the disk; where a directory can't be synced there is nothing better to do.
  const auto folder = std::filesystem::path(path_).parent_path();
  const int directory = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    (void)!fsync(directory);
    close(directory);
  }
}

}  // namespace kiln::runtime
