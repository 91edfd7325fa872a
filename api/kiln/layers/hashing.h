#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kiln/layer.h"
#include "kiln/strings.h"

/// Layers that give texts and whole numbers one of a fixed number of bins, without a vocabulary. In a model's
/// graph they take whole numbers; texts, which tensors don't hold, they take on the host:
///
///     Tensor bins = Hashing(100)({"red", "green"});
namespace kiln::layers {

/// SipHash's key: one number for both halves, or two.
struct Salt {
  std::int64_t first = 0;
  std::int64_t second = 0;

  Salt(std::int64_t both) : first(both), second(both) {}
  Salt(std::int64_t a, std::int64_t b) : first(a), second(b) {}
  friend bool operator==(const Salt&, const Salt&) = default;
};

struct HashingArgs {
  /// A text or a whole number that has bin 0 to itself
  Config mask_value = {};
  std::optional<Salt> salt = {};    ///< SipHash with this key instead of FarmHash
  std::string output_mode = "int";  ///< "one_hot", "multi_hot", "count": see CategoryEncoding
  std::optional<DType> dtype = {};  ///< default: int64 for "int", else float32
  std::string name = "";
};
class KILN_API HashingLayer : public Layer {
 public:
  using Layer::Layer;
  SymbolicTensor operator()(const SymbolicTensor& x) const { return Layer::operator()(x); }
  // What follows computes at once.
  Tensor operator()(const Strings& texts) const;
  Tensor operator()(const Tensor& numbers) const;
};
/// The bin in [0, num_bins) of each element, by a hash of it as a text: FarmHash's fingerprint, or SipHash
/// with a salt. Numbers are hashed as decimal texts, floating ones without what is behind the point. The bins
/// are those of Keras. Throws ValueError for num_bins below 1 and unknown modes.
KILN_API HashingLayer Hashing(std::int64_t num_bins, HashingArgs args = {});

/// Texts, or whole numbers.
using Feature = std::variant<Strings, Tensor>;

struct HashedCrossingArgs {
  std::string output_mode = "int";  ///< or "one_hot"
  std::optional<DType> dtype = {};  ///< default: int64 for "int", else float32
  std::string name = "";
};
class KILN_API HashedCrossingLayer : public Layer {
 public:
  using Layer::Layer;
  using Layer::operator();
  /// Computes at once.
  Tensor operator()(const std::vector<Feature>& features) const;
};
/// The bin in [0, num_bins) that two or more features of a sample have together: each (batch,) or (batch, 1),
/// texts or whole numbers. The bins are those of Keras. Throws ValueError for num_bins below 1 and unknown
/// modes, ShapeError for fewer than two features and other shapes, TypeError for floating numbers.
KILN_API HashedCrossingLayer HashedCrossing(std::int64_t num_bins, HashedCrossingArgs args = {});

}  // namespace kiln::layers
