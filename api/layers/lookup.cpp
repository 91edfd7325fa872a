#include "kiln/layers/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "api/layers/adapting.h"
#include "api/layers/configured.h"
#include "api/layers/encoding.h"
#include "api/layers/hashes.h"
#include "api/support/names.h"

namespace kiln::layers {
namespace {

using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

std::string text(const std::string& token) {
  return fmt::format("\"{}\"", token);
}
std::string text(std::int64_t token) {
  return std::to_string(token);
}

// ---- what both lookups do ---------------------------------------------------------------------------------

template <class Args>
struct LookupSpec : Args {
  DType dtype = DType::f32;
  void common_fields(Fields& f) {
    f("invert", this->invert)("max_tokens", this->max_tokens)("num_oov_indices", this->num_oov_indices);
    f("oov_token", this->oov_token)("mask_token", this->mask_token)("output_mode", this->output_mode);
    f.only("sparse", false)("pad_to_max_tokens", this->pad_to_max_tokens);
    // Null for what isn't given.
    std::optional<std::vector<double>> weights;
    if (!this->idf_weights.empty()) weights = this->idf_weights;
    std::optional<decltype(this->vocabulary)> tokens;
    if (!this->vocabulary.empty()) tokens = this->vocabulary;
    f("idf_weights", weights)("vocabulary", tokens)("salt", this->salt);
    this->idf_weights = weights.value_or(std::vector<double>());
    this->vocabulary = tokens.value_or(decltype(this->vocabulary)());
    Config size;  // the vocabulary's, which tells it
    if (f.reads()) f("vocabulary_size", size);
    if (f.reads() && this->output_mode == "binary") this->output_mode = "multi_hot";
    if (f.reads() && this->output_mode == "tf-idf") this->output_mode = "tf_idf";
  }
};
struct StringLookupSpec : LookupSpec<StringLookupArgs> {
  void fields(Fields& f) {
    common_fields(f);
    f.only("oov_method", "floormod").only("encoding", "utf-8");
  }
};
struct IntegerLookupSpec : LookupSpec<IntegerLookupArgs> {
  void fields(Fields& f) {
    common_fields(f);
    f.only("vocabulary_dtype", "int64")("oov_method", oov_method);
  }
};

/// How often tokens are there, and in how many documents.
template <class Token>
class Counts {
 public:
  /// A document of so many tokens.
  void add(const Token* tokens, std::int64_t count) {
    std::unordered_set<Token> seen;
    documents_++;
    for (std::int64_t i = 0; i < count; i++) {
      Entry& entry = entries_[tokens[i]];
      entry.tokens++;
      if (seen.insert(tokens[i]).second) entry.documents++;
    }
  }
  void erase(const Token& token) { entries_.erase(token); }
  std::int64_t documents() const { return documents_; }
  /// The most frequent first.
  std::vector<Token> sorted() const {
    std::vector<Token> tokens;
    for (const auto& [token, entry] : entries_) tokens.push_back(token);
    std::sort(tokens.begin(), tokens.end(), [&](const Token& a, const Token& b) {
      const std::int64_t of_a = entries_.at(a).tokens, of_b = entries_.at(b).tokens;
      return of_a != of_b ? of_a > of_b : a > b;
    });
    return tokens;
  }
  double inverse_document_frequency(const Token& token) const {
    return std::log(1 + static_cast<double>(documents_) /
                            (1 + static_cast<double>(entries_.at(token).documents)));
  }

 private:
  struct Entry {
    std::int64_t tokens = 0, documents = 0;
  };
  std::unordered_map<Token, Entry> entries_;
  std::int64_t documents_ = 0;
};

template <class Spec, class TokenType>
class LookupImpl : public ConfiguredLayer<Spec> {
 public:
  using Token = TokenType;

