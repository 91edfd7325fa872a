#include "api/support/names.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln::internal {
namespace {

bool upper(char c) {
  return std::isupper(static_cast<unsigned char>(c)) != 0;
}
bool lower(char c) {
  return std::islower(static_cast<unsigned char>(c)) != 0;
}

// Levenshtein distance in halves of a letter: a letter in the other case counts as one half. So "Adam" is
// near to "adam", but "AUC", an abbreviation, is not near to "acc".
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); j++) row[j] = 2 * j;
  for (std::size_t i = 1; i <= a.size(); i++) {
    std::size_t diagonal = row[0];
    row[0] = 2 * i;
    for (std::size_t j = 1; j <= b.size(); j++) {
      const bool same = std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                        std::tolower(static_cast<unsigned char>(b[j - 1]));
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : same ? 1 : 2);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 2, row[j - 1] + 2});
    }
  }
  return row[b.size()];
}

// What others call it: names by which users of other libraries look for things that have another name here.
constexpr std::pair<std::string_view, std::string_view> other_names[] = {
    {"cross_entropy", "categorical_crossentropy"},
    {"crossentropy", "categorical_crossentropy"},
    {"sparse_crossentropy", "sparse_categorical_crossentropy"},
    {"sparse_cross_entropy", "sparse_categorical_crossentropy"},
    {"binary_cross_entropy", "binary_crossentropy"},
    {"log_loss", "binary_crossentropy"},
    {"l1_loss", "mean_absolute_error"},
    {"l2_loss", "mean_squared_error"},
    {"mse_loss", "mean_squared_error"},
    {"xavier", "glorot_uniform"},
    {"xavier_uniform", "glorot_uniform"},
    {"xavier_normal", "glorot_normal"},
    {"kaiming", "he_uniform"},
    {"kaiming_uniform", "he_uniform"},
    {"kaiming_normal", "he_normal"},
};

std::mutex names_mutex;
std::map<std::string, int>& name_counts() {
  static std::map<std::string, int> counts;
  return counts;
}

}  // namespace

std::string snake_case(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); i++) {
    const bool starts_word = i + 1 < name.size() && upper(name[i]) && lower(name[i + 1]);
    const bool after_lower = i > 0 && lower(name[i - 1]) && upper(name[i]);
    if (i > 0 && (starts_word || after_lower)) out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

std::string unique_name(const std::string& stem) {
  const std::lock_guard lock(names_mutex);
  const int n = name_counts()[stem]++;
  return n == 0 ? stem : fmt::format("{}_{}", stem, n);
}

void reset_unique_names() {
  const std::lock_guard lock(names_mutex);
  name_counts().clear();
}

std::string plain_class_name(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                    std::free);
  std::string name = status == 0 ? text.get() : mangled;
  name.erase(std::min(name.find('<'), name.size()));
  const std::size_t colon = name.rfind(':');
  if (colon != std::string::npos) name.erase(0, colon + 1);
  if (name.size() > 4 && name.ends_with("Impl")) name.erase(name.size() - 4);
  return name;
}

std::string_view nearest_name(std::string_view given, std::span<const std::string_view> known) {
  std::string_view best;
  for (const auto& [other, ours] : other_names)
    if (given == other && std::find(known.begin(), known.end(), ours) != known.end()) return ours;
  // More than half the letters wrong is no misspelling.
  std::size_t best_distance = std::max<std::size_t>(2, given.size()) + 1;
  for (std::string_view name : known) {
    const std::size_t distance = edit_distance(given, name);
    if (distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string quoted_list(std::span<const std::string_view> names) {
  std::string out;
  for (std::string_view name : names) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", name);
  return out;
}

void unknown_name(std::string_view what, std::string_view given, std::span<const std::string_view> known) {
  const std::string_view near = nearest_name(given, known);
  throw ValueError(fmt::format("{} \"{}\" is not known.{} Known names: {}.", what, given,
                               near.empty() ? "" : fmt::format(" Did you mean \"{}\"?", near),
                               quoted_list(known)));
}

}  // namespace kiln::internal
