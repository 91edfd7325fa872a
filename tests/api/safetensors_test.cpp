#include "kiln/files/safetensors.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"
#include "tests/support/files.h"

namespace kiln::files {
namespace {

using kiln::testing::message_of;
using kiln::testing::read_file;
using kiln::testing::TemporaryFolder;
using kiln::testing::write_file;

std::string length_of(std::uint64_t n) {
  std::string s;
  for (int i = 0; i < 8; i++) s += static_cast<char>(n >> (8 * i) & 0xff);
  return s;
}
std::string safetensors(const std::string& header, const std::string& data) {
  return length_of(header.size()) + header + data;
}
template <class T>
std::string bytes(std::initializer_list<T> v) {
  return {reinterpret_cast<const char*>(v.begin()), v.size() * sizeof(T)};
}

class SafetensorsTest : public ::testing::Test {
 protected:
  Safetensors load(const std::string& content) {
    write_file(path_, content);
    return load_safetensors(path_);
  }
  /// The reason that the FileError of loading `content` gives, after the file's name.
  std::string fault(const std::string& content) {
    const std::string message = message_of<FileError>([&] { load(content); });
    const std::string start = path_ + ": not a valid safetensors file: ";
    EXPECT_EQ(message.substr(0, start.size()), start);
    return message.substr(std::min(message.size(), start.size()));
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.safetensors";
};

TEST_F(SafetensorsTest, RoundTrips) {
  std::vector<NamedTensor> tensors;
  for (DType dtype : {DType::u8, DType::f32, DType::f64, DType::bool_, DType::i32, DType::i64}) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 0}, Shape{2, 3, 1}}) {
      Tensor t(shape, dtype);
      for (std::int64_t i = 0; i < t.size(); i++) t.reshape({None})(i) = static_cast<double>(i % 2);
      tensors.push_back({std::string(name(dtype)) + shape.to_string(), t});
    }
  }
  save_safetensors(path_, tensors, {{"format", "kiln"}, {"note", "\"quoted\" \u00fc"}});
  const Safetensors back = load_safetensors(path_);
  EXPECT_EQ(back.metadata,
            (std::map<std::string, std::string>{{"format", "kiln"}, {"note", "\"quoted\" \u00fc"}}));
  ASSERT_EQ(back.tensors.size(), tensors.size());
  for (const NamedTensor& t : tensors) {
    const Tensor* found = back.find(t.name);
    ASSERT_NE(found, nullptr) << t.name;
    EXPECT_EQ(found->dtype(), t.value.dtype());
    EXPECT_EQ(found->shape(), t.value.shape());
    EXPECT_EQ(found->to_vector<double>(), t.value.to_vector<double>());
  }
  EXPECT_EQ(back.find("none"), nullptr);
}

TEST_F(SafetensorsTest, WritesWhatOthersRead) {
  save_safetensors(path_,
                   {{"b", Tensor({1.5f, -2.f})}, {"a", Tensor({std::uint8_t{7}})}, {"c", Tensor({{3.0}})}});
  const std::string header = R"({"c":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},)"
                             R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[16,17]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(path_), safetensors(padded, bytes({3.0}) + bytes({1.5f, -2.f}) + "\7"));
  EXPECT_EQ(folder_.names(), (std::vector<std::string>{"a.safetensors"}));
}

TEST_F(SafetensorsTest, WritesViewsInRowMajorOrder) {
  float memory[6] = {0, 1, 2, 3, 4, 5};
  save_safetensors(path_, {{"w", Tensor::view(memory, {3, 2}, {1, 3})}});
  EXPECT_EQ(load_safetensors(path_).find("w")->to_vector<int>(), (std::vector<int>{0, 3, 1, 4, 2, 5}));
}

TEST_F(SafetensorsTest, AFileWithoutTensors) {
  save_safetensors(path_, {});
  EXPECT_TRUE(load_safetensors(path_).tensors.empty());
  EXPECT_TRUE(load(safetensors("{}", "")).tensors.empty());
}