  explicit LookupImpl(Spec spec) : ConfiguredLayer<Spec>(std::move(spec)) {
    const Spec& s = this->spec_;
    if (s.max_tokens && *s.max_tokens < 2) wrong("max_tokens must be 2 or more, not {}", *s.max_tokens);
    if (s.pad_to_max_tokens && !s.max_tokens) wrong("pad_to_max_tokens needs max_tokens");
    if (s.num_oov_indices < 0) wrong("num_oov_indices must not be negative, but it is {}", s.num_oov_indices);
    static constexpr std::array<std::string_view, 5> modes = {"int", "one_hot", "multi_hot", "count",
                                                              "tf_idf"};
    if (std::find(modes.begin(), modes.end(), s.output_mode) == modes.end())
      internal::unknown_name(this->class_name_text() + ": output_mode", s.output_mode, modes);
    if (s.invert && !gives_numbers())
      wrong("a lookup that inverts gives tokens, so output_mode must be \"int\", not \"{}\"", s.output_mode);
    given_ = !s.vocabulary.empty();
    if (given_) {
      const std::vector<Token> vocabulary = s.vocabulary;
      const std::vector<double> weights = s.idf_weights;
      take(vocabulary, weights);
    } else if (!s.idf_weights.empty()) {
      wrong("idf_weights are those of a vocabulary, which isn't given");
    }
  }
  Config get_config() const override {
    Config config = ConfiguredLayer<Spec>::get_config();
    config["vocabulary_size"] = tokens_.empty() ? Config() : Config(vocabulary_size());
    return config;
  }
  bool converts_input() const override { return false; }

  void set_vocabulary(const std::vector<Token>& vocabulary, const std::vector<double>& weights) {
    expect_unused("set_vocabulary");
    if (vocabulary.empty()) wrong("the vocabulary is empty");
    take(vocabulary, weights);
    given_ = true;
  }
  /// `next` gives counts something to add, until it returns false.
  void adapt(const std::function<bool(Counts<Token>&)>& next) {
    expect_unused("adapt");
    if (given_)
      throw StateError(
          fmt::format("layer \"{}\" ({}): adapt has nothing to find, as the vocabulary was given",
                      this->name(), this->class_name()));
    Counts<Token> counts;
    while (next(counts)) {
    }
    if (counts.documents() == 0)
      throw ShapeError(
          fmt::format("layer \"{}\" ({}): adapt needs data, but got none", this->name(), this->class_name()));
    const Spec& s = this->spec_;
    if (s.mask_token) counts.erase(*s.mask_token);
    counts.erase(s.oov_token);
    std::vector<Token> tokens = counts.sorted();
    if (s.max_tokens) {
      const std::int64_t most = std::max<std::int64_t>(*s.max_tokens - token_start(), 0);
      if (static_cast<std::int64_t>(tokens.size()) > most) tokens.resize(static_cast<std::size_t>(most));
    }
    if (tokens.empty())
      throw ValueError(
          fmt::format("layer \"{}\" ({}): adapt found no token for the vocabulary: the data hold the mask "
                      "token or the oov "
                      "token only, or max_tokens leaves no room",
                      this->name(), this->class_name()));
    std::vector<double> weights;
    if (s.output_mode == "tf_idf")
      for (const Token& token : tokens) weights.push_back(counts.inverse_document_frequency(token));
    take(tokens, weights);
  }

  std::vector<Token> get_vocabulary(bool include_special_tokens) const {
    std::vector<Token> all;
    if (include_special_tokens) all = special_tokens();
    all.insert(all.end(), tokens_.begin(), tokens_.end());
    return all;
  }
  std::int64_t vocabulary_size() const { return token_start() + static_cast<std::int64_t>(tokens_.size()); }

 protected:
  template <class... T>
  [[noreturn]] void wrong(fmt::format_string<T...> message, T&&... arguments) const {
    throw ValueError(this->class_name_text() + ": " + fmt::format(message, std::forward<T>(arguments)...));
  }
  /// Also while the layer is made.
  static std::string class_name_text() {
    return std::is_same_v<Token, std::string> ? "StringLookup" : "IntegerLookup";
  }
  bool gives_numbers() const { return this->spec_.output_mode == "int"; }
  std::int64_t oov_start() const { return this->spec_.mask_token && gives_numbers() ? 1 : 0; }
  std::int64_t token_start() const { return oov_start() + this->spec_.num_oov_indices; }
  std::int64_t depth() const {
    return this->spec_.pad_to_max_tokens ? *this->spec_.max_tokens : vocabulary_size();
  }
  const std::vector<Token>& tokens() const { return tokens_; }
  /// One for each place of what is encoded.
  const std::vector<double>& weights() const { return weights_; }

