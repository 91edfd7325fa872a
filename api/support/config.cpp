#include "kiln/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace kiln {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void wrong_kind(const Config& config, const char* expected) {
  throw TypeError(fmt::format("a configuration has {} where {} is expected", config.to_json(), expected));
}

}  // namespace

Config::Config(const char* text) : value_(std::string(text)) {}
Config::Config(std::string text) : value_(std::move(text)) {}
Config::Config(List list) : value_(std::move(list)) {}
Config::Config(Dict dict) : value_(std::move(dict)) {}
Config::Config(const Config& other) = default;
Config::Config(Config&& other) noexcept = default;
Config& Config::operator=(const Config& other) = default;
Config& Config::operator=(Config&& other) noexcept = default;
Config::~Config() = default;

bool Config::as_bool() const {
  if (!is_bool()) wrong_kind(*this, "true or false");
  return std::get<bool>(value_);
}
std::int64_t Config::as_int() const {
  if (is_int()) return std::get<std::int64_t>(value_);
  const double* number = std::get_if<double>(&value_);
  constexpr double most = 1LL << 53;  // from there on not every whole number is a double
  if (number == nullptr || *number != std::floor(*number) || std::abs(*number) > most)
    wrong_kind(*this, "a whole number");
  return static_cast<std::int64_t>(*number);
}
double Config::as_number() const {
  if (!is_number()) wrong_kind(*this, "a number");
  return is_int() ? static_cast<double>(std::get<std::int64_t>(value_)) : std::get<double>(value_);
}
const std::string& Config::as_string() const {
  if (!is_string()) wrong_kind(*this, "a text");
  return std::get<std::string>(value_);
}
const Config::List& Config::as_list() const {
  if (!is_list()) wrong_kind(*this, "a list");
  return std::get<List>(value_);
}
const Config::Dict& Config::as_dict() const {
  if (!is_dict()) wrong_kind(*this, "a dictionary");
  return std::get<Dict>(value_);
}

Config& Config::operator[](std::string_view key) {
  if (is_null()) value_ = Dict();
  as_dict();
  Dict& dict = std::get<Dict>(value_);
  for (auto& [name, value] : dict)
    if (name == key) return value;
  return dict.emplace_back(std::string(key), Config()).second;
}
const Config* Config::find(std::string_view key) const {
  for (const auto& [name, value] : as_dict())
    if (name == key) return &value;
  return nullptr;
}
const Config& Config::at(std::string_view key) const {
  if (const Config* value = find(key)) return *value;
  throw ValueError(fmt::format("a configuration lacks the key \"{}\": {}", key, to_json()));
}

bool operator==(const Config& a, const Config& b) {
  if (a.is_number() && b.is_number())
    return a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_number() == b.as_number();
  if (!a.is_dict() || !b.is_dict()) return a.value_ == b.value_;
  const auto has_equal = [&](const auto& entry) {
    const Config* other = b.find(entry.first);
    return other != nullptr && *other == entry.second;
  };
  return a.as_dict().size() == b.as_dict().size() &&
         std::all_of(a.as_dict().begin(), a.as_dict().end(), has_equal);
}

// ---- JSON -------------------------------------------------------------------------------------------------

namespace {

Json json_of(const Config& config) {
  if (config.is_bool()) return config.as_bool();
  if (config.is_int()) return config.as_int();
  if (config.is_number()) return config.as_number();
  if (config.is_string()) return config.as_string();
  if (config.is_list()) {
    Json list = Json::array();
    for (const Config& item : config.as_list()) list.push_back(json_of(item));
    return list;
  }
  if (config.is_dict()) {
    Json dict = Json::object();
    for (const auto& [key, value] : config.as_dict()) dict[key] = json_of(value);
    return dict;
  }
  return nullptr;
}

constexpr int deepest = 1000;  // so that no text makes the stack overflow

Config config_of(const Json& json, int depth = 0) {
  if (depth > deepest) throw ValueError(fmt::format("this JSON is nested more than {} times", deepest));
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    Config::List list;
    for (const Json& item : json) list.push_back(config_of(item, depth + 1));
    return list;
  }
  if (json.is_object()) {
    Config::Dict dict;
    for (const auto& [key, value] : json.items()) dict.emplace_back(key, config_of(value, depth + 1));
    return dict;
  }
  return nullptr;
}

}  // namespace

std::string Config::to_json(int indent) const {
  return json_of(*this).dump(indent, ' ', false, Json::error_handler_t::replace);
}
Config Config::from_json(std::string_view text) {
  try {
    return config_of(Json::parse(text));
  } catch (const Json::exception& e) {
    throw ValueError(fmt::format("this is no JSON: {}", e.what()));
  }
}

}  // namespace kiln
