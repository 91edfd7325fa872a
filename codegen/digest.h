#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

namespace kiln::codegen {

/// 256 bits that stand for any number of bytes: BLAKE3's. No two inputs that give the same are known or to be
/// expected, so equal digests mean equal bytes, whether bytes differ by damage or on purpose. (A 32-bit
/// checksum would let one of 4 billion damaged files pass, and what passes is run.)
using Digest = std::array<std::uint8_t, 32>;

/// Makes a digest of the bytes given one after the other.
class DigestOf {
 public:
  DigestOf();
  ~DigestOf();
  void add(std::string_view bytes);
  Digest result() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::codegen