  void expect_vocabulary() const {
    if (tokens_.empty())
      throw StateError(
          fmt::format("layer \"{}\" ({}) has no vocabulary yet: give it one, or call adapt with data, before "
                      "the layer is used",
                      this->name(), this->class_name()));
  }
  /// The vocabulary is part of a graph from now on.
  void use() {
    expect_vocabulary();
    used_ = true;
  }

  /// Which number a token has; -1: none, as it counts for nothing.
  std::int64_t number_of(const Token& token, const auto& oov_index) const {
    const Spec& s = this->spec_;
    if (s.mask_token && token == *s.mask_token) return gives_numbers() ? 0 : -1;
    const auto found = numbers_.find(token);
    if (found != numbers_.end()) return found->second;
    if (s.num_oov_indices == 0)
      throw ValueError(
          fmt::format("layer \"{}\" ({}): {} isn't in the vocabulary; with num_oov_indices = 1 or "
                      "more, unknown tokens have numbers, too",
                      this->name(), this->class_name(), text(token)));
    return oov_start() + (s.num_oov_indices == 1 ? 0 : oov_index(token));
  }
  Token token_of(std::int64_t number) const {
    if (number == 0 && this->spec_.mask_token) return *this->spec_.mask_token;
    return number >= token_start() && number < vocabulary_size()
               ? tokens_[static_cast<std::size_t>(number - token_start())]
               : this->spec_.oov_token;
  }
  Tensor encoded(const std::vector<std::int64_t>& numbers, const Shape& shape) const {
    const std::string& mode = this->spec_.output_mode;
    if (mode != "tf_idf")
      return internal::encoded(numbers, shape, depth(), mode, gives_numbers() ? DType::i64 : this->dtype());
    Tensor counts = internal::encoded(numbers, shape, depth(), "count", DType::f64);
    double* values = counts.data<double>();
    for (std::int64_t i = 0; i < counts.size(); i++)
      values[i] *= weights_[static_cast<std::size_t>(i % depth())];
    return counts.astype(this->dtype());
  }

 private:
  void expect_unused(const char* function) const {
    if (used_)
      throw StateError(fmt::format(
          "layer \"{}\" ({}): {} comes too late, as models hold the present vocabulary; call it on a "
          "new layer, before it is used in a model",
          this->name(), this->class_name(), function));
  }
  std::vector<Token> special_tokens() const {
    const Spec& s = this->spec_;
    std::vector<Token> special;
    if (oov_start() == 1) special.push_back(*s.mask_token);
    for (std::int64_t i = 0; i < s.num_oov_indices; i++) special.push_back(s.oov_token);
    return special;
  }

