#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "codegen/loop.h"

/// Addresses. Every sum is kept in one normal form, a linear combination of atoms (variables, quotients,
/// remainders, values) plus a constant, so that equal terms meet and cancel; quotients and remainders are
/// then simplified with the ranges of the atoms.
namespace kiln::codegen {

bool same(const Index& a, const Index& b) {
  if (&*a == &*b) return true;
  if (a->kind != b->kind || a->constant != b->constant || a->variable != b->variable ||
      a->value != b->value || a->operands.size() != b->operands.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a->operands.size(); ++i) {
    if (!same(a->operands[i], b->operands[i])) return false;
  }
  return true;
}

namespace {

using Node = std::shared_ptr<const IndexNode>;

std::int64_t floor_quotient(std::int64_t a, std::int64_t c) {
  return a >= 0 ? a / c : -((-a + c - 1) / c);
}
std::int64_t floor_remainder(std::int64_t a, std::int64_t c) {
  return a - floor_quotient(a, c) * c;
}

/// constant + sum of factor * atom
struct Linear {
  struct Term {
    Index atom;
    std::int64_t factor;
  };
  std::vector<Term> terms;
  std::int64_t constant = 0;

  void add(const Index& atom, std::int64_t factor) {
    if (factor == 0) return;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (!same(terms[i].atom, atom)) continue;
      terms[i].factor += factor;
      if (terms[i].factor == 0) terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    terms.push_back({atom, factor});
  }
  void add(const Linear& other, std::int64_t factor) {
    constant += other.constant * factor;
    for (const Term& t : other.terms) add(t.atom, t.factor * factor);
  }
  std::int64_t factor_of(const Index& atom) const {
    for (const Term& t : terms) {
      if (same(t.atom, atom)) return t.factor;
    }
    return 0;
  }
  /// [low, high)
  std::pair<std::int64_t, std::int64_t> range() const {
    std::int64_t low = constant, last = constant;
    for (const Term& t : terms) {
      const std::int64_t at_low = t.factor * t.atom->low, at_last = t.factor * (t.atom->high - 1);
      low += std::min(at_low, at_last);
      last += std::max(at_low, at_last);
    }
    return {low, last + 1};
  }
};

Linear linear(const Index& index) {
  Linear result;
  switch (index->kind) {
    case IndexKind::constant:
      result.constant = index->constant;
      break;
    case IndexKind::mul:
      result.add(linear(index->operands[0]), index->constant);
      break;
    case IndexKind::add:
      for (const Index& operand : index->operands) result.add(linear(operand), 1);
      break;
    case IndexKind::variable:
    case IndexKind::floor_div:
    case IndexKind::mod:
    case IndexKind::value:
      result.add(index, 1);
      break;
  }
  return result;
}

/// (A / b) * b + A % b -> A, with any factor in front. The quotient may itself have been simplified.
void join_quotients(Linear& sum) {
  for (std::size_t i = 0; i < sum.terms.size();) {
    const Index atom = sum.terms[i].atom;
    const std::int64_t factor = sum.terms[i].factor;
    ++i;
    if (atom->kind != IndexKind::mod) continue;
    const std::int64_t divisor = atom->constant;
    const Linear quotient = linear(floor_div(atom->operands[0], divisor));
    if (quotient.terms.empty()) continue;
    const bool present = std::all_of(
        quotient.terms.begin(), quotient.terms.end(),
        [&](const Linear::Term& t) { return sum.factor_of(t.atom) == factor * divisor * t.factor; });
    if (!present) continue;
    sum.add(quotient, -factor * divisor);
    sum.add(atom, -factor);
    sum.add(linear(atom->operands[0]), factor);
    i = 0;
  }
}

Index make(IndexNode node) {
  return Index(std::make_shared<const IndexNode>(std::move(node)));
}

Index compose(Linear sum) {
  join_quotients(sum);
  if (sum.terms.empty()) return Index(sum.constant);
  // Largest strides first: `t*10 + j`, and one order for equal sums. Terms of equal strides keep theirs.
  std::vector<Linear::Term> ordered;
  for (const Linear::Term& t : sum.terms) {
    const auto larger = [](const Linear::Term& x, const Linear::Term& y) {
      return std::abs(x.factor) > std::abs(y.factor);
    };
    ordered.insert(std::upper_bound(ordered.begin(), ordered.end(), t, larger), t);
  }
  sum.terms = std::move(ordered);
  std::vector<Index> parts;
  for (const Linear::Term& t : sum.terms) {
    if (t.factor == 1) {
      parts.push_back(t.atom);
      continue;
    }
    const auto [low, high] = Linear{{t}, 0}.range();
    IndexNode product;
    product.kind = IndexKind::mul;
    product.constant = t.factor;
    product.operands = {t.atom};
    product.low = low;
    product.high = high;
    parts.push_back(make(std::move(product)));
  }
  if (sum.constant != 0) parts.emplace_back(sum.constant);
  if (parts.size() == 1) return parts[0];
  IndexNode node;
  node.kind = IndexKind::add;
  node.operands = std::move(parts);
  std::tie(node.low, node.high) = sum.range();
  return make(std::move(node));
}

Index combine(const Index& a, const Index& b, std::int64_t factor) {
  Linear sum = linear(a);
  sum.add(linear(b), factor);
  return compose(std::move(sum));
}

/// value = multiple * divisor + rest
struct Split {
  Linear multiple, rest;
};
Split split(const Linear& value, std::int64_t divisor) {
  Split result;
  for (const Linear::Term& t : value.terms) {
    if (t.factor % divisor == 0) {
      result.multiple.add(t.atom, t.factor / divisor);
    } else {
      result.rest.add(t.atom, t.factor);
    }
  }
  result.multiple.constant = floor_quotient(value.constant, divisor);
  result.rest.constant = floor_remainder(value.constant, divisor);
  return result;
}

/// A common factor g of the divisor such that value = g * multiple + rest with 0 <= rest < g; 1 if there is
/// none. Then value / divisor = multiple / (divisor / g).
std::int64_t common_factor(const Linear& value, std::int64_t divisor) {
  std::int64_t best = 1;
  for (const Linear::Term& t : value.terms) {
    const std::int64_t g = std::gcd(t.factor, divisor);
    if (g <= best) continue;
    const auto [low, high] = split(value, g).rest.range();
    if (low >= 0 && high <= g) best = g;
  }
  return best;
}

}  // namespace

Var make_var(std::string name, std::int64_t extent) {
  return std::make_shared<const Variable>(Variable{std::move(name), extent});
}

Index::Index(std::int64_t constant) {
  IndexNode node;
  node.constant = constant;
  node.low = constant;
  node.high = constant + 1;
  node_ = std::make_shared<const IndexNode>(std::move(node));
}

Index::Index(Var var) {
  IndexNode node;
  // A loop of one iteration has a known variable.
  if (var->extent == 1) {
    node_ = std::make_shared<const IndexNode>(std::move(node));
    return;
  }
  node.kind = IndexKind::variable;
  node.high = var->extent;
  node.variable = std::move(var);
  node_ = std::make_shared<const IndexNode>(std::move(node));
}

Index Index::from_value(Expr value, std::int64_t low, std::int64_t high) {
  IndexNode node;
  node.kind = IndexKind::value;
  node.value = std::move(value);
  node.low = low;
  node.high = high;
  return make(std::move(node));
}

bool Index::is_constant() const {
  return node_->kind == IndexKind::constant;
}
bool Index::is_constant(std::int64_t c) const {
  return is_constant() && node_->constant == c;
}

Index operator+(const Index& a, const Index& b) {
  return combine(a, b, 1);
}
Index operator-(const Index& a, const Index& b) {
  return combine(a, b, -1);
}
Index operator*(const Index& a, std::int64_t c) {
  Linear sum;
  sum.add(linear(a), c);
  return compose(std::move(sum));
}

Index floor_div(const Index& a, std::int64_t c) {
  if (c == 1) return a;
  const Linear value = linear(a);
  Split parts = split(value, c);
  const auto [low, high] = parts.rest.range();
  if (floor_quotient(low, c) == floor_quotient(high - 1, c)) {
    parts.multiple.constant += floor_quotient(low, c);
    return compose(std::move(parts.multiple));
  }
  const Index rest = compose(parts.rest);
  if (const std::int64_t g = common_factor(parts.rest, c); g > 1) {
    return compose(std::move(parts.multiple)) + floor_div(compose(split(parts.rest, g).multiple), c / g);
  }
  if (rest->kind == IndexKind::floor_div) {  // (x / b) / c
    return compose(std::move(parts.multiple)) + floor_div(rest->operands[0], rest->constant * c);
  }
  if (rest->kind == IndexKind::mod && rest->constant % c == 0) {  // (x % bc) / c
    return compose(std::move(parts.multiple)) + mod(floor_div(rest->operands[0], c), rest->constant / c);
  }
  IndexNode node;
  node.kind = IndexKind::floor_div;
  node.constant = c;
  node.operands = {rest};
  node.low = floor_quotient(low, c);
  node.high = floor_quotient(high - 1, c) + 1;
  return compose(std::move(parts.multiple)) + make(std::move(node));
}

Index mod(const Index& a, std::int64_t c) {
  if (c == 1) return Index(0);
  Linear rest = split(linear(a), c).rest;
  const auto [low, high] = rest.range();
  if (floor_quotient(low, c) == floor_quotient(high - 1, c)) {
    rest.constant -= floor_quotient(low, c) * c;
    return compose(std::move(rest));
  }
  if (const std::int64_t g = common_factor(rest, c); g > 1) {
    Split parts = split(rest, g);
    return mod(compose(std::move(parts.multiple)), c / g) * g + compose(std::move(parts.rest));
  }
  const Index value = compose(std::move(rest));
  if (value->kind == IndexKind::mod && value->constant % c == 0) return mod(value->operands[0], c);
  IndexNode node;
  node.kind = IndexKind::mod;
  node.constant = c;
  node.operands = {value};
  node.low = 0;
  node.high = c;
  return make(std::move(node));
}

namespace {

bool expr_depends_on(const Expr& expr, const Var& var) {
  if (!expr) return false;
  if (depends_on(expr->index, var) || depends_on(expr->other, var) || expr_depends_on(expr->predicate, var)) {
    return true;
  }
  return std::any_of(expr->operands.begin(), expr->operands.end(),
                     [&](const Expr& e) { return expr_depends_on(e, var); }) ||
         std::any_of(expr->subscripts.begin(), expr->subscripts.end(),
                     [&](const Index& i) { return depends_on(i, var); });
}

}  // namespace

bool depends_on(const Index& index, const Var& var) {
  if (index->variable == var) return true;
  if (index->kind == IndexKind::value) return expr_depends_on(index->value, var);
  return std::any_of(index->operands.begin(), index->operands.end(),
                     [&](const Index& i) { return depends_on(i, var); });
}

bool affine_in(const Index& index, const Var& var, std::int64_t& factor) {
  factor = 0;
  for (const Linear::Term& t : linear(index).terms) {
    if (t.atom->kind == IndexKind::variable && t.atom->variable == var) {
      factor = t.factor;
    } else if (depends_on(t.atom, var)) {
      return false;
    }
  }
  return true;
}

}  // namespace kiln::codegen
