#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

/// The examples' command line: `--epochs 3 --train-samples 1000`.
struct Options {
  Options(int argc, char** argv) : argc_(argc), argv_(argv) {}

  std::string text(const std::string& name, const std::string& standard) const {
    for (int i = 1; i + 1 < argc_; i++)
      if (argv_[i] == "--" + name) return argv_[i + 1];
    return standard;
  }
  std::int64_t number(const std::string& name, std::int64_t standard) const {
    return std::atoll(text(name, std::to_string(standard)).c_str());
  }
  double real(const std::string& name, double standard) const {
    const std::string given = text(name, "");
    return given.empty() ? standard : std::atof(given.c_str());
  }

 private:
  int argc_;
  char** argv_;
};
