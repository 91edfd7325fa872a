#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

/// A value as JSON has it: null, truth value, number, text, list, or dictionary. Configurations of layers,
/// losses, ... are dictionaries with Keras's keys:
///
///     Config config = layer.get_config();           // {"name": "dense", "units": 10, ...}
///     config["units"] = 20;
///     Layer wider = layers::from_config("Dense", config);
class KILN_API Config {
 public:
  using List = std::vector<Config>;
  /// In the order in which the keys were added.
  using Dict = std::vector<std::pair<std::string, Config>>;

  /// null
  Config() = default;
  Config(std::nullptr_t) {}
  Config(bool value) : value_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Config(T value) : value_(static_cast<std::int64_t>(value)) {}
  Config(double value) : value_(value) {}
  Config(const char* text);
  Config(std::string text);
  Config(List list);
  Config(Dict dict);
  Config(const Config& other);
  Config(Config&& other) noexcept;
  Config& operator=(const Config& other);
  Config& operator=(Config&& other) noexcept;
  ~Config();

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_int() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_list() const { return std::holds_alternative<List>(value_); }
  bool is_dict() const { return std::holds_alternative<Dict>(value_); }

  // The value itself; TypeError if it is of another kind.
  bool as_bool() const;
  /// Whole numbers only; 3.0 is one.
  std::int64_t as_int() const;
  double as_number() const;
  const std::string& as_string() const;
  const List& as_list() const;
  const Dict& as_dict() const;

  /// The value of a key, which is added if it isn't there; null becomes a dictionary. TypeError for other
  /// kinds.
  Config& operator[](std::string_view key);
  /// The value of a key; ValueError if it isn't there.
  const Config& at(std::string_view key) const;
  /// The same; null if it isn't there.
  const Config* find(std::string_view key) const;

  /// As JSON: in one line, or indented by so many spaces.
  std::string to_json(int indent = -1) const;
  /// Throws ValueError with the place for text that isn't JSON.
  static Config from_json(std::string_view text);

  /// Whole numbers equal floating ones of the same value; the order of keys doesn't matter.
  friend KILN_API bool operator==(const Config& a, const Config& b);

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, List, Dict> value_ = nullptr;
};

}  // namespace kiln
