#include "kiln/initializers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "api/support/handles.h"
#include "api/support/names.h"
#include "api/support/random.h"
#include "api/support/registry.h"

namespace kiln {

InitializerImpl::~InitializerImpl() = default;
std::string InitializerImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config InitializerImpl::get_config() const {
  internal::not_serializable("initializer", class_name());
}

namespace initializers {
namespace {

using internal::Fields;
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

class ConstantImpl : public InitializerImpl {
 public:
  explicit ConstantImpl(double value) : value_(value) {}
  Tensor operator()(const Shape& shape, DType dtype) const override {
    return Tensor::full(shape, value_, dtype);
  }
  Config get_config() const override { return Config::Dict{{"value", value_}}; }

 private:
  double value_;
};

class ZerosImpl final : public ConstantImpl {
 public:
  ZerosImpl() : ConstantImpl(0) {}
  Config get_config() const override { return Config::Dict(); }
};
class OnesImpl final : public ConstantImpl {
 public:
  OnesImpl() : ConstantImpl(1) {}
  Config get_config() const override { return Config::Dict(); }
};

class IdentityImpl final : public InitializerImpl {
 public:
  explicit IdentityImpl(double gain) : gain_(gain) {}
  Tensor operator()(const Shape& shape, DType dtype) const override {
    if (shape.rank() != 2)
      throw ShapeError(
          fmt::format("Identity: the weight must be a matrix, but its shape is {}", shape.to_string()));
    std::int64_t at = 0;
    return filled(shape, dtype, [&] {
      const std::int64_t row = at / shape[1], column = at % shape[1];
      at++;
      return row == column ? gain_ : 0;
    });
  }
  // Keras leaves the gain out of its own.
  Config get_config() const override { return gain_ == 1 ? Config::Dict() : Config::Dict{{"gain", gain_}}; }

 private:
  double gain_;
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
  Config get_config() const final {
    Config config = arguments();
    config["seed"] = internal::to_config(seed_);
    return config;
  }
  /// All but the seed.
  virtual Config arguments() const = 0;

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
  std::string class_name() const override { return truncated_ ? "TruncatedNormal" : "RandomNormal"; }
  Config arguments() const override { return Config::Dict{{"mean", mean_}, {"stddev", stddev_}}; }

 private:
  double mean_, stddev_;
  bool truncated_;
};

class RandomUniformImpl final : public RandomImpl {
 public:
  explicit RandomUniformImpl(const RandomUniformArgs& args)
      : RandomImpl(args.seed), low_(args.minval), high_(args.maxval) {}
  Tensor draw(const Shape& shape, DType dtype, RandomSequence& random) const override {
    return draw_uniform(shape, dtype, random, low_, high_);
  }
  Config arguments() const override { return Config::Dict{{"minval", low_}, {"maxval", high_}}; }

