#include "kiln/initializers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "api/support/handles.h"
#include "api/support/names.h"
#include "api/support/random.h"

namespace kiln {

InitializerImpl::~InitializerImpl() = default;

namespace initializers {
namespace {

using internal::RandomSequence;

struct Fans {
  double in, out;
};

Fans fans(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  if (shape.rank() == 1) return {static_cast<double>(shape[0]), static_cast<double>(shape[0])};
  const double receptive_field = static_cast<double>(shape.slice(0, shape.rank() - 2).elements());
  return {receptive_field * static_cast<double>(shape.dim(-2)),
          receptive_field * static_cast<double>(shape.dim(-1))};
}

// Fills a tensor with next() in row-major order.
template <class F>
Tensor filled(const Shape& shape, DType dtype, F next) {
  Tensor t(shape, dtype);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = t.data<T>();
    for (std::int64_t i = 0; i < t.size(); i++) p[i] = static_cast<T>(next());
  });
  return t;
}

class ConstantImpl final : public InitializerImpl {
 public:
  explicit ConstantImpl(double value) : value_(value) {}
  Tensor operator()(const Shape& shape, DType dtype) const override {
    return Tensor::full(shape, value_, dtype);
  }

 private:
  double value_;
};

// Those that draw from a sequence of random numbers.
class RandomImpl : public InitializerImpl {
 public:
  explicit RandomImpl(std::optional<std::int64_t> seed) : seed_(seed) {}
  Tensor operator()(const Shape& shape, DType dtype) const final {
    RandomSequence random(seed_ ? *seed_ : internal::next_seed());
    return draw(shape, dtype, random);
  }
  virtual Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const = 0;

 private:
  std::optional<std::int64_t> seed_;
};

Tensor draw_normal(const Shape& shape, DType dtype, RandomSequence& random, double mean, double stddev) {
  return filled(shape, dtype, [&] { return mean + stddev * random.normal(); });
}
Tensor draw_truncated(const Shape& shape, DType dtype, RandomSequence& random, double mean, double stddev) {
  return filled(shape, dtype, [&] {
    double z = random.normal();
    while (std::abs(z) > 2) z = random.normal();
    return mean + stddev * z;
  });
}
Tensor draw_uniform(const Shape& shape, DType dtype, RandomSequence& random, double low, double high) {
  return filled(shape, dtype, [&] { return low + (high - low) * random.uniform(); });
}

class NormalImpl final : public RandomImpl {
 public:
  NormalImpl(const RandomNormalArgs& args, bool truncated)
      : RandomImpl(args.seed), mean_(args.mean), stddev_(args.stddev), truncated_(truncated) {}
  Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const override {
    return (truncated_ ? draw_truncated : draw_normal)(shape, dtype, random, mean_, stddev_);
  }

 private:
  double mean_, stddev_;
  bool truncated_;
};

class UniformImpl final : public RandomImpl {
 public:
  explicit UniformImpl(const RandomUniformArgs& args)
      : RandomImpl(args.seed), low_(args.minval), high_(args.maxval) {}
  Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const override {
    return draw_uniform(shape, dtype, random, low_, high_);
  }

 private:
  double low_, high_;
};

class VarianceScalingImpl final : public RandomImpl {
 public:
  explicit VarianceScalingImpl(VarianceScalingArgs args) : RandomImpl(args.seed), args_(std::move(args)) {
    static constexpr std::array<std::string_view, 3> modes = {"fan_in", "fan_out", "fan_avg"};
    static constexpr std::array<std::string_view, 4> distributions = {
        "truncated_normal", "untruncated_normal", "normal", "uniform"};
    if (!(args_.scale > 0))
      throw ValueError(fmt::format("VarianceScaling: scale must be positive, not {}", args_.scale));
    if (std::find(modes.begin(), modes.end(), args_.mode) == modes.end())
      internal::unknown_name("VarianceScaling: mode", args_.mode, modes);
    if (std::find(distributions.begin(), distributions.end(), args_.distribution) == distributions.end())
      internal::unknown_name("VarianceScaling: distribution", args_.distribution, distributions);
  }
  Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const override {
    const Fans fan = fans(shape);
    const double n = args_.mode == "fan_in"    ? fan.in
                     : args_.mode == "fan_out" ? fan.out
                                               : (fan.in + fan.out) / 2;
    const double variance = args_.scale / std::max(1.0, n);
    if (args_.distribution == "uniform") {
      const double limit = std::sqrt(3 * variance);
      return draw_uniform(shape, dtype, random, -limit, limit);
    }
    if (args_.distribution == "untruncated_normal")
      return draw_normal(shape, dtype, random, 0, std::sqrt(variance));
    // The standard deviation of a standard normal cut at +-2.
    constexpr double truncated_stddev = 0.87962566103423978;
    return draw_truncated(shape, dtype, random, 0, std::sqrt(variance) / truncated_stddev);
  }

 private:
  VarianceScalingArgs args_;
};

class OrthogonalImpl final : public RandomImpl {
 public:
  explicit OrthogonalImpl(const OrthogonalArgs& args) : RandomImpl(args.seed), gain_(args.gain) {}
  Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const override {
    if (shape.rank() < 2)
      throw ShapeError(fmt::format("Orthogonal: the weight needs two axes or more, but its shape is {}",
                                   shape.to_string()));
    const std::int64_t columns = shape.back();
    const std::int64_t rows = shape.elements() / std::max<std::int64_t>(1, columns);
    // Gram and Schmidt over the shorter side's vectors, each made orthogonal to those before it twice
    // (once leaves the rounding errors of nearly parallel vectors). Normal draws have no preferred
    // direction, so the result is uniformly distributed over the orthogonal matrices.
    const std::int64_t count = std::min(rows, columns);
    const std::int64_t length = std::max(rows, columns);
    std::vector<std::vector<double>> basis;
    for (std::int64_t i = 0; i < count; i++) {
      std::vector<double> v(static_cast<std::size_t>(length));
      for (double& x : v) x = random.normal();
      for (int pass = 0; pass < 2; pass++)
        for (const auto& b : basis) subtract_projection(v, b);
      normalize(v);
      basis.push_back(std::move(v));
    }
    std::int64_t at = 0;
    return filled(shape, dtype, [&] {
      const std::size_t row = static_cast<std::size_t>(at / columns);
      const std::size_t column = static_cast<std::size_t>(at % columns);
      at++;
      return gain_ * (rows <= columns ? basis[row][column] : basis[column][row]);
    });
  }

