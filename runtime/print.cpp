#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kiln/runtime/tensor.h"

// Prints tensors as numpy's str() does with its default options: 8 digits of precision, at most 75 characters
// a line, and only the first and last three of each axis when there are more than 1000 elements.

namespace kiln {
namespace {

constexpr std::size_t kPrecision = 8;
constexpr std::size_t kLineWidth = 75;
constexpr std::int64_t kThreshold = 1000;
constexpr std::int64_t kEdgeItems = 3;

/// Fills `s` with spaces on its left up to `width`.
std::string right_aligned(const std::string& s, std::size_t width) {
  return std::string(width > s.size() ? width - s.size() : 0, ' ') + s;
}

/// A decimal number taken apart: "-12.5e+07" is {"-12", "5", "+07"}.
struct Decimal {
  explicit Decimal(const std::string& s) {
    const std::size_t e = std::min(s.find('e'), s.size());
    const std::size_t point = std::min(s.find('.'), e);
    whole = s.substr(0, point);
    if (point < e) fraction = s.substr(point + 1, e - point - 1);
    if (e < s.size()) exponent = s.substr(e + 1);
  }
  std::string whole, fraction, exponent;
};

constexpr std::chars_format kFixed = std::chars_format::fixed;
constexpr std::chars_format kScientific = std::chars_format::scientific;
constexpr std::size_t kLongest = 512;  // a double has up to 309 digits before the point

/// The shortest decimal that reads back as `x`.
template <class T>
Decimal shortest(T x, std::chars_format format) {
  char buffer[kLongest];
  return Decimal(std::string(buffer, std::to_chars(buffer, buffer + kLongest, x, format).ptr));
}

/// `x` rounded to `precision` digits after the point.
template <class T>
Decimal rounded(T x, std::chars_format format, std::size_t precision) {
  char buffer[kLongest];
  return Decimal(std::string(
      buffer, std::to_chars(buffer, buffer + kLongest, x, format, static_cast<int>(precision)).ptr));
}

/// The shortest decimal, or if that has more than kPrecision digits after the point, the rounded one.
template <class T>
Decimal short_decimal(T x, std::chars_format format) {
  Decimal d = shortest(x, format);
  if (d.fraction.size() <= kPrecision) return d;
  d = rounded(x, format, kPrecision);
  d.fraction.erase(d.fraction.find_last_not_of('0') + 1);
  return d;
}

/// Formats floating-point elements so that their points line up. Which form and how wide depends on all
/// elements that will be shown, so the constructor takes them.
template <class T>
class FloatFormat {
 public:
  explicit FloatFormat(const std::vector<T>& shown) {
    constexpr T kScientificFrom =
        sizeof(T) == 4 ? 1e6 : 1e8;  // about as many digits as the type or a line has
    T largest = 0, smallest = 0;
    for (T x : shown) {
      const T size = std::abs(x);
      if (!std::isfinite(x) || size == 0) continue;
      largest = std::max(largest, size);
      smallest = smallest == 0 ? size : std::min(smallest, size);
    }
    if (largest >= kScientificFrom || (largest > 0 && (smallest < T(1e-4) || largest / smallest > T(1000))))
      format_ = kScientific;
    bool finite = false;
    for (T x : shown) {
      if (!std::isfinite(x)) continue;
      finite = true;
      const Decimal d = short_decimal(x, format_);
      whole_ = std::max(whole_, d.whole.size());
      fraction_ = std::max(fraction_, d.fraction.size());
      exponent_ = std::max(exponent_, d.exponent.size());
    }
    width_ = finite ? whole_ + 1 + fraction_ + (exponent_ > 0 ? exponent_ + 1 : 0) : 0;
    for (T x : shown) {
      if (!std::isfinite(x)) width_ = std::max(width_, fmt::format("{}", x < 0 ? "-inf" : "inf").size());
    }
  }

  std::string operator()(T x) const {
    if (std::isnan(x)) return right_aligned("nan", width_);
    if (std::isinf(x)) return right_aligned(x < 0 ? "-inf" : "inf", width_);
    if (format_ == kFixed) {
      const Decimal d = short_decimal(x, kFixed);
      return right_aligned(d.whole + "." + d.fraction + std::string(fraction_ - d.fraction.size(), ' '),
                           width_);
    }
    const Decimal d = rounded(x, kScientific, fraction_);
    // Exponents get equally many digits: "e-007" beside "e+100".
    return right_aligned(d.whole + "." + d.fraction + "e" + d.exponent[0] +
                             std::string(exponent_ - d.exponent.size(), '0') + d.exponent.substr(1),
                         width_);
  }

