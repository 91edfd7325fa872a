#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kiln/layer.h"
#include "kiln/layers/hashing.h"
#include "kiln/strings.h"
#include "kiln/tensors.h"

/// Layers that number the tokens of a vocabulary. It is given, or found by `adapt` before the layer is first
/// called: the most frequent token first, of equally frequent ones the last in order.
///
/// The numbers: 0 for `mask_token`, if there is one and output_mode is "int"; then num_oov_indices for tokens
/// that aren't in the vocabulary; then the vocabulary. With "one_hot", "multi_hot" and "count" (see
/// CategoryEncoding), the mask token counts for nothing; "tf_idf" multiplies counts by the tokens' weights
/// log(1 + documents / (1 + documents that have the token)).
///
/// All throw ValueError for arguments that contradict each other and for a vocabulary that has a token twice;
/// `adapt` and `set_vocabulary` StateError once the layer is part of a model, whose steps hold the
/// vocabulary.
namespace kiln::layers {

struct StringLookupArgs {
  std::optional<std::int64_t> max_tokens = {};  ///< `adapt` drops the rarest beyond that
  std::int64_t num_oov_indices = 1;             ///< several: an unknown token's hash chooses one
  std::optional<std::string> mask_token = {};
  std::string oov_token = "[UNK]";
  std::vector<std::string> vocabulary = {};
  std::vector<double> idf_weights = {};  ///< of the vocabulary, for "tf_idf"
  bool invert = false;                   ///< numbers to tokens: see StringLookupLayer::tokens
  std::string output_mode = "int";       ///< "one_hot", "multi_hot", "count", "tf_idf"
  bool pad_to_max_tokens = false;        ///< encode max_tokens places, whatever the vocabulary's size
  std::optional<Salt> salt = {};         ///< of the hash: see Hashing
  std::string name = "";
};
class KILN_API StringLookupLayer : public Layer {
 public:
  using Layer::Layer;
  /// The texts' numbers, int64, or encoded in float32. Throws StateError if there is no vocabulary yet,
  /// ValueError for an unknown text if num_oov_indices is 0.
  Tensor operator()(const Strings& texts) const;
  /// Of a layer that inverts: the numbers' tokens, `oov_token` for those that are none's.
  Strings tokens(const Tensor& numbers) const;
  /// Finds the vocabulary. For "tf_idf", each row of the texts is a document.
  void adapt(const Strings& texts);
  /// The same of texts that come bit by bit, until none do.
  void adapt(const std::function<std::optional<Strings>()>& next);
  void set_vocabulary(const std::vector<std::string>& vocabulary,
                      const std::vector<double>& idf_weights = {});
  /// The tokens in the order of their numbers.
  std::vector<std::string> get_vocabulary(bool include_special_tokens = true) const;
  std::int64_t vocabulary_size() const;
};
KILN_API StringLookupLayer StringLookup(StringLookupArgs args = {});

struct IntegerLookupArgs {
  std::optional<std::int64_t> max_tokens = {};
  std::int64_t num_oov_indices = 1;
  std::optional<std::int64_t> mask_token = {};
  std::int64_t oov_token = -1;
  std::vector<std::int64_t> vocabulary = {};
  std::vector<double> idf_weights = {};
  bool invert = false;
  std::string output_mode = "int";
  bool pad_to_max_tokens = false;
  std::string oov_method = "floormod";  ///< which of several oov indices: the remainder, or "farmhash"
  std::optional<Salt> salt = {};        ///< for "farmhash": SipHash with this key instead
  std::string name = "";
};
/// In a model's graph, the vocabulary is a sorted constant that is searched by halves.
class KILN_API IntegerLookupLayer : public Layer {
 public:
  using Layer::Layer;
  using Layer::operator();
  /// As in a model, but at once. Of a layer that inverts: the numbers' tokens.
  Tensor operator()(const Tensor& numbers) const;
  /// Finds the vocabulary of one array, or of several. For "tf_idf", each row is a document.
  void adapt(const Tensors& data);
  /// The same of arrays that come one by one, until none do.
  void adapt(const std::function<std::optional<Tensor>()>& next);
  void set_vocabulary(const std::vector<std::int64_t>& vocabulary,
                      const std::vector<double>& idf_weights = {});
  std::vector<std::int64_t> get_vocabulary(bool include_special_tokens = true) const;
  std::int64_t vocabulary_size() const;
};
KILN_API IntegerLookupLayer IntegerLookup(IntegerLookupArgs args = {});

}  // namespace kiln::layers
