#pragma once
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "kiln/activations.h"
#include "kiln/axes.h"
#include "kiln/config.h"
#include "kiln/constraints.h"
#include "kiln/initializers.h"
#include "kiln/layers/sizes.h"
#include "kiln/numbers.h"
#include "kiln/regularizers.h"
#include "kiln/runtime/shape.h"
#include "kiln/schedules.h"

/// Configurations: the arguments of a layer, a loss, ... by Keras's names, written down or read by the same
/// few lines.
namespace kiln::internal {

// How Keras writes each kind of argument.
inline Config to_config(const Config& value) {
  return value;
}
inline void from_config(const Config& config, Config& value) {
  value = config;
}
Config to_config(bool value);
Config to_config(int value);
Config to_config(std::int64_t value);
Config to_config(double value);
Config to_config(const std::string& value);
Config to_config(DType value);
Config to_config(const Shape& value);
Config to_config(const Axes& value);
Config to_config(const Numbers& value);
Config to_config(const Size2& value);
Config to_config(const Size3& value);
Config to_config(const activations::Function& value);
Config to_config(const Initializer& value);
Config to_config(const Regularizer& value);
Config to_config(const Constraint& value);
Config to_config(const LearningRate& value);
void from_config(const Config& config, bool& value);
void from_config(const Config& config, int& value);
void from_config(const Config& config, std::int64_t& value);
void from_config(const Config& config, double& value);
void from_config(const Config& config, std::string& value);
void from_config(const Config& config, DType& value);
void from_config(const Config& config, Shape& value);
void from_config(const Config& config, Axes& value);
void from_config(const Config& config, Numbers& value);
void from_config(const Config& config, Size2& value);
void from_config(const Config& config, Size3& value);
void from_config(const Config& config, activations::Function& value);
void from_config(const Config& config, Initializer& value);
void from_config(const Config& config, Regularizer& value);
void from_config(const Config& config, Constraint& value);
void from_config(const Config& config, LearningRate& value);

/// Sizes; one number stands for all of those that are there already.
void from_config(const Config& config, std::vector<std::int64_t>& values);
template <class T>
Config to_config(const std::vector<T>& values);
template <class T>
void from_config(const Config& config, std::vector<T>& values);
template <class T>
Config to_config(const std::optional<T>& value) {
  return value ? to_config(*value) : Config();
}
template <class T>
void from_config(const Config& config, std::optional<T>& value) {
  if (config.is_null()) return value.reset();
  if (!value) {
    if constexpr (std::is_default_constructible_v<T>)
      value.emplace();
    else
      value.emplace(0);
  }
  from_config(config, *value);
}
template <class T>
Config to_config(const std::vector<T>& values) {
  Config::List list;
  for (const T& value : values) list.push_back(to_config(value));
  return list;
}
template <class T>
void from_config(const Config& config, std::vector<T>& values) {
  values.clear();
  for (const Config& item : config.as_list()) from_config(item, values.emplace_back());
}

/// One dictionary of arguments. What is made calls it with each of its arguments; that fills in the
/// dictionary or, for a `Fields` that was made from one, the arguments:
///
///     void fields(Fields& f) { f.required("units", units)("use_bias", use_bias); }
class Fields {
 public:
  /// To be written.
  Fields() = default;
  /// To be read. `owner` stands in messages: "Dense".
  Fields(std::string owner, const Config& config);

  bool reads() const { return reads_; }

  /// An argument that keeps its default where the dictionary lacks its key. Throws ValueError or TypeError,
  /// which names owner and key, for a value that it can't take.
  template <class T>
  Fields& operator()(const char* key, T& value) {
    if (!reads_) {
      config_[key] = to_config(value);
    } else if (const Config* given = take(key)) {
      try {
        from_config(*given, value);
      } catch (const Error& e) {
        wrong(key, e);
      }
    }
    return *this;
  }
  /// One without which nothing can be made: ValueError if its key isn't there.
  template <class T>
  Fields& required(const char* key, T& value) {
    if (reads_ && config_.find(key) == nullptr) lacks(key);
    return (*this)(key, value);
  }
  /// Does the dictionary that is read have the key?
  bool has(const char* key) const { return reads_ && config_.find(key) != nullptr; }
  /// The dictionary that is read, all of whose keys count as known.
  const Config& all();
  /// A key of Keras's that can have this value only.
  Fields& only(const char* key, const Config& value);

  /// What was written.
  const Config& config() const { return config_; }
  /// Throws ValueError for keys that nobody asked for, unless they are null.
  void finish() const;

 private:
  const Config* take(const char* key);
  [[noreturn]] void wrong(const char* key, const Error& error) const;
  [[noreturn]] void lacks(const char* key) const;

  bool reads_ = false;
  std::string owner_;
  Config config_ = Config::Dict();
  std::vector<std::string> known_;
};

/// What a class of the user's own throws that doesn't override `get_config`: StateError.
[[noreturn]] void not_serializable(const char* what, const std::string& class_name);

/// {"module", "class_name", "config", "registered_name"}: how Keras writes an object into a configuration.
Config object_config(const std::string& module, const std::string& class_name, Config config);

}  // namespace kiln::internal
