// Exported Dense layers leave out the weights of inputs that are zero: the same bits as predict's, which
// reads all.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include <kiln/kiln.h>

#include "tests/embedded/loaded.h"
#include "tests/support/bits.h"
#include "tests/support/random_tensor.h"

namespace kiln {
namespace {

using namespace kiln::testing;

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

Sequential dense_layer(std::int64_t inputs, std::int64_t units) {
  set_random_seed(1);
  return Sequential({layers::Input({inputs}), layers::Dense(units, {.activation = "tanh"})});
}

/// What the exported model gives for one row.
class Exported {
 public:
  explicit Exported(const Model& model) {
    model.export_library(folder_ / "net", {});
    library_.emplace(folder_, "net");
    const std::string header = read_file(folder_ / "net.h");
    scratch_.resize(static_cast<std::size_t>(macro(header, "NET_SCRATCH_BYTES")) / sizeof(double) + 1);
    units_ = model.output().shape()[1];
  }
  Tensor operator()(const Tensor& x) {
    Tensor y({1, units_}, DType::f32);
    auto* predict = library_->find<std::int32_t(const float*, float*, void*)>("net_predict");
    EXPECT_EQ(predict(x.data<float>(), y.data<float>(), scratch_.data()), 0);
    return y;
  }

 private:
  TemporaryFolder folder_;
  std::optional<Loaded> library_;
  std::vector<double> scratch_;
  std::int64_t units_ = 0;
};

/// Zeros of both signs among random numbers.
Tensor row(std::int64_t length, double zeros) {
  RandomNumbers random(9);
  Tensor x = random.tensor({1, length}, -1, 1, DType::f32);
  for (std::int64_t i = 0; i < length; i++)
    if (random.chance(zeros)) x.data<float>()[i] = i % 2 == 0 ? 0.0F : -0.0F;
  return x;
}

TEST(SparseRow, HasTheBitsOfPredict) {
  for (const std::int64_t length : {50, 128, 300})
    for (const std::int64_t units : {256, 301, 1100}) {
      const Sequential model = dense_layer(length, units);
      Exported exported(model);
      for (const double zeros : {0.0, 0.5, 0.95, 1.0}) {
        const Tensor x = row(length, zeros);
        EXPECT_TRUE(same_bits(exported(x), model.predict(x, {.verbose = 0})))
            << length << " by " << units << ", " << zeros;
      }
    }
}

// Zero times infinity is NaN, and NaN isn't zero.
TEST(SparseRow, LosesNoNaN) {
  const Sequential model = dense_layer(64, 300);
  Tensor x = row(64, 0.5);
  x.data<float>()[5] = nan;
  const Tensor y = Exported(model)(x);
  EXPECT_TRUE(std::isnan(y.data<float>()[0]) && std::isnan(y.data<float>()[299]));

  std::vector<Tensor> weights = model.layers()[0].get_weights();
  weights[0].data<float>()[5 * 300 + 7] = inf;
  model.layers()[0].set_weights(weights);
  x.data<float>()[5] = 0;
  const Tensor z = Exported(model)(x);
  EXPECT_TRUE(std::isnan(z.data<float>()[7]));
  EXPECT_FALSE(std::isnan(z.data<float>()[8]));
}

}  // namespace
}  // namespace kiln
