#pragma once
#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/support/fields.h"
#include "api/support/names.h"

namespace kiln::internal {

/// What can be made from its name or from a configuration: the initializers, the losses, ...
template <class Handle>
class Registry {
 public:
  using Make = std::function<Handle(Fields&)>;

  /// `what` stands in messages: "initializer".
  explicit Registry(std::string what) : what_(std::move(what)) {}

  /// `names`: the class's name, then the others that Keras accepts.
  void add(std::vector<std::string> names, Make make) {
    entries_.push_back({std::move(names), std::move(make)});
  }
  bool knows(const std::string& name) const { return find(name) != nullptr; }

  /// With the default arguments. Throws ValueError for an unknown name, with the nearest one.
  Handle from_name(const std::string& name) const { return make(name, Config::Dict()); }

  /// From what `object_config` gives, or from a name. Throws ValueError or TypeError for anything else.
  Handle from_config(const Config& config) const {
    if (config.is_string()) return from_name(config.as_string());
    const Config* arguments = config.find("config");
    return make(config.at("class_name").as_string(), arguments == nullptr ? Config::Dict() : *arguments);
  }

  Handle make(const std::string& name, const Config& arguments) const {
    if (const Entry* entry = find(name)) {
      Fields fields(entry->names.front(), arguments);
      Handle handle = entry->make(fields);
      fields.finish();
      return handle;
    }
    std::vector<std::string_view> known;
    for (const Entry& entry : entries_) known.insert(known.end(), entry.names.begin(), entry.names.end());
    unknown_name(what_, name, known);
  }

 private:
  struct Entry {
    std::vector<std::string> names;
    Make make;
  };
  const Entry* find(const std::string& name) const {
    for (const Entry& entry : entries_)
      if (std::find(entry.names.begin(), entry.names.end(), name) != entry.names.end()) return &entry;
    return nullptr;
  }

  std::string what_;
  std::vector<Entry> entries_;
};

/// An object's configuration, from a function that names its arguments.
template <class Object>
Config config_of(const Object& object) {
  Object copy = object;  // `fields` takes references, as it reads as well
  Fields fields;
  copy.fields(fields);
  return fields.config();
}

}  // namespace kiln::internal
