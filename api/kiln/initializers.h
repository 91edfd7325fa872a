#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kiln/config.h"
#include "kiln/runtime/tensor.h"

namespace kiln {

/// How a weight gets its first values. Derive from this for an initializer of your own and wrap it:
/// `Initializer(std::make_shared<Mine>())`.
class KILN_API InitializerImpl {
 public:
  virtual ~InitializerImpl();
  /// A new tensor of that shape.
  virtual Tensor operator()(const Shape& shape, DType dtype) const = 0;
  /// "GlorotUniform": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;
};

/// A handle to an initializer, made from an object of namespace `initializers` or from its name
/// (`"glorot_uniform"`, `"zeros"`, ...). Throws ValueError for an unknown name.
class KILN_API Initializer {
 public:
  Initializer(const char* name);
  Initializer(const std::string& name);
  /// Throws StateError for an empty pointer.
  Initializer(std::shared_ptr<const InitializerImpl> impl);

  /// A new tensor of that shape.
  Tensor operator()(const Shape& shape, DType dtype = DType::f32) const;
  std::string class_name() const;
  /// The arguments by Keras's names; see InitializerImpl.
  Config get_config() const;

 private:
  std::shared_ptr<const InitializerImpl> impl_;
};

/// Keras's initializers. `seed`: with one, every call gives the same values; without, values come from the
/// global seed (`set_random_seed`) and differ from call to call.
///
/// For a weight of shape (in, out), fan_in = in and fan_out = out; for a convolution's kernel
/// (height, width, in, out), fan_in = height * width * in and fan_out = height * width * out.
namespace initializers {

struct RandomNormalArgs {
  double mean = 0;
  double stddev = 0.05;
  std::optional<std::int64_t> seed = {};
};
struct RandomUniformArgs {
  double minval = -0.05;
  double maxval = 0.05;
  std::optional<std::int64_t> seed = {};
};
struct VarianceScalingArgs {
  double scale = 1;
  std::string mode = "fan_in";                    ///< "fan_in", "fan_out", "fan_avg"
  std::string distribution = "truncated_normal";  ///< "truncated_normal", "untruncated_normal", "uniform"
  std::optional<std::int64_t> seed = {};
};
struct OrthogonalArgs {
  double gain = 1;
  std::optional<std::int64_t> seed = {};
};
struct SeedArgs {
  std::optional<std::int64_t> seed = {};
};

KILN_API Initializer Zeros();
KILN_API Initializer Ones();
/// Every element `value`.
KILN_API Initializer Constant(double value = 0);
/// Normal, of that mean and standard deviation.
KILN_API Initializer RandomNormal(RandomNormalArgs args = {});
/// Uniform in [minval, maxval).
KILN_API Initializer RandomUniform(RandomUniformArgs args = {});
/// Normal; values further than two standard deviations from the mean are drawn again.
KILN_API Initializer TruncatedNormal(RandomNormalArgs args = {});
/// Variance scale / n with n = fan_in, fan_out or their mean. The truncated normal's standard deviation is
/// sqrt(scale / n) / 0.8796..., so that the variance after truncation is right; uniform in +-sqrt(3 scale /
/// n).
KILN_API Initializer VarianceScaling(VarianceScalingArgs args = {});
/// Uniform in +-sqrt(6 / (fan_in + fan_out)).
KILN_API Initializer GlorotUniform(SeedArgs args = {});
/// Truncated normal, variance 2 / (fan_in + fan_out).
KILN_API Initializer GlorotNormal(SeedArgs args = {});
/// Uniform in +-sqrt(6 / fan_in).
KILN_API Initializer HeUniform(SeedArgs args = {});
/// Truncated normal, variance 2 / fan_in.
KILN_API Initializer HeNormal(SeedArgs args = {});
/// Uniform in +-sqrt(3 / fan_in).
KILN_API Initializer LecunUniform(SeedArgs args = {});
/// Truncated normal, variance 1 / fan_in.
KILN_API Initializer LecunNormal(SeedArgs args = {});
/// gain times a matrix with orthonormal rows or columns (whichever are fewer); axes but the last are one.
/// Throws ShapeError for rank below 2.
KILN_API Initializer Orthogonal(OrthogonalArgs args = {});
/// gain times the identity matrix, with zeros right of it or below it if the weight isn't square. Throws
/// ShapeError for another rank than 2.
KILN_API Initializer Identity(double gain = 1);

/// The whole of an initializer, class and arguments, as Keras writes it; and one from that, or from its name.
/// Throws ValueError for a class or an argument that isn't known.
KILN_API Config serialize(const Initializer& initializer);
KILN_API Initializer deserialize(const Config& config);

}  // namespace initializers
}  // namespace kiln
