#include "kiln/datasets.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>

#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln::datasets {
namespace {

using kiln::testing::message_of;
using kiln::testing::read_file;
using kiln::testing::TemporaryFolder;
using kiln::testing::write_file;

std::string big_endian(std::uint32_t n) {
  std::string s;
  for (int shift : {24, 16, 8, 0}) s += static_cast<char>(n >> shift & 0xff);
  return s;
}
std::string idx(char type, const std::vector<std::uint32_t>& sizes, const std::string& data) {
  std::string s{'\0', '\0', type, static_cast<char>(sizes.size())};
  for (std::uint32_t n : sizes) s += big_endian(n);
  return s + data;
}
void write_gzip(const std::string& path, const std::string& content) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, content.data(), static_cast<unsigned>(content.size())),
            static_cast<int>(content.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

/// KILN_DATA with another value, or none, until the end of the scope.
class DataVariable {
 public:
  explicit DataVariable(const char* value) {
    if (const char* old = std::getenv("KILN_DATA")) old_ = old;
    set(value);
  }
  ~DataVariable() { set(old_.empty() ? nullptr : old_.c_str()); }

 private:
  static void set(const char* value) { value ? setenv("KILN_DATA", value, 1) : unsetenv("KILN_DATA"); }
  std::string old_;
};

class Idx : public ::testing::Test {
 protected:
  Tensor load(const std::string& content) {
    write_file(path_, content);
    return load_idx(path_);
  }
  std::string fault(const std::string& content) {
    const std::string message = message_of<FileError>([&] { load(content); });
    EXPECT_EQ(message.substr(0, path_.size() + 2), path_ + ": ");
    return message.substr(std::min(message.size(), path_.size() + 2));
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "a";
};

TEST_F(Idx, ReadsPlainAndCompressed) {
  const std::string content = idx(8, {2, 3}, "abcdef");
  const Tensor plain = load(content);
  EXPECT_EQ(plain.dtype(), DType::u8);
  EXPECT_EQ(plain.shape(), Shape({2, 3}));
  EXPECT_EQ(plain.to_vector<int>(), (std::vector<int>{'a', 'b', 'c', 'd', 'e', 'f'}));
  write_gzip(path_, content);
  EXPECT_EQ(load_idx(path_).to_vector<int>(), plain.to_vector<int>());
}

TEST_F(Idx, ElementsAreBigEndian) {
  EXPECT_EQ(load(idx(0x0C, {2}, std::string("\0\0\1\2\xff\xff\xff\xfe", 8))).to_vector<int>(),
            (std::vector<int>{258, -2}));
  EXPECT_EQ(load(idx(0x0D, {1}, std::string("\x3f\xc0\0\0", 4))).to_vector<float>(),
            (std::vector<float>{1.5f}));
  EXPECT_EQ(load(idx(0x0E, {1}, std::string("\xc0\0\0\0\0\0\0\0", 8))).to_vector<double>(),
            (std::vector<double>{-2}));
}

TEST_F(Idx, WithoutElementsOrAxes) {
  EXPECT_EQ(load(idx(8, {0, 28, 28}, "")).shape(), Shape({0, 28, 28}));
  EXPECT_EQ(load(idx(8, {}, "a")).item(), 'a');
}

TEST_F(Idx, MalformedFilesAreNamedWithTheReason) {
  EXPECT_EQ(fault(""), "not a valid IDX file: it ends early");
  EXPECT_EQ(fault("PNG!"), "not a valid IDX file: it doesn't begin with two zero bytes");
  EXPECT_EQ(fault(idx(9, {1}, "a")),
            "elements of the IDX type 0x09 can't be read; 0x08 (byte), 0x0c (int), 0x0d (float) and 0x0e "
            "(double) can");
  EXPECT_EQ(fault(idx(8, {2, 3}, "abcdef").substr(0, 9)), "not a valid IDX file: it ends early");
  EXPECT_EQ(fault(idx(8, {2, 3}, "abcde")), "not a valid IDX file: it ends early");
  EXPECT_EQ(fault(idx(8, {2, 3}, "abcdefg")),
            "not a valid IDX file: more data follows the elements of the shape (2, 3)");
}

TEST_F(Idx, NothingIsAllocatedThatTheFileCannotFill) {
  EXPECT_EQ(fault(idx(8, {4000000000, 100, 2}, "a")),
            "not a valid IDX file: it is too short for the shape (4000000000, 100, 2) of uint8");
  EXPECT_EQ(fault(idx(0x0E, {100000}, "a")),
            "not a valid IDX file: it is too short for the shape (100000,) of float64");
  EXPECT_EQ(
      fault(idx(8, {4000000000, 4000000000, 4000000000}, "a")),
      "not a valid IDX file: the shape (4000000000, 4000000000, 4000000000) has more than 2^63 - 1 elements");
}

TEST_F(Idx, WellCompressedDataIsNotTooShort) {
  write_gzip(path_, idx(8, {1000, 1000}, std::string(1000000, '\0')));
  EXPECT_EQ(load_idx(path_).shape(), Shape({1000, 1000}));
}

TEST_F(Idx, DamagedCompression) {
  write_gzip(path_, idx(8, {20000}, [] {
               std::string s;
               for (unsigned i = 0; i < 20000; i++) s += static_cast<char>(i * i * 2654435761u >> 13);
               return s;
             }()));
  const std::string whole = read_file(path_);
  std::string changed = whole;
  changed[changed.size() - 6] ^= 1;  // in the checksum
  EXPECT_EQ(fault(changed), "the compressed data is damaged: incorrect data check");
  EXPECT_EQ(fault(whole.substr(0, whole.size() / 2)), "not a valid IDX file: it ends early");
  changed = whole;
  changed[100] ^= 0x55;
  EXPECT_THROW(load(changed), FileError);
}

TEST_F(Idx, AMissingFileIsNamed) {
  EXPECT_EQ(message_of<FileError>([&] { load_idx(folder_ / "none"); }),
            folder_ / "none" + ": can't open the file: No such file or directory");
}

// ---- Fashion-MNIST
// -----------------------------------------------------------------------------------------

/// Writes the four files: n images whose pixels are all their number, with the labels n % 10.
void write_data_set(const std::string& folder, std::uint32_t train, std::uint32_t test, bool compressed) {
  for (const auto& [prefix, n] : {std::pair{"train", train}, std::pair{"t10k", test}}) {
    std::string images, labels;
    for (std::uint32_t i = 0; i < n; i++) {
      images.append(28 * 28, static_cast<char>(i));
      labels += static_cast<char>(i % 10);
    }
    const std::string start = folder + "/" + prefix;
    const std::string image_file = idx(8, {n, 28, 28}, images), label_file = idx(8, {n}, labels);
    if (compressed) {
      write_gzip(start + "-images-idx3-ubyte.gz", image_file);
      write_gzip(start + "-labels-idx1-ubyte.gz", label_file);
    } else {
      write_file(start + "-images-idx3-ubyte", image_file);
      write_file(start + "-labels-idx1-ubyte", label_file);
    }
  }
}

TEST(FashionMnist, LoadsAFolder) {
  for (bool compressed : {true, false}) {
    const TemporaryFolder folder;
    write_data_set(folder.path(), 12, 3, compressed);
    const auto [train, test] = fashion_mnist::load_data(folder.path());
    EXPECT_EQ(train.x.shape(), Shape({12, 28, 28, 1}));
    EXPECT_EQ(train.x.dtype(), DType::u8);
    EXPECT_EQ(train.y.shape(), Shape({12}));
    EXPECT_EQ(train.y.dtype(), DType::i32);
    EXPECT_EQ(test.x.shape(), Shape({3, 28, 28, 1}));
    EXPECT_EQ(train.x(11, 27, 0, 0), 11);
    EXPECT_EQ(train.y(11), 1);
    EXPECT_EQ(test.y(2), 2);
  }
}

TEST(FashionMnist, KilnDataPointsElsewhere) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "fashion-mnist");
  write_data_set(folder / "fashion-mnist", 4, 2, true);
  {
    const DataVariable variable(folder.path().c_str());
    EXPECT_EQ(fashion_mnist::load_data().train.y.size(), 4);
  }
  const DataVariable variable((folder / "fashion-mnist").c_str());
  EXPECT_EQ(fashion_mnist::load_data().test.y.size(), 2);
}

