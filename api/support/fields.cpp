#include "api/support/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/support/names.h"

namespace kiln::internal {

// ---- arguments --------------------------------------------------------------------------------------------

Config to_config(bool value) {
  return value;
}
Config to_config(int value) {
  return value;
}
Config to_config(std::int64_t value) {
  return value;
}
Config to_config(double value) {
  return value;
}
Config to_config(const std::string& value) {
  return value;
}
Config to_config(DType value) {
  return object_config("keras", "DTypePolicy", Config::Dict{{"name", std::string(name(value))}});
}
Config to_config(const Shape& value) {
  Config::List list;
  for (std::int64_t n : value) list.push_back(n == None ? Config() : Config(n));
  return list;
}
Config to_config(const Axes& value) {
  return value.size() == 1 ? to_config(value[0]) : to_config(value.values());
}
Config to_config(const Numbers& value) {
  return value.is_list() ? to_config(value.values()) : to_config(value.values()[0]);
}
Config to_config(const Size2& value) {
  return Config::List{value.height, value.width};
}
Config to_config(const Size3& value) {
  return Config::List{value.depth, value.height, value.width};
}
Config to_config(const Initializer& value) {
  return initializers::serialize(value);
}
Config to_config(const Regularizer& value) {
  return regularizers::serialize(value);
}
Config to_config(const Constraint& value) {
  return constraints::serialize(value);
}
Config to_config(const LearningRate& value) {
  return value.is_schedule() ? optimizers::schedules::serialize(value.schedule()) : Config(value.rate());
}
Config to_config(const activations::Function& value) {
  if (value.name() == "custom")
    throw StateError(
        "an activation that is a function of your own can't be written into a configuration; make it a layer "
        "of your own with a `get_config`");
  return value.name();
}

void from_config(const Config& config, bool& value) {
  value = config.as_bool();
}
void from_config(const Config& config, int& value) {
  const std::int64_t number = config.as_int();
  value = static_cast<int>(number);
  if (value != number) throw ValueError(fmt::format("{} is too large", number));
}
void from_config(const Config& config, std::int64_t& value) {
  value = config.as_int();
}
void from_config(const Config& config, double& value) {
  value = config.as_number();
}
void from_config(const Config& config, std::string& value) {
  value = config.as_string();
}
void from_config(const Config& config, DType& value) {
  // A name, or Keras's policy, which holds one.
  const std::string& given =
      config.is_dict() ? config.at("config").at("name").as_string() : config.as_string();
  static constexpr std::array types = {DType::f32, DType::f64, DType::i32,
                                       DType::i64, DType::u8,  DType::bool_};
  std::vector<std::string_view> known;
  for (DType type : types) {
    if (name(type) == given) {
      value = type;
      return;
    }
    known.push_back(name(type));
  }
  unknown_name("dtype", given, known);
}
void from_config(const Config& config, Shape& value) {
  value = Shape();
  for (const Config& n : config.as_list()) value.push_back(n.is_null() ? None : n.as_int());
}

void from_config(const Config& config, std::vector<std::int64_t>& values) {
  if (config.is_number() && !values.empty()) {
    std::fill(values.begin(), values.end(), config.as_int());
    return;
  }
  values.clear();
  for (const Config& n : config.as_list()) values.push_back(n.as_int());
}
void from_config(const Config& config, Axes& value) {
  std::vector<std::int64_t> axes;
  if (config.is_list())
    from_config(config, axes);
  else
    axes = {config.as_int()};
  value = Axes(std::move(axes));
}
void from_config(const Config& config, Numbers& value) {
  if (!config.is_list()) {
    value = config.as_number();
    return;
  }
  std::vector<double> numbers;
  for (const Config& number : config.as_list()) numbers.push_back(number.as_number());
  value = Numbers(std::move(numbers));
}

namespace {

std::vector<std::int64_t> sizes(const Config& config, std::size_t count) {
  if (config.is_number()) return std::vector<std::int64_t>(count, config.as_int());
  std::vector<std::int64_t> result;
  from_config(config, result);
  if (result.size() != count)
    throw ValueError(fmt::format("{} should have {} numbers", config.to_json(), count));
  return result;
}

}  // namespace

void from_config(const Config& config, Size2& value) {
  const std::vector<std::int64_t> s = sizes(config, 2);
  value = {s[0], s[1]};
}
void from_config(const Config& config, Size3& value) {
  const std::vector<std::int64_t> s = sizes(config, 3);
  value = {s[0], s[1], s[2]};
}
void from_config(const Config& config, activations::Function& value) {
  value = config.is_null() ? activations::Function() : activations::Function(config.as_string());
}

void from_config(const Config& config, Initializer& value) {
  value = initializers::deserialize(config);
}
void from_config(const Config& config, Regularizer& value) {
  value = regularizers::deserialize(config);
}
void from_config(const Config& config, Constraint& value) {
  value = constraints::deserialize(config);
}
void from_config(const Config& config, LearningRate& value) {
  if (config.is_number())
    value = config.as_number();
  else
    value = optimizers::schedules::deserialize(config);
}

// ---- the dictionary ---------------------------------------------------------------------------------------

Fields::Fields(std::string owner, const Config& config)
    : reads_(true), owner_(std::move(owner)), config_(config) {
  if (!config.is_dict())
    throw TypeError(
        fmt::format("{}: its configuration must be a dictionary, not {}", owner_, config.to_json()));
}

const Config* Fields::take(const char* key) {
  known_.emplace_back(key);
  return config_.find(key);
}

const Config& Fields::all() {
  for (const auto& [key, value] : config_.as_dict()) known_.push_back(key);
  return config_;
}

Fields& Fields::only(const char* key, const Config& value) {
  if (!reads_) {
    config_[key] = value;
  } else if (const Config* given = take(key); given != nullptr && *given != value) {
    throw ValueError(fmt::format("{}: {} can only be {} here, but the configuration has {}", owner_, key,
                                 value.to_json(), given->to_json()));
  }
  return *this;
}

void Fields::finish() const {
  for (const auto& [key, value] : config_.as_dict()) {
    if (value.is_null() || std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::vector<std::string_view> known(known_.begin(), known_.end());
    unknown_name(owner_ + ": the argument", key, known);
  }
}

void Fields::wrong(const char* key, const Error& error) const {
  throw ValueError(fmt::format("{}: {} in its configuration: {}", owner_, key, error.what()));
}
void Fields::lacks(const char* key) const {
  throw ValueError(fmt::format("{}: its configuration lacks \"{}\"", owner_, key));
}

void not_serializable(const char* what, const std::string& class_name) {
  throw StateError(
      fmt::format("the {} {} can't be written into a configuration: its class doesn't override `get_config`",
                  what, class_name));
}

Config object_config(const std::string& module, const std::string& class_name, Config config) {
  return Config::Dict{{"module", module},
                      {"class_name", class_name},
                      {"config", std::move(config)},
                      {"registered_name", nullptr}};
}

}  // namespace kiln::internal
