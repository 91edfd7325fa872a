#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/support/golden.h"
#include "tests/support/hash_data.h"

namespace kiln::testing {

nlohmann::json golden_index(const std::string& file, const std::string& part) {
  std::ifstream stream(std::string(KILN_GOLDEN_DIR) + "/" + file + ".json");
  return nlohmann::json::parse(stream).at(part);
}

Shape to_shape(const nlohmann::json& sizes) {
  return Shape(sizes.get<std::vector<std::int64_t>>());
}

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

double update_error(const Tensor& before, const Tensor& after, const Golden& golden,
                    const std::string& prefix) {
  const std::vector<double> a = before.to_vector<double>(), b = after.to_vector<double>();
  std::vector<double> update(a.size());
  for (std::size_t i = 0; i < a.size(); i++) update[i] = b[i] - a[i];

  const Tensor& stored = golden[prefix + "/update"];
  const std::vector<double> expected = stored.to_vector<double>();
  const bool sampled = stored.size() != before.size();
  const HashSequence sample("sample");
  double difference = 0, expected_squares = 0, squares = 0;
  for (std::size_t k = 0; k < expected.size(); k++) {
    const std::size_t i =
        sampled
            ? static_cast<std::size_t>(sample[static_cast<std::int64_t>(k)] * static_cast<double>(a.size()))
            : k;
    difference += (update[i] - expected[k]) * (update[i] - expected[k]);
    expected_squares += expected[k] * expected[k];
  }
  for (double u : update) squares += u * u;

  const double norm = golden[prefix + "/norm"].item();
  const Tensor& projections = golden[prefix + "/projections"];
  double projected = 0;
  for (std::int64_t j = 0; j < projections.size(); j++) {
    const HashSequence direction(fmt::format("projection/{}", j));
    double p = 0;
    for (std::size_t i = 0; i < update.size(); i++)
      p += (2 * direction[static_cast<std::int64_t>(i)] - 1) * update[i];
    projected += (p - projections(j)) * (p - projections(j));
  }
  return std::max({std::sqrt(difference / expected_squares),
                   std::sqrt(3 * projected / static_cast<double>(projections.size())) / norm,
                   std::abs(std::sqrt(squares) / norm - 1)});
}

}  // namespace kiln::testing
