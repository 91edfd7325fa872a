#include "kiln/graph/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <type_traits>

namespace kiln::graph {
namespace {

template <class T>
const T& get(const Attributes& attributes, std::string_view name, std::string_view kind) {
  const Attribute* a = attributes.find(name);
  if (a == nullptr) throw InternalError(fmt::format("attribute \"{}\" ({}) is missing", name, kind));
  if (const T* v = std::get_if<T>(a)) return *v;
  throw InternalError(fmt::format("attribute \"{}\" is not of kind {}", name, kind));
}

std::string_view bytes_of(const Tensor& contiguous) {
  return {static_cast<const char*>(contiguous.raw()), contiguous.nbytes()};
}

// Doubles and tensors compare by their bits: NaN equals NaN, and -0 differs from 0.
struct SameBits {
  template <class T, class U>
  bool operator()(const T& a, const U& b) const {
    if constexpr (!std::is_same_v<T, U>) {
      return false;
    } else if constexpr (std::is_same_v<T, double>) {
      return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
    } else if constexpr (std::is_same_v<T, Tensor>) {
      if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
      return bytes_of(a.contiguous()) == bytes_of(b.contiguous());
    } else {
      return a == b;
    }
  }
};

std::size_t combine(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9E3779B97F4A7C15u + (seed << 6) + (seed >> 2));
}

std::size_t hash_ints(std::span<const std::int64_t> v) {
  std::size_t h = v.size();
  for (std::int64_t x : v) h = combine(h, std::hash<std::int64_t>{}(x));
  return h;
}

struct HashBits {
  template <class T>
  std::size_t operator()(const T& v) const {
    if constexpr (std::is_same_v<T, double>) {
      return std::hash<std::uint64_t>{}(std::bit_cast<std::uint64_t>(v));
    } else if constexpr (std::is_same_v<T, Ints>) {
      return hash_ints(v);
    } else if constexpr (std::is_same_v<T, DType>) {
      return static_cast<std::size_t>(v);
    } else if constexpr (std::is_same_v<T, Tensor>) {
      const std::size_t h = combine(static_cast<std::size_t>(v.dtype()), hash_ints(v.shape().sizes()));
      return combine(h, std::hash<std::string_view>{}(bytes_of(v.contiguous())));
    } else {
      return std::hash<T>{}(v);
    }
  }
};

}  // namespace

Attributes::Attributes(std::initializer_list<std::pair<std::string, Attribute>> items) {
  for (const auto& [name, value] : items) set(name, value);
}

void Attributes::set(std::string name, Attribute value) {
  auto at = std::lower_bound(items_.begin(), items_.end(), name,
                             [](const auto& item, const std::string& n) { return item.first < n; });
  if (at != items_.end() && at->first == name)
    at->second = std::move(value);
  else
    items_.insert(at, {std::move(name), std::move(value)});
}

const Attribute* Attributes::find(std::string_view name) const {
  for (const auto& item : items_)
    if (item.first == name) return &item.second;
  return nullptr;
}

std::int64_t Attributes::integer(std::string_view name) const {
  return get<std::int64_t>(*this, name, "integer");
}
double Attributes::number(std::string_view name) const {
  return get<double>(*this, name, "number");
}
bool Attributes::flag(std::string_view name) const {
  return get<bool>(*this, name, "flag");
}
const std::string& Attributes::string(std::string_view name) const {
  return get<std::string>(*this, name, "string");
}
const Ints& Attributes::ints(std::string_view name) const {
  return get<Ints>(*this, name, "ints");
}
DType Attributes::dtype(std::string_view name) const {
  return get<DType>(*this, name, "dtype");
}
const Tensor& Attributes::tensor(std::string_view name) const {
  return get<Tensor>(*this, name, "tensor");
}

bool operator==(const Attributes& a, const Attributes& b) {
  return std::equal(a.items_.begin(), a.items_.end(), b.items_.begin(), b.items_.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && std::visit(SameBits{}, x.second, y.second);
                    });
}

std::size_t Attributes::hash() const {
  std::size_t h = items_.size();
  for (const auto& [name, value] : items_)
    h = combine(combine(h, std::hash<std::string>{}(name)),
                combine(value.index(), std::visit(HashBits{}, value)));
  return h;
}

}  // namespace kiln::graph
