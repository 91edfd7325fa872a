#include "codegen/program_cache.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "codegen/binary.h"
#include "codegen/digest.h"
#include "codegen/dump.h"
#include "codegen/faults.h"

namespace kiln::codegen {
namespace {

// An entry is a header and, behind it, the encoded program. The header holds the key, so that an entry under
// a wrong name isn't taken for another, and a digest of all the rest.
struct Header {
  std::array<char, 16> magic = {'k', 'i', 'l', 'n', ' ', 'p', 'r', 'o', 'g', 'r', 'a', 'm', '\n'};
  ProgramKey key;
  std::uint64_t program_bytes = 0;
  Digest digest{};
};
static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) == 16 + 40 + 8 + 32, "it has no gaps");

/// Of the header's other fields and the program.
Digest digest_of(Header header, std::string_view program) {
  header.digest = {};
  DigestOf digest;
  digest.add({reinterpret_cast<const char*>(&header), sizeof header});
  digest.add(program);
  return digest.result();
}

std::string make_entry(const ProgramKey& key, std::string_view program) {
  Header header;
  header.key = key;
  header.program_bytes = program.size();
  header.digest = digest_of(header, program);
  std::string entry(reinterpret_cast<const char*>(&header), sizeof header);
  entry += program;
  return entry;
}

/// The encoded program of an entry; none if it isn't what make_entry made for this key.
std::optional<std::string_view> program_of(std::string_view entry, const ProgramKey& key) {
  Header header;
  const auto magic = header.magic;
  if (entry.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, entry.data(), sizeof header);
  const std::string_view program = entry.substr(sizeof header);
  if (header.magic != magic || header.key != key || header.program_bytes != program.size() ||
      header.digest != digest_of(header, program))
    return std::nullopt;
  return program;
}

std::string name_of(const ProgramKey& key) {
  return fmt::format("{:02x}", fmt::join(key.digest, ""));
}

}  // namespace

std::optional<ProgramCache> ProgramCache::of(const graph::Graph& graph, const CompileOptions& options,
                                             const Target& target) {
  if (dumping() || planted() != Fault::none) return std::nullopt;
  std::optional<CacheFolder> folder = CacheFolder::open();
  if (!folder) return std::nullopt;
  return ProgramCache(*std::move(folder), program_key(graph, options, target));
}

std::shared_ptr<runtime::Program> ProgramCache::find() const {
  const std::optional<std::string> entry = folder_.read(name_of(key_));
  if (!entry) return nullptr;
  const std::optional<std::string_view> bytes = program_of(*entry, key_);
  if (!bytes) return nullptr;
  try {
    std::shared_ptr<runtime::Program> program = load(decode(*bytes));
    program->from_cache = true;
    return program;
  } catch (const Error&) {
    return nullptr;  // compiling may yet work, or says better what is wrong
  }
}

void ProgramCache::store(const ProgramImage& image) const {
  folder_.write(name_of(key_), make_entry(key_, encode(image)));
}

}  // namespace kiln::codegen