 private:
  std::chars_format format_ = kFixed;
  std::size_t whole_ = 0, fraction_ = 0, exponent_ = 0;  // digits, the sign counted
  std::size_t width_ = 0;
};

/// Formats integers and bools, right-aligned.
template <class T>
class IntegerFormat {
 public:
  explicit IntegerFormat(const std::vector<T>& shown) {
    for (T x : shown) width_ = std::max(width_, text(x).size());
  }
  std::string operator()(T x) const { return right_aligned(text(x), width_); }

 private:
  static std::string text(T x) { return std::to_string(x); }
  std::size_t width_ = 0;
};
template <>
std::string IntegerFormat<bool>::text(bool x) {
  return x ? " True" : "False";  // numpy keeps the space even where no element is False
}

/// A number on its own: Python's form, with all its digits.
template <class T>
std::string print_scalar(T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return x ? "True" : "False";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(x);
  } else {
    if (std::isnan(x)) return "nan";
    if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
    const double size = std::abs(static_cast<double>(x));
    if (size == 0 || (size >= 1e-4 && size < (sizeof(T) == 4 ? 1e6 : 1e16))) {
      const Decimal d = shortest(x, kFixed);
      return d.whole + "." + (d.fraction.empty() ? "0" : d.fraction);
    }
    const Decimal d = shortest(x, kScientific);
    return d.whole + (d.fraction.empty() ? "" : "." + d.fraction) + "e" + d.exponent;
  }
}

/// Writes the brackets, spaces and line breaks around elements formatted by `format`.
template <class T, class Format>
class Printer {
 public:
  Printer(const Tensor& t, bool summary, const Format& format) : format_(format), summary_(summary) {
    out_ = print(t, /*depth=*/1, kLineWidth);
  }
  const std::string& result() const { return out_; }

 private:
  /// `depth`: brackets open when the content begins, which is how far its lines are indented.
  std::string print(const Tensor& t, std::size_t depth, std::size_t width) const {
    return fmt::format("[{}]", t.rank() == 1 ? print_row(t, depth, width) : print_nested(t, depth, width));
  }

  std::string print_nested(const Tensor& t, std::size_t depth, std::size_t width) const {
    std::string separator(static_cast<std::size_t>(t.rank() - 1), '\n');
    separator.append(depth, ' ');
    std::string s;
    for (std::int64_t i = 0; i < t.shape()[0]; i++) {
      if (i > 0) s += separator;
      if (skips(t, i)) {
        s += "...";
        i = t.shape()[0] - kEdgeItems - 1;
      } else {
        s += print(t[i], depth + 1, width - 1);
      }
    }
    return s;
  }

  std::string print_row(const Tensor& t, std::size_t depth, std::size_t width) const {
    std::string s;
    std::size_t column = depth;  // where the next word begins
    for (std::int64_t i = 0; i < t.shape()[0]; i++) {
      std::string word = "...";
      if (skips(t, i)) {
        i = t.shape()[0] - kEdgeItems - 1;
      } else {
        word = format_(*t[i].data<T>());
      }
      const bool first_of_line = column == depth;
      if (!first_of_line) column++;  // the space
      if (!first_of_line && column + word.size() > width - 1) {
        s.erase(s.find_last_not_of(' ') + 1);
        s += '\n';
        s.append(depth, ' ');
        column = depth;
      } else if (!first_of_line) {
        s += ' ';
      }
      s += word;
      column += word.size();
    }
    return s;
  }

  bool skips(const Tensor& t, std::int64_t i) const {
    return summary_ && t.shape()[0] > 2 * kEdgeItems && i == kEdgeItems;
  }

  std::string out_;
  const Format& format_;
  bool summary_;
};

/// The elements that are shown.
template <class T>
void collect(const Tensor& t, bool summary, std::vector<T>& shown) {
  if (t.rank() == 0) {
    shown.push_back(*t.data<T>());
    return;
  }
  const std::int64_t n = t.shape()[0];
  for (std::int64_t i = 0; i < n; i++) {
    if (summary && n > 2 * kEdgeItems && i == kEdgeItems) i = n - kEdgeItems;
    collect(t[i], summary, shown);
  }
}

}  // namespace

std::string Tensor::to_string() const {
  if (!defined()) return "<empty Tensor>";
  if (size() == 0) return "[]";
  return visit(dtype(), [&](auto zero) {
    using T = decltype(zero);
    using Format = std::conditional_t<std::is_floating_point_v<T>, FloatFormat<T>, IntegerFormat<T>>;
    if (rank() == 0) return print_scalar(*data<T>());
    const bool summary = size() > kThreshold;
    std::vector<T> shown;
    collect(*this, summary, shown);
    return Printer<T, Format>(*this, summary, Format(shown)).result();
  });
}

}  // namespace kiln
