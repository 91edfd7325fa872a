// Makes docs/COVERAGE.md: Keras's vocabulary, and for each name how many tests that passed show what.
//
//     coverage [--check] VOCABULARY.json PAGE.md REPORT.json...
//
// Reports are what gtest's --gtest_output=json writes; tests mark names by `covers`
// (tests/support/coverage.h). With --check nothing is written: it fails if the page isn't what it would
// write, or a name lacks a mark.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace {

using nlohmann::json;

/// Name ("Layers/Dense") and mark to the tests that show it, golden ones and others.
struct Count {
  int golden = 0, own = 0;
};
using Counts = std::map<std::pair<std::string, std::string>, Count>;

json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("can't read " + path);
  return json::parse(file);
}

void add_report(const json& report, Counts& counts) {
  static const std::string prefix = "covers ";
  for (const json& suite : report.at("testsuites")) {
    const bool golden = suite.at("name").get<std::string>().find("Golden") != std::string::npos;
    for (const json& test : suite.at("testsuite")) {
      if (test.contains("failures") || test.at("result") != "COMPLETED") continue;
      for (const auto& [key, value] : test.items()) {
        if (!key.starts_with(prefix)) continue;
        std::istringstream marks(value.get<std::string>());
        for (std::string mark; marks >> mark;) {
          Count& count = counts[{key.substr(prefix.size()), mark}];
          (golden ? count.golden : count.own)++;
        }
      }
    }
  }
}

std::string cell(const Count& count) {
  if (count.golden > 0) return std::to_string(count.golden);
  return count.own > 0 ? "own test" : "";
}

struct Page {
  std::string text;
  std::vector<std::string> lacking;  ///< marks that no test shows, or that the vocabulary doesn't know
};

/// Marks of tests that are misspelt, or of names that aren't in the vocabulary.
std::vector<std::string> unknown_marks(const json& vocabulary, const Counts& counts) {
  std::vector<std::string> unknown;
  for (const auto& [key, count] : counts) {
    bool known = false;
    for (const json& section : vocabulary.at("sections"))
      for (const json& name : section.at("names"))
        for (const json& mark : section.at("marks"))
          known =
              known || (key.first == section.at("name").get<std::string>() + "/" + name.get<std::string>() &&
                        key.second == mark.get<std::string>());
    if (!known) unknown.push_back(key.first + " " + key.second + " (the vocabulary has no such mark)");
  }
  return unknown;
}

Page make_page(const json& vocabulary, const Counts& counts) {
  Page page{.text = "", .lacking = unknown_marks(vocabulary, counts)};
  page.text =
      "# Keras's vocabulary, and what is tested\n\n"
      "Made by `./dev coverage` from the tests that ran; don't edit. A number is how many tests compare the "
      "name\n"
      "with real Keras ([tests/golden](../tests/golden/README.md)): its results (forward), the gradients of "
      "all\n"
      "inputs and weights, its configuration, read and written back. \"own test\": compared with its "
      "definition,\n"
      "with numerical gradients, or by hand. What draws random numbers is compared with Keras at inference, "
      "and in\n"
      "training by its statistics.\n";
  const json& without = vocabulary.at("without");
  for (const json& section : vocabulary.at("sections")) {
    const std::string title = section.at("name");
    const json& names = section.at("names");
    page.text += fmt::format("\n## {} ({})\n\n| |", title, names.size());
    for (const json& mark : section.at("marks")) page.text += fmt::format(" {} |", mark.get<std::string>());
    page.text += "\n| --- |";
    for (std::size_t i = 0; i < section.at("marks").size(); i++) page.text += " --- |";
    page.text += "\n";
    std::vector<std::string> notes;
    for (const json& entry : names) {
      const std::string name = entry, full = title + "/" + name;
      page.text += fmt::format("| {} |", name);
      for (const json& m : section.at("marks")) {
        const std::string mark = m, key = full + " " + mark;
        const auto found = counts.find({full, mark});
        if (found != counts.end()) {
          page.text += fmt::format(" {} |", cell(found->second));
        } else if (without.contains(key)) {
          page.text += " - |";
          notes.push_back(fmt::format("{}, {}: {}", name, mark, without[key].get<std::string>()));
        } else {
          page.text += "  |";
          page.lacking.push_back(key);
        }
      }
      page.text += "\n";
    }
    if (!notes.empty()) page.text += "\n";
    for (const std::string& note : notes) page.text += fmt::format("- {}\n", note);
    if (section.contains("not_yet")) {
      std::string list;
      for (const json& name : section["not_yet"])
        list += (list.empty() ? "" : ", ") + name.get<std::string>();
      page.text += fmt::format("\nNot there yet: {}.\n", list);
    }
    if (section.contains("later")) {
      std::string list;
      for (const json& name : section["later"]) list += (list.empty() ? "" : ", ") + name.get<std::string>();
      page.text += fmt::format("\nKeras has besides: {}.\n", list);
    }
  }
  return page;
}

int run(std::vector<std::string> arguments) {
  const bool check = !arguments.empty() && arguments[0] == "--check";
  if (check) arguments.erase(arguments.begin());
  if (arguments.size() < 3)
    throw std::runtime_error("usage: coverage [--check] VOCABULARY.json PAGE.md REPORT.json...");
  Counts counts;
  for (std::size_t i = 2; i < arguments.size(); i++) add_report(read_json(arguments[i]), counts);
  const Page page = make_page(read_json(arguments[0]), counts);
  for (const std::string& lacking : page.lacking) fmt::print(stderr, "no test that ran shows: {}\n", lacking);
  if (!check) {
    std::ofstream file(arguments[1]);
    file << page.text;
    if (!file.flush()) throw std::runtime_error("can't write " + arguments[1]);
  } else {
    std::ifstream file(arguments[1]);
    const std::string there{std::istreambuf_iterator<char>(file), {}};
    if (there != page.text) {
      fmt::print(stderr, "{} isn't what these tests show; run ./dev coverage and commit it\n", arguments[1]);
      return 1;
    }
  }
  return page.lacking.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "coverage: {}\n", error.what());
    return 2;
  }
}