 private:
  double low_, high_;
};

/// `preset`: the class of Keras's that has these arguments for good, such as GlorotUniform; null for none.
class VarianceScalingImpl final : public RandomImpl {
 public:
  VarianceScalingImpl(VarianceScalingArgs args, const char* preset)
      : RandomImpl(args.seed), args_(std::move(args)), preset_(preset) {
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
  std::string class_name() const override { return preset_ != nullptr ? preset_ : "VarianceScaling"; }
  Config arguments() const override {
    if (preset_ != nullptr) return Config::Dict();
    return Config::Dict{{"scale", args_.scale}, {"mode", args_.mode}, {"distribution", args_.distribution}};
  }

 private:
  VarianceScalingArgs args_;
  const char* preset_;
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
  Config arguments() const override { return Config::Dict{{"gain", gain_}}; }

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

Initializer scaling(const char* preset, double scale, const char* mode, const char* distribution,
                    SeedArgs args) {
  return Initializer(std::make_shared<VarianceScalingImpl>(
      VarianceScalingArgs{.scale = scale, .mode = mode, .distribution = distribution, .seed = args.seed},
      preset));
}

}  // namespace

Initializer Zeros() {
  return Initializer(std::make_shared<ZerosImpl>());
}
Initializer Ones() {
  return Initializer(std::make_shared<OnesImpl>());
}
Initializer Constant(double value) {
  return Initializer(std::make_shared<ConstantImpl>(value));
}
Initializer RandomNormal(RandomNormalArgs args) {
  return Initializer(std::make_shared<NormalImpl>(args, false));
}
Initializer RandomUniform(RandomUniformArgs args) {
  return Initializer(std::make_shared<RandomUniformImpl>(args));
}
Initializer TruncatedNormal(RandomNormalArgs args) {
  return Initializer(std::make_shared<NormalImpl>(args, true));
}
Initializer VarianceScaling(VarianceScalingArgs args) {
  return Initializer(std::make_shared<VarianceScalingImpl>(std::move(args), nullptr));
}
Initializer GlorotUniform(SeedArgs args) {
  return scaling("GlorotUniform", 1, "fan_avg", "uniform", args);
}
Initializer GlorotNormal(SeedArgs args) {
  return scaling("GlorotNormal", 1, "fan_avg", "truncated_normal", args);
}
Initializer HeUniform(SeedArgs args) {
  return scaling("HeUniform", 2, "fan_in", "uniform", args);
}
Initializer HeNormal(SeedArgs args) {
  return scaling("HeNormal", 2, "fan_in", "truncated_normal", args);
}
Initializer LecunUniform(SeedArgs args) {
  return scaling("LecunUniform", 1, "fan_in", "uniform", args);
}
Initializer LecunNormal(SeedArgs args) {
  return scaling("LecunNormal", 1, "fan_in", "truncated_normal", args);
}
Initializer Orthogonal(OrthogonalArgs args) {
  return Initializer(std::make_shared<OrthogonalImpl>(args));
}

Initializer Identity(double gain) {
  return Initializer(std::make_shared<IdentityImpl>(gain));
}

namespace {

template <Initializer (*make)(SeedArgs)>
Initializer seeded(Fields& f) {
  SeedArgs args;
  f("seed", args.seed);
  return make(args);
}
template <Initializer (*make)(RandomNormalArgs)>
Initializer normal(Fields& f) {
  RandomNormalArgs args;
  f("mean", args.mean)("stddev", args.stddev)("seed", args.seed);
  return make(args);
}

const internal::Registry<Initializer>& registry() {
  static const auto registry = [] {
    internal::Registry<Initializer> r("initializer");
    r.add({"Zeros", "zeros", "zero"}, [](Fields&) { return Zeros(); });
    r.add({"Ones", "ones", "one"}, [](Fields&) { return Ones(); });
    r.add({"Constant", "constant"}, [](Fields& f) {
      double value = 0;
      f("value", value);
      return Constant(value);
    });
    r.add({"RandomNormal", "random_normal", "normal"}, normal<RandomNormal>);
    r.add({"TruncatedNormal", "truncated_normal"}, normal<TruncatedNormal>);
    r.add({"RandomUniform", "random_uniform", "uniform"}, [](Fields& f) {
      RandomUniformArgs args;
      f("minval", args.minval)("maxval", args.maxval)("seed", args.seed);
      return RandomUniform(args);
    });
    r.add({"VarianceScaling", "variance_scaling"}, [](Fields& f) {
      VarianceScalingArgs args;
      f("scale", args.scale)("mode", args.mode)("distribution", args.distribution)("seed", args.seed);
      return VarianceScaling(args);
    });
    r.add({"GlorotUniform", "glorot_uniform"}, seeded<GlorotUniform>);
    r.add({"GlorotNormal", "glorot_normal"}, seeded<GlorotNormal>);
    r.add({"HeUniform", "he_uniform"}, seeded<HeUniform>);
    r.add({"HeNormal", "he_normal"}, seeded<HeNormal>);
    r.add({"LecunUniform", "lecun_uniform"}, seeded<LecunUniform>);
    r.add({"LecunNormal", "lecun_normal"}, seeded<LecunNormal>);
    r.add({"Orthogonal", "orthogonal", "OrthogonalInitializer"}, [](Fields& f) {
      OrthogonalArgs args;
      f("gain", args.gain)("seed", args.seed);
      return Orthogonal(args);
    });
    r.add({"Identity", "identity", "IdentityInitializer"}, [](Fields& f) {
      double gain = 1;
      f("gain", gain);
      return Identity(gain);
    });
    return r;
  }();
  return registry;
}

}  // namespace

Config serialize(const Initializer& initializer) {
  return internal::object_config("keras.initializers", initializer.class_name(), initializer.get_config());
}
Initializer deserialize(const Config& config) {
  return registry().from_config(config);
}

}  // namespace initializers

Initializer::Initializer(const std::string& name) : Initializer(initializers::registry().from_name(name)) {}
Initializer::Initializer(const char* name) : Initializer(internal::given_name("initializer", name)) {}
Initializer::Initializer(std::shared_ptr<const InitializerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "an Initializer")) {}

Tensor Initializer::operator()(const Shape& shape, DType dtype) const {
  return internal::used(impl_, "Initializer")(shape, dtype);
}
std::string Initializer::class_name() const {
  return internal::used(impl_, "Initializer").class_name();
}
Config Initializer::get_config() const {
  return internal::used(impl_, "Initializer").get_config();
}

}  // namespace kiln
