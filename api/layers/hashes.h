#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kiln/graph/ops.h"
#include "kiln/layers/hashing.h"

namespace kiln::layers {
// A salt is two numbers; one stands for both.
Config to_config(const Salt& salt);
void from_config(const Config& config, Salt& salt);
}  // namespace kiln::layers

/// The hashes that Keras takes texts for numbers by, on the host and, of whole numbers, in a graph.
namespace kiln::internal {

/// Which of `bins` a text falls in: by its FarmHash fingerprint or, with a salt, by SipHash.
std::int64_t hash_bin(const std::string& text, std::int64_t bins, const std::optional<layers::Salt>& salt);
/// The same of whole numbers (of any integer type) as decimal texts: i64.
graph::Value hash_bin(graph::Value numbers, std::int64_t bins, const std::optional<layers::Salt>& salt);

/// FarmHash's 64-bit fingerprint.
std::uint64_t fingerprint(const std::string& text);
/// SipHash-2-4 (Aumasson and Bernstein 2012).
std::uint64_t siphash(const std::string& text, std::uint64_t first_key, std::uint64_t second_key);

/// Which of `bins` several features cross in: each is a text's fingerprint, or a whole number itself.
std::int64_t crossed_bin(const std::vector<std::uint64_t>& features, std::int64_t bins);
graph::Value crossed_bin(const std::vector<graph::Value>& features, std::int64_t bins);

}  // namespace kiln::internal
