#include <gtest/gtest.h>

#include "kiln/runtime/tensor.h"
#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln {
namespace {

using testing::message_of;
using testing::TemporaryFolder;
using testing::write_file;

/// A .npy file with the given header dict.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string s = "\x93NUMPY";
  s += static_cast<char>(version);
  s += '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2u : 4u); i++)
    s += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return s + header + data;
}
template <class T>
std::string bytes(std::initializer_list<T> v) {
  return {reinterpret_cast<const char*>(v.begin()), v.size() * sizeof(T)};
}

class Npy : public ::testing::Test {
 protected:
  Tensor load(const std::string& content) {
    write_file(path_, content);
    return Tensor::load_npy(path_);
  }
  /// The reason that the FileError of loading `content` gives, after the file's name.
  std::string fault(const std::string& content) {
    const std::string message = message_of<FileError>([&] { load(content); });
    EXPECT_EQ(message.substr(0, path_.size() + 2), path_ + ": ");
    return message.substr(std::min(message.size(), path_.size() + 2));
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.npy";
};

TEST_F(Npy, RoundTripsEveryTypeAndRank) {
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_}) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}, Shape{2, 0, 3}, Shape{1, 2, 3, 4}}) {
      Tensor t(shape, dtype);
      for (std::int64_t i = 0; i < t.size(); i++) t.reshape({None})(i) = static_cast<double>(i % 3);
      t.save_npy(path_);
      const Tensor back = Tensor::load_npy(path_);
      EXPECT_EQ(back.dtype(), dtype);
      EXPECT_EQ(back.shape(), shape);
      EXPECT_EQ(back.to_vector<double>(), t.to_vector<double>());
    }
  }
}

TEST_F(Npy, SaysWhatNumpySays) {
  Tensor({{1.5f, -2.f}}).save_npy(path_);
  const std::string content = testing::read_file(path_);
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
  EXPECT_EQ(content.size(), 128u + 8);
  EXPECT_EQ(content.substr(0, 10), std::string("\x93NUMPY\1\0v\0", 10));
  EXPECT_EQ(content.substr(10, header.size()), header);
  EXPECT_EQ(content[127], '\n');
  EXPECT_EQ(content.substr(128), bytes({1.5f, -2.f}));
}

TEST_F(Npy, SavesViewsInRowMajorOrder) {
  float memory[6] = {0, 1, 2, 3, 4, 5};
  Tensor::view(memory, {3, 2}, {1, 3}).save_npy(path_);
  EXPECT_EQ(Tensor::load_npy(path_).to_vector<int>(), (std::vector<int>{0, 3, 1, 4, 2, 5}));
}

TEST_F(Npy, ReadsColumnMajorOrder) {
  const Tensor t =
      load(npy("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", bytes({0, 1, 2, 3, 4, 5})));
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(t.to_vector<int>(), (std::vector<int>{0, 2, 4, 1, 3, 5}));
}

TEST_F(Npy, ReadsTheOtherByteOrder) {
  const Tensor t = load(npy("{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }",
                            std::string("\0\0\1\2\xff\xff\xff\xfe", 8)));
  EXPECT_EQ(t.dtype(), DType::i32);
  EXPECT_EQ(t.to_vector<int>(), (std::vector<int>{258, -2}));
}

TEST_F(Npy, ReadsLaterVersionsAndOtherSpellings) {
  EXPECT_EQ(load(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n", "\1\2", 2)).shape(),
            Shape({2}));
  EXPECT_EQ(load(npy("{\"shape\":(2L,1L),\"descr\":\"|u1\",\"fortran_order\":False}", "\1\2", 3)).shape(),
            Shape({2, 1}));
}

TEST_F(Npy, BoolsBecomeZeroOrOne) {
  const Tensor t =
      load(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", std::string("\0\1\2", 3)));
  EXPECT_EQ(static_cast<const std::uint8_t*>(t.raw())[2], 1);
}

TEST_F(Npy, MalformedFilesAreNamedWithTheReason) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  const std::string data(8, '\0');
  EXPECT_EQ(fault(""), "not a valid .npy file: it doesn't begin with numpy's mark");
  EXPECT_EQ(fault("\x93NUMPX\1\0\0\0\0\0"), "not a valid .npy file: it doesn't begin with numpy's mark");
  EXPECT_EQ(fault(npy(good, data, 9)), ".npy format version 9.0 is not known (1.0, 2.0 and 3.0 are)");
  EXPECT_EQ(fault(npy(good, "").substr(0, 30)), "not a valid .npy file: it ends within the header");
  EXPECT_EQ(fault(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12)),
            "not a valid .npy file: it ends within the header");
  EXPECT_EQ(fault(std::string("\x93NUMPY\2\0\xff\xff", 10)),
            "not a valid .npy file: it ends within the header");
  EXPECT_EQ(fault(npy("", data)), "not a valid .npy file: '{' expected at byte 0 of the header");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False}", data)),
            "not a valid .npy file: the header lacks one of 'descr', 'fortran_order' and 'shape'");
  EXPECT_EQ(fault(npy("{'descr': '<f4", data.substr(0, 0))),
            "not a valid .npy file: the header ends in the middle of a string");
  EXPECT_EQ(fault(npy("{'name': 'x'}", data)),
            "not a valid .npy file: the header has the unknown key 'name'");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': None, 'shape': (2,)}", data)),
            "not a valid .npy file: 'fortran_order' is neither True nor False");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", data)),
            "not a valid .npy file: 'shape' is not a tuple of sizes");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", data)),
            "not a valid .npy file: a size in 'shape' is larger than 2^63 - 1");
  EXPECT_EQ(fault(npy(good + " x", data)),
            "not a valid .npy file: something follows the header's closing brace");
  EXPECT_EQ(
      fault(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data)),
      "not a valid .npy file: structured element types can't be read; save one field as an array of its own");
}

TEST_F(Npy, TheSizeMustFitTheShape) {
  const std::string data(8, '\0');
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", data)),
            "not a valid .npy file: the shape (3,) of float32 needs 3 elements of 4 bytes, but 8 bytes "
            "follow the header");
  // No memory is asked for before the file is known to have it.
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387906,), }", data)),
            "not a valid .npy file: the shape (4611686018427387906,) of float32 needs 4611686018427387906 "
            "elements of 4 "
            "bytes, but 8 bytes follow the header");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", data)),
            "not a valid .npy file: the shape (4294967296, 4294967296) has more than 2^63 - 1 elements");
  EXPECT_EQ(fault(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", data)),
            "not a valid .npy file: the shape (1,) of float32 needs 1 elements of 4 bytes, but 8 bytes "
            "follow the header");
}

TEST_F(Npy, TypesThatTensorsDoNotHold) {
  EXPECT_EQ(fault(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", "\0\0")),
            "elements of numpy's type '<f2' can't be read; convert to float32, float64, int32, int64, uint8 "
            "or bool");
  EXPECT_THROW(load(npy("{'descr': '', 'fortran_order': False, 'shape': (1,), }", "")), FileError);
  EXPECT_THROW(load(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "")), FileError);
}

TEST_F(Npy, AMissingFileIsNamed) {
  EXPECT_EQ(message_of<FileError>([&] { Tensor::load_npy(folder_ / "none.npy"); }),
            folder_ / "none.npy" + ": can't open the file: No such file or directory");
}

}  // namespace
}  // namespace kiln