  /// Makes this the vocabulary, which may begin with the special tokens; nothing is changed if it can't be.
  void take(const std::vector<Token>& vocabulary, const std::vector<double>& idf_weights) {
    const Spec& s = this->spec_;
    const bool weighted = s.output_mode == "tf_idf";
    if (weighted && idf_weights.empty())
      wrong("output_mode \"tf_idf\" needs idf_weights beside the vocabulary; or let adapt find both");
    if (!weighted && !idf_weights.empty())
      wrong("idf_weights are for output_mode \"tf_idf\", not for \"{}\"", s.output_mode);
    if (weighted && idf_weights.size() != vocabulary.size())
      wrong("there are {} idf_weights for a vocabulary of {} tokens; give one for each", idf_weights.size(),
            vocabulary.size());

    const std::vector<Token> special = special_tokens();
    const bool has_special =
        vocabulary.size() >= special.size() && std::equal(special.begin(), special.end(), vocabulary.begin());
    std::vector<Token> tokens(
        vocabulary.begin() + (has_special ? static_cast<std::ptrdiff_t>(special.size()) : 0),
        vocabulary.end());
    if (tokens.empty()) wrong("the vocabulary has no token but the special ones");
    std::unordered_map<Token, std::int64_t> numbers;
    for (const Token& token : tokens) {
      if (!numbers.emplace(token, token_start() + static_cast<std::int64_t>(numbers.size())).second)
        wrong("the vocabulary has {} twice; give each token once", text(token));
      const bool is_mask = s.mask_token && token == *s.mask_token;
      if (is_mask || (s.invert && token == s.oov_token))
        wrong(
            "the vocabulary has the {} {} among its tokens; leave it out, or begin with all special tokens: "
            "[{}]",
            is_mask ? "mask token" : "oov token", text(token), list(special));
    }
    const std::int64_t size = token_start() + static_cast<std::int64_t>(tokens.size());
    if (s.max_tokens && size > *s.max_tokens)
      wrong("the vocabulary has {} tokens with the special ones, but max_tokens is {}", size, *s.max_tokens);

    weights_.clear();
    if (weighted) {
      // Of unknown tokens nothing is known: the mean of all.
      const double mean = std::accumulate(idf_weights.begin(), idf_weights.end(), 0.0) /
                          static_cast<double>(idf_weights.size());
      if (!has_special) weights_.assign(special.size(), mean);
      weights_.insert(weights_.end(), idf_weights.begin(), idf_weights.end());
      if (s.pad_to_max_tokens) weights_.resize(static_cast<std::size_t>(*s.max_tokens), 0);
    }
    tokens_ = std::move(tokens);
    numbers_ = std::move(numbers);
    this->spec_.vocabulary = vocabulary;
    this->spec_.idf_weights = idf_weights;
  }
  static std::string list(const std::vector<Token>& tokens) {
    std::string all;
    for (const Token& token : tokens) all += (all.empty() ? "" : ", ") + text(token);
    return all;
  }

  std::vector<Token> tokens_;
  std::unordered_map<Token, std::int64_t> numbers_;
  std::vector<double> weights_;
  bool given_ = false;
  bool used_ = false;
};

/// Adds a tensor's or texts' rows; each of a list's elements is a document of its own.
template <class Token>
void add_documents(Counts<Token>& counts, const std::vector<Token>& tokens, const Shape& shape) {
  const std::int64_t rows = shape.rank() == 0 ? 1 : shape[0];
  const std::int64_t length = shape.rank() == 0 ? 1 : shape.tail().elements();
  for (std::int64_t i = 0; i < rows; i++) counts.add(tokens.data() + i * length, length);
}

// ---- StringLookup -----------------------------------------------------------------------------------------

class StringLookupImpl final : public LookupImpl<StringLookupSpec, std::string> {
 public:
  using LookupImpl::LookupImpl;
  Value call(Call&, Value) override {
    throw TypeError(
        fmt::format("layer \"{}\" (StringLookup) can't be part of a model, as tensors hold no texts: call it "
                    "with the texts, "
                    "lookup(texts), and give the model the numbers that it returns",
                    name()));
  }
  Tensor on_host(const Strings& texts) const {
    expect_vocabulary();
    if (spec_.invert)
      throw TypeError(fmt::format(
          "layer \"{}\" (StringLookup) inverts: it takes numbers, by its function tokens(numbers)", name()));
    std::vector<std::int64_t> numbers;
    numbers.reserve(texts.size());
    for (const std::string& token : texts.texts())
      numbers.push_back(number_of(token, [&](const std::string& unknown) {
        return internal::hash_bin(unknown, spec_.num_oov_indices, spec_.salt);
      }));
    return encoded(numbers, texts.shape());
  }
  Strings tokens_on_host(const Tensor& numbers) const {
    expect_vocabulary();
    if (!spec_.invert)
      throw TypeError(fmt::format(
          "layer \"{}\" (StringLookup) takes texts; for tokens of numbers, make it with .invert = true",
          name()));
    std::vector<std::string> texts;
    for (std::int64_t number : numbers.to_vector<std::int64_t>()) texts.push_back(token_of(number));
    return Strings(std::move(texts), numbers.shape());
  }
};

// ---- IntegerLookup ----------------------------------------------------------------------------------------

class IntegerLookupImpl final : public LookupImpl<IntegerLookupSpec, std::int64_t> {
 public:
  explicit IntegerLookupImpl(IntegerLookupSpec spec) : LookupImpl(std::move(spec)) {
    static constexpr std::array<std::string_view, 2> methods = {"floormod", "farmhash"};
    if (std::find(methods.begin(), methods.end(), spec_.oov_method) == methods.end())
      internal::unknown_name("IntegerLookup: oov_method", spec_.oov_method, methods);
    if (spec_.salt && spec_.oov_method != "farmhash") wrong("a salt is for oov_method \"farmhash\"");
  }
  Value call(Call&, Value x) override {
    use();
    x = graph::convert(x, DType::i64);
    if (spec_.invert) return tokens_in_graph(x);
    const Value numbers = numbers_in_graph(x);
    if (gives_numbers()) return numbers;
    const std::string& mode = spec_.output_mode;
    const Value encoded = internal::encoded(graph::convert(numbers, DType::i32), depth(),
                                            mode == "tf_idf" ? "count" : mode, dtype());
    if (mode != "tf_idf") return encoded;
    return encoded * graph::constant(x.graph(), Tensor(weights(), {depth()}).astype(dtype()));
  }
  Tensor on_host(const Tensor& input) const {
    expect_vocabulary();
    std::vector<std::int64_t> numbers = input.to_vector<std::int64_t>();
    for (std::int64_t& number : numbers)
      number = spec_.invert ? token_of(number)
                            : number_of(number, [&](std::int64_t unknown) { return oov_index(unknown); });
    return encoded(numbers, input.shape());
  }