TEST_F(SafetensorsTest, NamesMustBeUsable) {
  const Tensor t({1.f});
  EXPECT_EQ(message_of<ValueError>([&] { save_safetensors(path_, {{"w", t}, {"w", t}}); }),
            "save_safetensors: two tensors are called 'w'");
  EXPECT_EQ(message_of<ValueError>([&] { save_safetensors(path_, {{"__metadata__", t}}); }),
            "save_safetensors: '__metadata__' can't be the name of a tensor");
  EXPECT_THROW(save_safetensors(path_, {{"\xff", t}}), ValueError);
  EXPECT_THROW(save_safetensors(path_, {{"w", Tensor()}}), StateError);
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(SafetensorsTest, AFailedSaveLeavesTheOldFile) {
  save_safetensors(path_, {{"w", Tensor({1.f})}});
  EXPECT_THROW(save_safetensors(path_, {{"\xff", Tensor({2.f})}}), ValueError);
  EXPECT_EQ(load_safetensors(path_).find("w")->item(), 1);
  EXPECT_THROW(save_safetensors(folder_ / "none/a", {}), FileError);
}

// ---- malformed files
// ---------------------------------------------------------------------------------------

TEST_F(SafetensorsTest, ShapeAndOffsetsMustAgree) {
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"F32","shape":[300,7],"data_offsets":[0,12]}})",
                              std::string(12, '\0'))),
            "tensor 'w': its shape (300, 7) of F32 needs 2100 elements of 4 bytes, but its offsets [0, 12] "
            "hold 12 bytes");
  EXPECT_EQ(
      fault(safetensors(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,13]}})", std::string(13, '\0'))),
      "tensor 'w': its shape (3,) of F32 needs 3 elements of 4 bytes, but its offsets [0, 13] hold 13 bytes");
  // 2^62 elements of 4 bytes are 0 bytes, if one multiplies carelessly.
  EXPECT_EQ(
      fault(safetensors(R"({"w":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", "")),
      "tensor 'w': its shape (4611686018427387904,) of F32 needs 4611686018427387904 elements of 4 bytes, "
      "but its "
      "offsets [0, 0] hold 0 bytes");
  EXPECT_EQ(
      fault(safetensors(R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "")),
      "tensor 'w': the shape (4294967296, 4294967296) has more than 2^63 - 1 elements");
}

TEST_F(SafetensorsTest, TheFileMustHoldTheData) {
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"F32","shape":[300,7],"data_offsets":[0,8400]}})",
                              std::string(12, '\0'))),
            "tensor 'w': its offsets [0, 8400] end after the file's 12 bytes of data");
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "ab")),
            "its last 1 bytes belong to no tensor");
}

TEST_F(SafetensorsTest, TheHeaderMustBeInTheFile) {
  const std::string ending = ": it ends early, or isn't a safetensors file";
  const std::string good = safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a");
  EXPECT_EQ(fault(length_of(std::uint64_t{1} << 63) + "{}"),
            "its header should have 9223372036854775808 bytes, but only 2 follow" + ending);
  EXPECT_EQ(fault(length_of(~std::uint64_t{0}) + "{}"),
            "its header should have 18446744073709551615 bytes, but only 2 follow" + ending);
  EXPECT_EQ(fault(good.substr(0, 20)), "its header should have 53 bytes, but only 12 follow" + ending);
  EXPECT_EQ(fault(good.substr(0, 5)), "it has 5 bytes, too few for a header");
  EXPECT_EQ(fault(""), "it has 0 bytes, too few for a header");
}

