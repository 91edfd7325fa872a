#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "kiln/files/safetensors.h"

/// The files of tests/golden: what real Keras computes. Their README.md says what is in them.
namespace kiln::testing {

/// tests/golden/NAME.safetensors
class Golden {
 public:
  explicit Golden(const std::string& name)
      : path_(std::string(KILN_GOLDEN_DIR) + "/" + name + ".safetensors"),
        file_(files::load_safetensors(path_)) {}

  /// Throws ValueError if there is no such tensor: golden values that nobody compares are no oracle.
  const Tensor& operator[](const std::string& name) const {
    const Tensor* found = file_.find(name);
    if (!found) throw ValueError(path_ + " holds no tensor '" + name + "'");
    return *found;
  }
  bool contains(const std::string& name) const { return file_.find(name) != nullptr; }

 private:
  std::string path_;
  files::Safetensors file_;
};

/// One list of cases of a JSON file: `golden_index("layers", "losses")` is an array of objects.
nlohmann::json golden_index(const std::string& file, const std::string& part);

/// JSON array of sizes as a shape.
Shape to_shape(const nlohmann::json& sizes);

/// ||got - want|| / max(||want||, least); the shapes must be equal.
double relative_error(const Tensor& got, const Tensor& want, double least = 1e-150);

/// How far an update is from Keras's, relative to the norm of Keras's: by the elements that are stored, by
/// random projections of all elements (each differs by about 1/sqrt(3) of the norm of the error), and by its
/// norm.
double update_error(const Tensor& before, const Tensor& after, const Golden& golden,
                    const std::string& prefix);

}  // namespace kiln::testing
