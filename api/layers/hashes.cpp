#include "api/layers/hashes.h"

#include <farmhash.h>
#include <fmt/format.h>

#include <concepts>
#include <vector>

namespace kiln::layers {

Config to_config(const Salt& salt) {
  return Config::List{salt.first, salt.second};
}
void from_config(const Config& config, Salt& salt) {
  if (config.is_number()) {
    salt = Salt(config.as_int());
    return;
  }
  if (config.as_list().size() != 2)
    throw ValueError(fmt::format("{} should be a whole number, or two", config.to_json()));
  salt = Salt(config.as_list()[0].as_int(), config.as_list()[1].as_int());
}

}  // namespace kiln::layers

namespace kiln::internal {
namespace {

using graph::Value;

// ---- words ------------------------------------------------------------------------------------------------
// 64 bits without a sign: std::uint64_t on the host, Word in a graph, where they are an i64 whose arithmetic
// wraps. The hashes are written once for both.

/// One for each of a graph's elements.
struct Word {
  Value value;

  Word constant(std::uint64_t bits) const {
    Tensor t = Tensor::zeros({}, DType::i64);
    t.data<std::int64_t>()[0] = static_cast<std::int64_t>(bits);
    return {graph::constant(value.graph(), t)};
  }
  friend Word operator+(Word a, Word b) { return {a.value + b.value}; }
  friend Word operator*(Word a, Word b) { return {a.value * b.value}; }
  friend Word operator^(Word a, Word b) { return {graph::bit_xor(a.value, b.value)}; }
  friend Word operator|(Word a, Word b) { return {graph::bit_or(a.value, b.value)}; }
  friend Word operator+(Word a, std::uint64_t b) { return a + a.constant(b); }
  friend Word operator*(Word a, std::uint64_t b) { return a * a.constant(b); }
  friend Word operator^(Word a, std::uint64_t b) { return a ^ a.constant(b); }
  friend Word operator<<(Word a, int n) { return {graph::shift_left(a.value, graph::scalar(a.value, n))}; }
  friend Word operator>>(Word a, int n) { return {graph::shift_right(a.value, graph::scalar(a.value, n))}; }
};

template <class W>
W turned_left(W x, int n) {
  return (x << n) | (x >> (64 - n));
}
template <class W>
W turned_right(W x, int n) {
  return turned_left(x, 64 - n);
}

std::uint64_t remainder(std::uint64_t x, std::int64_t bins) {
  return x % static_cast<std::uint64_t>(bins);
}
/// Of a word without a sign, by numbers that have one: of its upper 63 bits first.
Value remainder(Word x, std::int64_t bins) {
  const Value upper = (x >> 1).value, n = x.constant(static_cast<std::uint64_t>(bins)).value;
  const Value last = graph::bit_and(x.value, graph::scalar(upper, 1));
  return graph::rem(graph::rem(upper, n) * 2.0 + last, n);
}

// ---- SipHash ----------------------------------------------------------------------------------------------

/// Takes a text's words, the last of which holds what is left of it and, in its highest byte, its length.
template <class W>
class Sip {
 public:
  Sip(W zero, std::uint64_t first_key, std::uint64_t second_key)
      : a_(zero ^ (first_key ^ 0x736f6d6570736575u)),
        b_(zero ^ (second_key ^ 0x646f72616e646f6du)),
        c_(zero ^ (first_key ^ 0x6c7967656e657261u)),
        d_(zero ^ (second_key ^ 0x7465646279746573u)) {}
  void take(W word) {
    d_ = d_ ^ word;
    rounds(2);
    a_ = a_ ^ word;
  }
  W result() {
    c_ = c_ ^ std::uint64_t{0xff};
    rounds(4);
    return a_ ^ b_ ^ c_ ^ d_;
  }
  /// This state where `here`, else the other's.
  Sip where(Value here, const Sip& other) const
    requires std::same_as<W, Word>
  {
    Sip mixed = *this;
    for (W Sip::* word : {&Sip::a_, &Sip::b_, &Sip::c_, &Sip::d_})
      (mixed.*word).value = graph::select(here, (this->*word).value, (other.*word).value);
    return mixed;
  }