 private:
  std::int64_t oov_index(std::int64_t token) const {
    const std::int64_t n = spec_.num_oov_indices;
    if (spec_.oov_method == "farmhash") return internal::hash_bin(std::to_string(token), n, spec_.salt);
    return (token % n + n) % n;
  }
  static Value number(Value like, std::int64_t n) {
    return graph::constant(like.graph(), Tensor({n}).reshape({}));
  }

  Value numbers_in_graph(Value x) const {
    // The place of the last token that isn't larger, by steps of powers of two.
    const auto size = static_cast<std::int64_t>(tokens().size());
    std::vector<std::size_t> order(tokens().size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return tokens()[a] < tokens()[b]; });
    std::vector<std::int64_t> ascending, of_each;
    for (std::size_t i : order) {
      ascending.push_back(tokens()[i]);
      of_each.push_back(token_start() + static_cast<std::int64_t>(i));
    }
    const Value table = graph::constant(x.graph(), Tensor(ascending)),
                numbers = graph::constant(x.graph(), Tensor(of_each));
    Value place = graph::convert(graph::zeros_like(x), DType::i32);
    std::int64_t step = 1;
    while (step * 2 < size) step *= 2;
    for (; step > 0 && size > 1; step /= 2) {
      const Value next = place + static_cast<double>(step);  // beyond the end, gather takes the last
      const Value there = graph::compare(next, graph::scalar(next, static_cast<double>(size)), "lt");
      const Value reached = graph::compare(graph::gather(table, next, 0), x, "le");
      place = graph::select(graph::bit_and(there, reached), next, place);
    }
    const Value known = graph::compare(graph::gather(table, place, 0), x, "eq");
    Value result = graph::select(known, graph::gather(numbers, place, 0), oov_in_graph(x, known));
    if (spec_.mask_token) {
      const Value masked = graph::compare(x, number(x, *spec_.mask_token), "eq");
      result = graph::select(masked, number(x, gives_numbers() ? 0 : -1), result);
    }
    return result;
  }
  Value oov_in_graph(Value x, Value known) const {
    const std::int64_t n = spec_.num_oov_indices;
    if (n == 0) {
      if (spec_.mask_token)
        known = graph::bit_or(known, graph::compare(x, number(x, *spec_.mask_token), "eq"));
      graph::check(graph::reshape(known, {None}), graph::reshape(x, {None}),
                   fmt::format("layer \"{}\" (IntegerLookup): {{value}} isn't in the vocabulary; with "
                               "num_oov_indices = 1 or more, unknown tokens have numbers, too",
                               name()));
    }
    if (n <= 1) return number(x, oov_start());
    if (spec_.oov_method == "farmhash")
      return internal::hash_bin(x, n, spec_.salt) + static_cast<double>(oov_start());
    const Value divisor = number(x, n);
    return graph::rem(graph::rem(x, divisor) + divisor, divisor) + static_cast<double>(oov_start());
  }
  Value tokens_in_graph(Value x) const {
    std::vector<std::int64_t> table;
    for (std::int64_t i = 0; i < vocabulary_size(); i++) table.push_back(token_of(i));
    const Value tokens = graph::gather(graph::constant(x.graph(), Tensor(table)), x, 0);
    const Value inside = graph::bit_and(graph::compare(x, number(x, 0), "ge"),
                                        graph::compare(x, number(x, vocabulary_size()), "lt"));
    return graph::select(inside, tokens, number(x, spec_.oov_token));
  }
};

StringLookupImpl& string_lookup(const Layer& layer) {
  return internal::impl_as<StringLookupImpl>(layer, "StringLookup");
}
IntegerLookupImpl& integer_lookup(const Layer& layer) {
  return internal::impl_as<IntegerLookupImpl>(layer, "IntegerLookup");
}

}  // namespace

