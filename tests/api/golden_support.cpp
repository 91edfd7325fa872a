#include <cmath>
#include <fstream>

#include "tests/support/golden.h"

namespace kiln::testing {

nlohmann::json golden_index(const std::string& file, const std::string& part) {
  std::ifstream stream(std::string(KILN_GOLDEN_DIR) + "/" + file + ".json");
  return nlohmann::json::parse(stream).at(part);
}

Shape to_shape(const nlohmann::json& sizes) { return Shape(sizes.get<std::vector<std::int64_t>>()); }

double relative_error(const Tensor& got, const Tensor& want, double least) {
  if (got.shape() != want.shape())
    throw ShapeError("got " + got.shape().to_string() + ", expected " + want.shape().to_string());
  const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); i++) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), least);
}

}  // namespace kiln::testing