TEST_F(SafetensorsTest, OffsetsMustBeInOrder) {
  EXPECT_EQ(
      fault(safetensors(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", std::string(8, '\0'))),
      "tensor 'w': its offsets [8, 0] are not in order");
  for (const char* offsets : {"[0]", "[0,4,8]", "[-4,0]", "[0,4.0]", "\"0,4\"", "[0,36893488147419103232]"}) {
    const std::string header =
        std::string(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":)") + offsets + "}}";
    EXPECT_NE(fault(safetensors(header, "abcd")).find("are not two byte counts"), std::string::npos)
        << offsets;
  }
}

TEST_F(SafetensorsTest, TensorsMustNotOverlapOrLeaveGaps) {
  EXPECT_EQ(fault(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                              R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                              std::string(12, '\0'))),
            "tensor 'b': its bytes overlap those of 'a'");
  EXPECT_EQ(fault(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                              R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                              std::string(4, '\0'))),
            "tensor 'b': its bytes overlap those of 'a'");
  EXPECT_EQ(
      fault(safetensors(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", std::string(8, '\0'))),
      "tensor 'b': 4 bytes before it belong to no tensor");
}

TEST_F(SafetensorsTest, TypesMustBeKnown) {
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "abcd")),
            "tensor 'w': its type F31 can't be read; F32, F64, I32, I64, U8 and BOOL can");
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":5,"shape":[1],"data_offsets":[0,4]}})", "abcd")),
            "tensor 'w': its type 5 can't be read; F32, F64, I32, I64, U8 and BOOL can");
}

TEST_F(SafetensorsTest, TheHeaderMustDescribeTensors) {
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":[1]}})", "a")),
            "tensor 'w': has no \"data_offsets\"");
  EXPECT_EQ(fault(safetensors(R"({"w":3})", "")), "tensor 'w': has no \"dtype\"");
  EXPECT_EQ(fault(safetensors("[1]", "")), "its header is not a JSON object");
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", "a")),
            "tensor 'w': its shape is not a list");
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "a")),
            "tensor 'w': its shape [-1] is not a list of sizes");
  EXPECT_EQ(
      fault(safetensors(R"({"w":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", "a")),
      "tensor 'w': its shape [9223372036854775808] is not a list of sizes");
  EXPECT_EQ(fault(safetensors(R"({"__metadata__":{"a":1}})", "")),
            "the value of 'a' in __metadata__ is not a string");
  EXPECT_EQ(fault(safetensors(R"({"__metadata__":[]})", "")), "__metadata__ is not a JSON object");
  for (const char* text : {"", "{", "{\"w\"", "null and more", "{\"\xff\":1}"})
    EXPECT_EQ(fault(safetensors(text, "")).substr(0, 22), "its header is not JSON") << text;
}

TEST_F(SafetensorsTest, NoNameTwice) {
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                              "ab")),
            "tensor 'w': is described twice");
}

TEST_F(SafetensorsTest, DeepNestingIsNoStackOverflow) {
  const std::string deep = std::string(1000000, '[') + std::string(1000000, ']');
  EXPECT_EQ(fault(safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":)" + deep + "}}", "a")),
            "its header nests too deeply");
}

TEST_F(SafetensorsTest, DataAtAnOddByteLoads) {
  std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header += header.size() % 2 == 0 ? " " : "  ";
  ASSERT_EQ((8 + header.size()) % 2, 1u);
  EXPECT_EQ(load(safetensors(header, bytes({1.5f, -2.f}))).find("w")->to_vector<float>(),
            (std::vector<float>{1.5f, -2.f}));
}

TEST_F(SafetensorsTest, BoolsBecomeZeroOrOne) {
  const Safetensors file = load(
      safetensors(R"({"w":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", std::string("\0\1\2", 3)));
  EXPECT_EQ(static_cast<const std::uint8_t*>(file.find("w")->raw())[2], 1);
}

TEST_F(SafetensorsTest, EveryTruncationIsAnError) {
  save_safetensors(path_, {{"w", Tensor({1.5f, -2.f})}, {"b", Tensor({true})}}, {{"k", "v"}});
  const std::string whole = read_file(path_);
  for (std::size_t n = 0; n < whole.size(); n++) EXPECT_THROW(load(whole.substr(0, n)), FileError) << n;
  EXPECT_THROW(load(whole + "x"), FileError);
}

TEST_F(SafetensorsTest, AnyChangedByteLoadsOrIsAnError) {
  save_safetensors(path_, {{"w", Tensor({1.5f, -2.f})}, {"b", Tensor({true})}}, {{"k", "v"}});
  const std::string whole = read_file(path_);
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at++) {
    for (char change : {'\1', '\x80'}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      try {
        load(damaged);
      } catch (const FileError&) {
        refused++;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace kiln::files