// ---- handles ----------------------------------------------------------------------------------------------

StringLookupLayer StringLookup(StringLookupArgs args) {
  return StringLookupLayer(make_layer<StringLookupImpl>(StringLookupSpec{{std::move(args)}}).shared());
}
Tensor StringLookupLayer::operator()(const Strings& texts) const {
  return string_lookup(*this).on_host(texts);
}
Strings StringLookupLayer::tokens(const Tensor& numbers) const {
  return string_lookup(*this).tokens_on_host(numbers);
}
void StringLookupLayer::adapt(const Strings& texts) {
  bool done = false;
  adapt([&]() -> std::optional<Strings> {
    if (std::exchange(done, true)) return std::nullopt;
    return texts;
  });
}
void StringLookupLayer::adapt(const std::function<std::optional<Strings>()>& next) {
  string_lookup(*this).adapt([&](Counts<std::string>& counts) {
    const std::optional<Strings> texts = next();
    if (texts) add_documents(counts, texts->texts(), texts->shape());
    return texts.has_value();
  });
}
void StringLookupLayer::set_vocabulary(const std::vector<std::string>& vocabulary,
                                       const std::vector<double>& idf_weights) {
  string_lookup(*this).set_vocabulary(vocabulary, idf_weights);
}
std::vector<std::string> StringLookupLayer::get_vocabulary(bool include_special_tokens) const {
  return string_lookup(*this).get_vocabulary(include_special_tokens);
}
std::int64_t StringLookupLayer::vocabulary_size() const {
  return string_lookup(*this).vocabulary_size();
}

IntegerLookupLayer IntegerLookup(IntegerLookupArgs args) {
  return IntegerLookupLayer(make_layer<IntegerLookupImpl>(IntegerLookupSpec{{std::move(args)}}).shared());
}
Tensor IntegerLookupLayer::operator()(const Tensor& numbers) const {
  return integer_lookup(*this).on_host(numbers);
}
void IntegerLookupLayer::adapt(const Tensors& data) {
  adapt(internal::one_by_one(data));
}
void IntegerLookupLayer::adapt(const std::function<std::optional<Tensor>()>& next) {
  integer_lookup(*this).adapt([&](Counts<std::int64_t>& counts) {
    const std::optional<Tensor> data = next();
    if (data) add_documents(counts, data->to_vector<std::int64_t>(), data->shape());
    return data.has_value();
  });
}
void IntegerLookupLayer::set_vocabulary(const std::vector<std::int64_t>& vocabulary,
                                        const std::vector<double>& idf_weights) {
  integer_lookup(*this).set_vocabulary(vocabulary, idf_weights);
}
std::vector<std::int64_t> IntegerLookupLayer::get_vocabulary(bool include_special_tokens) const {
  return integer_lookup(*this).get_vocabulary(include_special_tokens);
}
std::int64_t IntegerLookupLayer::vocabulary_size() const {
  return integer_lookup(*this).vocabulary_size();
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_lookup_layers(LayerRegistry& registry) {
  registry.add<layers::StringLookupImpl>("StringLookup");
  registry.add<layers::IntegerLookupImpl>("IntegerLookup");
}

}  // namespace kiln::internal
