#include "kiln/logs.h"

#include "api/support/names.h"

namespace kiln {

const double* Logs::find(std::string_view name) const {
  for (const Item& item : items_)
    if (item.first == name) return &item.second;
  return nullptr;
}

double Logs::operator[](std::string_view name) const {
  if (const double* value = find(name)) return *value;
  std::vector<std::string_view> known;
  for (const Item& item : items_) known.push_back(item.first);
  internal::unknown_name("logs: the name", name, known);
}

void Logs::set(std::string_view name, double value) {
  for (Item& item : items_) {
    if (item.first == name) {
      item.second = value;
      return;
    }
  }
  items_.emplace_back(std::string(name), value);
}

}  // namespace kiln
