// Arrays as C source for the programs beside this file.
#pragma once
#include <kiln/kiln.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

class CFile {
 public:
  explicit CFile(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
    if (file_ == nullptr) throw kiln::FileError("can't write " + path);
  }
  ~CFile() { std::fclose(file_); }
  CFile(const CFile&) = delete;
  CFile& operator=(const CFile&) = delete;

  void define(const char* name, std::int64_t number) {
    std::fprintf(file_, "#define %s %lld\n", name, static_cast<long long>(number));
  }
  void bytes(const char* name, const kiln::Tensor& numbers) {
    std::fprintf(file_, "static const unsigned char %s[%lld] = {", name,
                 static_cast<long long>(numbers.size()));
    std::int64_t n = 0;
    for (const int byte : numbers.to_vector<int>()) std::fprintf(file_, "%s%d,", n++ % 28 ? "" : "\n", byte);
    std::fprintf(file_, "\n};\n");
  }

 private:
  std::FILE* file_;
};

/// The class with the highest score of each row.
inline kiln::Tensor best_of(const kiln::Tensor& scores) {
  std::vector<int> classes;
  for (std::int64_t i = 0; i < scores.dim(0); i++) {
    const std::vector<float> row = scores.slice(i, i + 1).to_vector<float>();
    classes.push_back(static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin()));
  }
  return kiln::Tensor(classes);
}
