#include "kiln/runtime/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln::runtime {
namespace {

using kiln::testing::message_of;
using kiln::testing::read_file;
using kiln::testing::TemporaryFolder;
using kiln::testing::write_file;

void write_whole(const std::string& path, const std::string& content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

TEST(InputFile, ReadsAnyPart) {
  const TemporaryFolder folder;
  write_file(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  EXPECT_EQ(file.size(), 10u);
  char part[4] = {};
  file.read(part, 3, 3);
  EXPECT_STREQ(part, "345");
  file.read(part, 10, 0);
}

TEST(InputFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  write_file(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  char part[4];
  EXPECT_EQ(message_of<FileError>([&] { file.read(part, 8, 3); }),
            folder / "a" + ": the file ends early: bytes 8 to 11 wanted, it has 10");
  EXPECT_THROW(file.read(part, ~std::uint64_t{0}, 3), FileError);
  EXPECT_EQ(message_of<FileError>([&] { InputFile(folder / "b"); }),
            folder / "b" + ": can't open the file: No such file or directory");
  EXPECT_EQ(message_of<FileError>([&] { InputFile(folder.path()); }),
            folder.path() + ": is not a regular file");
}

TEST(AtomicFile, AppearsWholeOnCommit) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "a");
    file.write("new", 3);
    EXPECT_FALSE(std::filesystem::exists(folder / "a"));
    file.commit();
  }
  EXPECT_EQ(read_file(folder / "a"), "new");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a"}));
}

TEST(AtomicFile, LeavesTheOldContentIfNotCommitted) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new", 3);
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a"}));
}

TEST(AtomicFile, KeepsPermissionsAndFollowsLinks) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  chmod((folder / "a").c_str(), 0640);
  std::filesystem::create_symlink("a", folder / "link");
  write_whole(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "a"), "new");
  struct stat info{};
  stat((folder / "a").c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(AtomicFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of<FileError>([&] { AtomicFile(folder / "none/a"); }),
            folder / "none/a" + ": can't write the file: No such file or directory");
  std::filesystem::create_directory(folder / "d");
  EXPECT_EQ(message_of<FileError>([&] { write_whole(folder / "d", "x"); }),
            folder / "d" + ": can't put the new file in place: Is a directory");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"d"}));
}

TEST(AtomicFile, AWriteThatFailsLeavesTheOldContent) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  // A file size limit is the full disk that a test can make.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{4096, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message =
      message_of<FileError>([&] { write_whole(folder / "a", std::string(8192, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(message, folder / "a" + ": can't write the file: File too large");
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a"}));
}

}  // namespace
}  // namespace kiln::runtime