 private:
  void rounds(int n) {
    for (; n > 0; n--) {
      mix(a_, b_, 13);
      a_ = turned_left(a_, 32);
      mix(c_, d_, 16);
      mix(a_, d_, 21);
      mix(c_, b_, 17);
      c_ = turned_left(c_, 32);
    }
  }
  static void mix(W& x, W& y, int n) {
    x = x + y;
    y = turned_left(y, n) ^ x;
  }
  W a_, b_, c_, d_;
};

// ---- fingerprints -----------------------------------------------------------------------------------------

constexpr std::uint64_t farm0 = 0xc3a5c85c97cb3127u, farm1 = 0xb492b66fbe98f273u, farm2 = 0x9ae16a3b2f90404fu;

template <class W>
W folded(W x) {
  return x ^ (x >> 47);
}

template <class W>
W joined(W x, W y, W factor) {
  const W once = folded((x ^ y) * factor);
  return folded((y ^ once) * factor) * factor;
}

/// What crossing features makes of those before, `x`, and the next.
template <class W>
W crossed(W x, W next) {
  constexpr std::uint64_t factor = 0xc6a4a7935bd1e995u;
  const W sum = (x ^ factor ^ (folded(next * factor) * factor)) * factor;
  return folded(folded(sum) * factor);
}
constexpr std::uint64_t crossing_key = 0xDECAFCAFFEu;

// ---- numbers as texts -------------------------------------------------------------------------------------

/// Whole numbers as decimal texts of up to 20 bytes.
struct Decimals {
  Value length;
  std::vector<Value> words;  ///< of eight bytes each, the first one lowest

  explicit Decimals(Value numbers) {
    const bool wide = numbers.dtype() == DType::i64;
    const Value x = graph::convert(numbers, DType::i64), zero = graph::scalar(x, 0);
    const Value negative = graph::compare(x, zero, "lt"), sign = graph::convert(negative, DType::i64);
    // Below zero there is one number more than above.
    Value rest = graph::select(negative, x, -x);
    std::vector<Value> digits;
    length = sign + 1.0;
    const int most = wide ? 19 : 10;
    for (int i = 0; i < most; i++) {
      const Value there = graph::compare(rest, zero, i == 0 ? "le" : "lt");
      if (i > 0) length = length + graph::convert(there, DType::i64);
      const Value tenth = graph::div(rest, graph::scalar(rest, 10)), digit = 48.0 - (rest - tenth * 10.0);
      digits.push_back(graph::select(there, digit, zero));
      rest = tenth;
    }
    for (int w = 0; w * 8 < most + 1; w++) {
      Value word = w == 0 ? sign * 45.0 : zero;  // '-'
      for (int i = 0; i < most; i++) {
        const Value place =
            length - static_cast<double>(i + 1 + 8 * w);  // in the word; shifts leave others out
        word = graph::bit_or(word, graph::shift_left(digits[static_cast<std::size_t>(i)], place * 8.0));
      }
      words.push_back(word);
    }
  }