 private:
  static double product(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
    return sum;
  }
  static void subtract_projection(std::vector<double>& v, const std::vector<double>& unit) {
    const double length = product(v, unit);
    for (std::size_t i = 0; i < v.size(); i++) v[i] -= length * unit[i];
  }
  static void normalize(std::vector<double>& v) {
    const double norm = std::sqrt(product(v, v));
    for (double& x : v) x /= norm;
  }

  double gain_;
};

Initializer scaling(double scale, const char* mode, const char* distribution, SeedArgs args) {
  return VarianceScaling({.scale = scale, .mode = mode, .distribution = distribution, .seed = args.seed});
}

}  // namespace

Initializer Zeros() {
  return Constant(0);
}
Initializer Ones() {
  return Constant(1);
}
Initializer Constant(double value) {
  return Initializer(std::make_shared<ConstantImpl>(value));
}
Initializer RandomNormal(RandomNormalArgs args) {
  return Initializer(std::make_shared<NormalImpl>(args, false));
}
Initializer RandomUniform(RandomUniformArgs args) {
  return Initializer(std::make_shared<UniformImpl>(args));
}
Initializer TruncatedNormal(RandomNormalArgs args) {
  return Initializer(std::make_shared<NormalImpl>(args, true));
}
Initializer VarianceScaling(VarianceScalingArgs args) {
  return Initializer(std::make_shared<VarianceScalingImpl>(std::move(args)));
}
Initializer GlorotUniform(SeedArgs args) {
  return scaling(1, "fan_avg", "uniform", args);
}
Initializer GlorotNormal(SeedArgs args) {
  return scaling(1, "fan_avg", "truncated_normal", args);
}
Initializer HeUniform(SeedArgs args) {
  return scaling(2, "fan_in", "uniform", args);
}
Initializer HeNormal(SeedArgs args) {
  return scaling(2, "fan_in", "truncated_normal", args);
}
Initializer LecunUniform(SeedArgs args) {
  return scaling(1, "fan_in", "uniform", args);
}
Initializer LecunNormal(SeedArgs args) {
  return scaling(1, "fan_in", "truncated_normal", args);
}
Initializer Orthogonal(OrthogonalArgs args) {
  return Initializer(std::make_shared<OrthogonalImpl>(args));
}

namespace {

struct Named {
  std::string_view name;
  Initializer (*make)();
};

constexpr std::array<Named, 32> by_name = {{
    {"zeros", [] { return Zeros(); }},
    {"zero", [] { return Zeros(); }},
    {"Zeros", [] { return Zeros(); }},
    {"ones", [] { return Ones(); }},
    {"one", [] { return Ones(); }},
    {"Ones", [] { return Ones(); }},
    {"random_normal", [] { return RandomNormal(); }},
    {"normal", [] { return RandomNormal(); }},
    {"RandomNormal", [] { return RandomNormal(); }},
    {"random_uniform", [] { return RandomUniform(); }},
    {"uniform", [] { return RandomUniform(); }},
    {"RandomUniform", [] { return RandomUniform(); }},
    {"truncated_normal", [] { return TruncatedNormal(); }},
    {"TruncatedNormal", [] { return TruncatedNormal(); }},
    {"variance_scaling", [] { return VarianceScaling(); }},
    {"VarianceScaling", [] { return VarianceScaling(); }},
    {"glorot_uniform", [] { return GlorotUniform(); }},
    {"GlorotUniform", [] { return GlorotUniform(); }},
    {"glorot_normal", [] { return GlorotNormal(); }},
    {"GlorotNormal", [] { return GlorotNormal(); }},
    {"he_uniform", [] { return HeUniform(); }},
    {"HeUniform", [] { return HeUniform(); }},
    {"he_normal", [] { return HeNormal(); }},
    {"HeNormal", [] { return HeNormal(); }},
    {"lecun_uniform", [] { return LecunUniform(); }},
    {"LecunUniform", [] { return LecunUniform(); }},
    {"lecun_normal", [] { return LecunNormal(); }},
    {"LecunNormal", [] { return LecunNormal(); }},
    {"orthogonal", [] { return Orthogonal(); }},
    {"Orthogonal", [] { return Orthogonal(); }},
    {"constant", [] { return Constant(0); }},
    {"Constant", [] { return Constant(0); }},
}};

}  // namespace
}  // namespace initializers

Initializer::Initializer(const std::string& name) {
  std::vector<std::string_view> known;
  for (const auto& entry : initializers::by_name) {
    if (entry.name == name) {
      *this = entry.make();
      return;
    }
    known.push_back(entry.name);
  }
  internal::unknown_name("initializer", name, known);
}
Initializer::Initializer(const char* name) : Initializer(internal::given_name("initializer", name)) {}
Initializer::Initializer(std::shared_ptr<const InitializerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "an Initializer")) {}

Tensor Initializer::operator()(const Shape& shape, DType dtype) const {
  return internal::used(impl_, "Initializer")(shape, dtype);
}

}  // namespace kiln