TEST(FashionMnist, MissingFilesNameThePackage) {
  const TemporaryFolder folder;
  const std::string rest =
      " Debian has the data: apt-get install dataset-fashion-mnist. Elsewhere, pass the folder with the four "
      "files, or "
      "set KILN_DATA to it.";
  EXPECT_EQ(
      message_of<FileError>([&] { fashion_mnist::load_data(folder.path()); }),
      "fashion_mnist::load_data: there is no train-images-idx3-ubyte.gz in " + folder.path() + "." + rest);
  const DataVariable variable(folder.path().c_str());
  EXPECT_EQ(message_of<FileError>([&] { fashion_mnist::load_data(); }),
            "fashion_mnist::load_data: there is no train-images-idx3-ubyte.gz in " + folder.path() +
                "/fashion-mnist or " + folder.path() + " (from KILN_DATA)." + rest);
}

TEST(FashionMnist, FilesMustFitTogether) {
  const TemporaryFolder folder;
  write_data_set(folder.path(), 3, 2, false);
  const std::string labels = folder / "t10k-labels-idx1-ubyte", images = folder / "t10k-images-idx3-ubyte";
  const auto fault = [&] { return message_of<FileError>([&] { fashion_mnist::load_data(folder.path()); }); };
  write_file(labels, idx(8, {3}, "\1\2\3"));
  EXPECT_EQ(fault(), images + " has 2 images, but " + labels + " has 3 labels");
  write_file(labels, idx(8, {2}, "\1\12"));
  EXPECT_EQ(fault(), labels + ": the label in row 1 is 10, not 0 to 9");
  write_file(labels, idx(8, {2, 1}, "\1\2"));
  EXPECT_EQ(fault(), labels + ": the elements are uint8 of the shape (2, 1), not uint8 labels (N,)");
  write_file(images, idx(8, {2, 2, 2}, "abcdefgh"));
  EXPECT_EQ(fault(),
            images + ": the elements are uint8 of the shape (2, 2, 2), not uint8 images (N, 28, 28)");
}

TEST(FashionMnist, DebiansFiles) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "dataset-fashion-mnist is missing";
  const DataVariable variable(nullptr);
  const auto [train, test] = fashion_mnist::load_data();
  EXPECT_EQ(train.x.shape(), Shape({60000, 28, 28, 1}));
  EXPECT_EQ(test.y.shape(), Shape({10000}));
  std::vector<int> counts(10);
  for (int label : train.y.to_vector<int>()) counts[static_cast<std::size_t>(label)]++;
  EXPECT_EQ(counts, std::vector<int>(10, 6000));
  EXPECT_EQ(train.y(0), 9);  // an ankle boot
}

}  // namespace
}  // namespace kiln::datasets
