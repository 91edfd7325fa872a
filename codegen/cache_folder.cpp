#include "codegen/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::string_view kSuffix = ".kiln";

/// Closes a descriptor at the end of a scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  explicit operator bool() const { return value_ >= 0; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

std::uint64_t size_limit() {
  const char* text = std::getenv("KILN_CACHE_SIZE");
  if (text == nullptr || *text == '\0') return 1024 * kMiB;
  std::uint64_t mebibytes = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, mebibytes);
  if (error != std::errc() || stop != end || mebibytes > UINT64_MAX / kMiB)
    throw ValueError(
        fmt::format("the environment's KILN_CACHE_SIZE is \"{}\"; it must be a whole number of MiB", text));
  return mebibytes * kMiB;
}

void expect_ours(const char* path, const struct stat& folder) {
  const auto refuse = [&](const std::string& reason) {
    throw FileError(
        fmt::format("KILN_CACHE: {} {}. What it holds is run as code, so others could run theirs with your "
                    "rights; name a "
                    "folder of your own, or one that isn't there yet",
                    path, reason));
  };
  if (folder.st_uid != geteuid())
    refuse(fmt::format("belongs to the user {}, and this process runs as {}", folder.st_uid, geteuid()));
  if ((folder.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    refuse(fmt::format("may be written by others (mode {:o}); chmod 700 mends that", folder.st_mode & 07777));
}

bool read_all(int descriptor, std::string& content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = read(descriptor, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

bool write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = write(descriptor, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

struct Entry {
  std::string name;
  std::uint64_t bytes;
  timespec used;
};

bool used_before(const Entry& a, const Entry& b) {
  return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
}

/// The cache's files in the folder. Those that a process left half written an hour ago or earlier are
/// removed.
std::vector<Entry> list(int folder) {
  std::vector<Entry> entries;
  const int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = again < 0 ? nullptr : fdopendir(again);
  if (stream == nullptr) {
    if (again >= 0) close(again);
    return entries;
  }
  while (const dirent* found = readdir(stream)) {
    const std::string name = found->d_name;
    const bool temporary = name.find(std::string(kSuffix) + ".tmp-") != std::string::npos;
    struct stat file{};
    if (!temporary && !name.ends_with(kSuffix)) continue;
    if (fstatat(folder, name.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode)) continue;
    if (!temporary) {
      entries.push_back({name, static_cast<std::uint64_t>(file.st_size), file.st_mtim});
    } else if (file.st_mtim.tv_sec + 3600 < std::time(nullptr)) {
      unlinkat(folder, name.c_str(), 0);
    }
  }
  closedir(stream);
  return entries;
}

}  // namespace

std::optional<CacheFolder> CacheFolder::open() {
  const char* path = std::getenv("KILN_CACHE");
  if (path == nullptr || *path == '\0') return std::nullopt;
  const std::uint64_t most_bytes = size_limit();
  std::error_code ignored;  // opening tells whether it worked
  std::filesystem::path name(path);
  if (!name.has_filename()) name = name.parent_path();  // "folder/": its parent would be "folder"
  std::filesystem::create_directories(name.parent_path(), ignored);
  (void)mkdir(path, 0700);
  Descriptor folder(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) {
    if (errno == ENOTDIR) throw FileError(fmt::format("KILN_CACHE: {} is not a folder", path));
    return std::nullopt;
  }
  struct stat info{};
  if (fstat(folder.get(), &info) != 0) return std::nullopt;
  expect_ours(path, info);
  return CacheFolder(folder.release(), most_bytes);
}

CacheFolder::CacheFolder(CacheFolder&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), most_bytes_(other.most_bytes_) {}

CacheFolder::~CacheFolder() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::optional<std::string> CacheFolder::read(const std::string& name) const {
  const Descriptor file(openat(descriptor_, (name + std::string(kSuffix)).c_str(),
                               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info{};
  if (!file || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid())
    return std::nullopt;
  std::string content(static_cast<std::size_t>(info.st_size), '\0');
  if (!read_all(file.get(), content)) return std::nullopt;
  // The time of change stands for the time of use: file systems don't keep the latter exactly.
  (void)futimens(file.get(), nullptr);
  return content;
}

void CacheFolder::write(const std::string& name, std::string_view content) const {
  if (content.size() > most_bytes_) return;
  static std::atomic<unsigned> counter{0};
  const std::string final_name = name + std::string(kSuffix);
  const std::string temporary = fmt::format("{}.tmp-{}-{}", final_name, getpid(), counter.fetch_add(1));
  {
    const Descriptor file(
        openat(descriptor_, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return;
    // No fsync: what a crash leaves behind is damaged at worst, and damage is noticed.
    if (!write_all(file.get(), content) ||
        renameat(descriptor_, temporary.c_str(), descriptor_, final_name.c_str()) != 0) {
      unlinkat(descriptor_, temporary.c_str(), 0);
      return;
    }
  }
  make_room();
}

void CacheFolder::make_room() const {
  std::vector<Entry> entries = list(descriptor_);
  std::uint64_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.bytes;
  std::sort(entries.begin(), entries.end(), used_before);
  for (const Entry& entry : entries) {
    if (bytes <= most_bytes_) break;
    unlinkat(descriptor_, entry.name.c_str(), 0);
    bytes -= entry.bytes;
  }
}

}  // namespace kiln::codegen
