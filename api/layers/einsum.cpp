#include "api/layers/einsum.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

namespace kiln::internal {

using graph::Ints;
using graph::Value;

namespace {

constexpr char ellipsis = '.';

/// Letters, and one '.' for "...".
std::string letters(const std::string& user, const std::string& equation, std::string part) {
  const std::size_t dots = part.find("...");
  if (dots != std::string::npos) part.replace(dots, 3, 1, ellipsis);
  for (std::size_t i = 0; i < part.size(); i++) {
    const bool known =
        std::isalpha(static_cast<unsigned char>(part[i])) || (part[i] == ellipsis && i == dots);
    if (!known || part.find(part[i]) != i)
      throw ValueError(
          fmt::format("{}: the equation \"{}\" should be letters, each at most once in an operand, "
                      "as in \"abc,cd->abd\" or \"...x,xy->...y\"",
                      user, equation));
  }
  return part;
}

/// The "." replaced by a letter for each axis that it stands for: characters 1, 2, ..., which no equation
/// has.
std::string spelled_out(const std::string& part, std::size_t axes) {
  const std::size_t at = part.find(ellipsis);
  if (at == std::string::npos) return part;
  std::string other;
  for (std::size_t i = 0; i < axes; i++) other.push_back(static_cast<char>(1 + i));
  return part.substr(0, at) + other + part.substr(at + 1);
}

bool has(const std::string& part, char letter) {
  return part.find(letter) != std::string::npos;
}

/// x without the letters that neither the other operand nor the result has: they are summed over.
Value without_own(Value x, std::string& part, const std::string& other, const std::string& result) {
  Ints axes;
  std::string kept;
  for (std::size_t i = 0; i < part.size(); i++)
    if (has(other, part[i]) || has(result, part[i]))
      kept.push_back(part[i]);
    else
      axes.push_back(static_cast<std::int64_t>(i));
  part = kept;
  return axes.empty() ? x : graph::reduce_sum(x, axes);
}

}  // namespace

EinsumEquation::EinsumEquation(const std::string& user, const std::string& equation) {
  std::string text;
  for (char c : equation)
    if (c != ' ') text.push_back(c);
  const std::size_t comma = text.find(','), arrow = text.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || arrow < comma)
    throw ValueError(
        fmt::format("{}: the equation \"{}\" should name two operands and the result, as in "
                    "\"abc,cd->abd\"",
                    user, equation));
  lhs = letters(user, equation, text.substr(0, comma));
  rhs = letters(user, equation, text.substr(comma + 1, arrow - comma - 1));
  result = letters(user, equation, text.substr(arrow + 2));
  for (char c : result)
    if (!has(lhs, c) && !has(rhs, c))
      throw ValueError(fmt::format("{}: the result of the equation \"{}\" has \"{}\", which no operand has",
                                   user, equation, c));
}

Value einsum(const std::string& user, const std::string& equation, Value lhs, Value rhs) {
  const EinsumEquation e(user, equation);
  const auto spell = [&](const std::string& part, Value x) {
    const bool open = has(part, ellipsis);
    const std::size_t named = part.size() - (open ? 1 : 0), rank = static_cast<std::size_t>(x.rank());
    if (rank < named || (!open && rank != named))
      throw ShapeError(fmt::format("{}: the equation \"{}\" doesn't fit an operand of shape {}", user,
                                   equation, x.shape().to_string()));
    return spelled_out(part, rank - named);
  };
  std::string a = spell(e.lhs, lhs), b = spell(e.rhs, rhs);
  const std::size_t open_axes = std::max(has(e.lhs, ellipsis) ? a.size() - e.lhs.size() + 1 : 0,
                                         has(e.rhs, ellipsis) ? b.size() - e.rhs.size() + 1 : 0);
  const std::string result = spelled_out(e.result, open_axes);
  std::map<char, std::int64_t> sizes;
  const auto note = [&](const std::string& part, Value x) {
    for (std::size_t i = 0; i < part.size(); i++) {
      const auto [entry, is_new] = sizes.emplace(part[i], x.shape()[i]);
      if (!is_new && entry->second != x.shape()[i])
        throw ShapeError(
            fmt::format("{}: in the equation \"{}\" the operands of shapes {} and {} have different "
                        "sizes for the same letter",
                        user, equation, lhs.shape().to_string(), rhs.shape().to_string()));
    }
  };
  note(a, lhs);
  note(b, rhs);
  lhs = without_own(lhs, a, b, result);
  rhs = without_own(rhs, b, a, result);

  // A product gives the axes that both have and the result has, then what is left of each operand.
  Ints lhs_batch, rhs_batch, lhs_contract, rhs_contract;
  std::string batch, order;
  for (std::size_t i = 0; i < a.size(); i++) {
    const std::size_t j = b.find(a[i]);
    if (j == std::string::npos) {
      order.push_back(a[i]);
    } else if (has(result, a[i])) {
      batch.push_back(a[i]);
      lhs_batch.push_back(static_cast<std::int64_t>(i));
      rhs_batch.push_back(static_cast<std::int64_t>(j));
    } else {
      lhs_contract.push_back(static_cast<std::int64_t>(i));
      rhs_contract.push_back(static_cast<std::int64_t>(j));
    }
  }
  for (char c : b)
    if (!has(a, c)) order.push_back(c);
  order = batch + order;
  const Value product = graph::dot(lhs, rhs, lhs_batch, rhs_batch, lhs_contract, rhs_contract);
  Ints permutation;
  for (char c : result) permutation.push_back(static_cast<std::int64_t>(order.find(c)));
  return std::is_sorted(permutation.begin(), permutation.end()) ? product
                                                                : graph::transpose(product, permutation);
}

}  // namespace kiln::internal