  /// The eight bytes from a place on.
  Word at(Value place) const {
    Value bytes;
    for (std::size_t w = 0; w < words.size(); w++) {
      const Value after = (place - static_cast<double>(8 * w)) * 8.0;
      const Value part =
          graph::bit_or(graph::shift_right(words[w], after), graph::shift_left(words[w], -after));
      bytes = bytes ? graph::bit_or(bytes, part) : part;
    }
    return {bytes};
  }
  Word at(std::int64_t place) const { return at(graph::scalar(length, static_cast<double>(place))); }
  Value at_least(double bytes) const { return graph::compare(length, graph::scalar(length, bytes), "ge"); }
};

Word low_bits(Word x, double mask) {
  return {graph::bit_and(x.value, graph::scalar(x.value, mask))};
}

/// FarmHash's fingerprint of short texts.
Word fingerprint(const Decimals& text) {
  const Word length{text.length}, factor = length * 2 + farm2;
  const Word last = text.at(text.length - 8.0);

  const Word front = low_bits(text.at(0), 255),
             middle = low_bits(text.at(graph::shift_right(text.length, graph::scalar(text.length, 1))), 255),
             back = low_bits(text.at(text.length - 1.0), 255);
  const Word tiny = folded(((front + (middle << 8)) * farm2) ^ ((length + (back << 2)) * farm0)) * farm2;

  const Word quarter = low_bits(text.at(0), 4294967295.0),
             end = low_bits(text.at(text.length - 4.0), 4294967295.0);
  const Word small = joined(length + (quarter << 3), end, factor);

  const Word a = text.at(0) + farm2;
  const Word medium =
      joined(turned_right(last, 37) * factor + a, (turned_right(a, 25) + last) * factor, factor);

  Value result =
      graph::select(text.at_least(8), medium.value, graph::select(text.at_least(4), small.value, tiny.value));
  if (text.words.size() > 2) {
    const Word p = text.at(0) * farm1, q = text.at(8), r = last * factor,
               s = text.at(text.length - 16.0) * farm2;
    const Word large = joined(turned_right(p + q, 43) + turned_right(r, 30) + s,
                              p + turned_right(q + farm2, 18) + r, factor);
    result = graph::select(text.at_least(17), large.value, result);
  }
  return {result};
}

Word siphash(const Decimals& text, const layers::Salt& salt) {
  Sip<Word> state(Word{graph::zeros_like(text.length)}, static_cast<std::uint64_t>(salt.first),
                  static_cast<std::uint64_t>(salt.second));
  const Word ending = Word{text.length} << 56;
  for (std::size_t w = 0; w < text.words.size(); w++) {
    const auto first = static_cast<double>(8 * w);
    const Value is_last = graph::compare(text.length, graph::scalar(text.length, first + 8), "lt");
    Sip<Word> next = state;
    next.take({graph::select(is_last, graph::bit_or(text.words[w], ending.value), text.words[w])});
    state = w == 0 ? next : next.where(text.at_least(first), state);
  }
  return state.result();
}

}  // namespace

std::uint64_t fingerprint(const std::string& text) {
  return ::util::Fingerprint64(text.data(), text.size());
}

std::uint64_t siphash(const std::string& text, std::uint64_t first_key, std::uint64_t second_key) {
  Sip<std::uint64_t> state(0, first_key, second_key);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < text.size(); i++) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << (i % 8 * 8);
    if (i % 8 != 7) continue;
    state.take(word);
    word = 0;
  }
  state.take(word | static_cast<std::uint64_t>(text.size()) << 56);
  return state.result();
}

std::int64_t hash_bin(const std::string& text, std::int64_t bins, const std::optional<layers::Salt>& salt) {
  const std::uint64_t hash =
      salt ? siphash(text, static_cast<std::uint64_t>(salt->first), static_cast<std::uint64_t>(salt->second))
           : fingerprint(text);
  return static_cast<std::int64_t>(remainder(hash, bins));
}

Value hash_bin(Value numbers, std::int64_t bins, const std::optional<layers::Salt>& salt) {
  const Decimals text(numbers);
  return remainder(salt ? siphash(text, *salt) : fingerprint(text), bins);
}

std::int64_t crossed_bin(const std::vector<std::uint64_t>& features, std::int64_t bins) {
  std::uint64_t hash = crossing_key;
  for (std::uint64_t feature : features) hash = crossed(hash, feature);
  return static_cast<std::int64_t>(remainder(hash, bins));
}

Value crossed_bin(const std::vector<Value>& features, std::int64_t bins) {
  Word hash{};
  for (Value feature : features) {
    const Word next{graph::convert(feature, DType::i64)};
    hash = crossed(hash.value ? hash : next.constant(crossing_key), next);
  }
  return remainder(hash, bins);
}

}  // namespace kiln::internal
