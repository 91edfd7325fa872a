// Accuracy of the generated maths: f32 against libm's double, f64 against its long double, over the whole
// range.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Op;
using Wide = long double;

template <class T>
constexpr DType type_of = dtype_of<T>;
constexpr std::int64_t block = 4099;  // full vectors and a tail

Kernel unary_kernel(Op op, DType dtype, int lanes) {
  const Var i = make_var("i", block);
  Kernel k{.name = "unary", .buffers = {{dtype, block, false, false}, {dtype, block, true, false}}};
  k.body = {vector_loop(i, lanes, {store(1, i, apply(op, {load(0, dtype, i)}))})};
  return k;
}
Kernel binary_kernel(Op op, DType dtype, int lanes) {
  const Var i = make_var("i", block);
  Kernel k{
      .name = "binary",
      .buffers = {{dtype, block, false, false}, {dtype, block, false, false}, {dtype, block, true, false}}};
  k.body = {vector_loop(i, lanes, {store(2, i, apply(op, {load(0, dtype, i), load(1, dtype, i)}))})};
  return k;
}

/// The distance in units of the reference's last place as a T; beyond the largest number the places go on.
template <class T>
double ulps(T got, Wide reference) {
  using limits = std::numeric_limits<T>;
  if (std::isnan(reference)) return std::isnan(got) ? 0 : INFINITY;
  if (std::isnan(got)) return INFINITY;
  const T rounded = static_cast<T>(reference);
  if (got == rounded) return 0;
  if (std::isinf(reference)) return INFINITY;
  const int exponent =
      reference == 0 ? limits::min_exponent - 1
                     : std::clamp(std::ilogb(reference), limits::min_exponent - 1, limits::max_exponent - 1);
  const Wide place = std::ldexp(Wide(1), exponent - (limits::digits - 1));
  const Wide value =
      std::isinf(got) ? std::copysign(std::ldexp(Wide(1), limits::max_exponent), Wide(got)) : Wide(got);
  return static_cast<double>(std::fabs(value - reference) / place);
}

template <class T>
std::vector<T> special_values() {
  using limits = std::numeric_limits<T>;
  std::vector<T> values = {0,
                           limits::denorm_min(),
                           limits::min(),
                           limits::max(),
                           limits::infinity(),
                           1,
                           2,
                           0.5,
                           1.5,
                           3,
                           10,
                           20,
                           88,
                           89,
                           104,
                           T(88.72),
                           T(88.73),
                           700,
                           710,
                           745,
                           750,
                           T(1e4),
                           T(1e10),
                           T(1e30),
                           limits::epsilon(),
                           T(0.34657359),
                           T(0.7071067),
                           T(1.4142135),
                           T(1.5707963267948966),
                           T(3.141592653589793),
                           T(0x1p30),
                           T(0x1p30) * T(1.0001),
                           T(6.0221409e23)};
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(std::nextafter(values[i], T(0)));
    values.push_back(std::nextafter(values[i], limits::infinity()));
  }
  const std::size_t positive = values.size();
  for (std::size_t i = 0; i < positive; ++i) values.push_back(-values[i]);
  values.push_back(limits::quiet_NaN());
  return values;
}

/// Bit patterns over the whole range, and numbers of ordinary size.
template <class T>
std::vector<T> sample(std::size_t count, unsigned seed) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::mt19937_64 random(seed);
  std::normal_distribution<T> normal(0, 3);
  std::vector<T> x = special_values<T>();
  for (std::size_t i = 0; i < count; ++i) {
    x.push_back(std::bit_cast<T>(static_cast<Bits>(random())));
    x.push_back(normal(random));
    x.push_back(normal(random) * T(0.01));
  }
  while (x.size() % block != 0) x.push_back(1);
  return x;
}
/// Every 1009th of the floats.
std::vector<float> all_floats() {
  std::vector<float> x = special_values<float>();
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 1009) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  while (x.size() % block != 0) x.push_back(1);
  return x;
}

template <class T>
bool same_bits(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Runs op over x with vectors and with scalars, which must agree to the bit, and gives the largest error.
template <class T>
void expect_accurate(Op op, const std::vector<T>& x, double bound, const std::function<Wide(T)>& reference,
                     const Target& target = Target::host()) {
  const RunnableKernel vectors(unary_kernel(op, type_of<T>, target.lanes(type_of<T>)), target);
  const RunnableKernel scalars(unary_kernel(op, type_of<T>, 1), target);
  std::vector<T> y(x.size()), z(static_cast<std::size_t>(block));
  double worst = 0;
  T at = 0;
  for (std::size_t i = 0; i < x.size(); i += block) {
    vectors({const_cast<T*>(&x[i]), &y[i]});
    if (i / block % 8 == 0) {  // a tail that isn't a multiple of lanes is in each of them
      scalars({const_cast<T*>(&x[i]), z.data()});
      for (std::size_t j = 0; j < z.size(); ++j) {
        ASSERT_TRUE(same_bits(y[i + j], z[j]))
            << graph::op_name(op) << "(" << x[i + j] << "): " << y[i + j] << " " << z[j];
      }
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], reference(x[i]));
    if (error > worst) {
      worst = error;
      at = x[i];
    }
  }
  EXPECT_LE(worst, bound) << graph::op_name(op) << " of " << name(type_of<T>) << " at " << std::hexfloat
                          << at;
  ::testing::Test::RecordProperty(std::string(graph::op_name(op)) + "_" + std::string(short_name(type_of<T>)),
                                std::to_string(worst));
  if (std::getenv("KILN_TEST_VERBOSE") != nullptr) {
    std::printf("%-8s %s  %.3f ulp at %a\n", std::string(graph::op_name(op)).c_str(),
                std::string(short_name(type_of<T>)).c_str(), worst, static_cast<double>(at));
  }
}

struct Function {
  Op op;
  double bound, bound_f64;
  double (*in_double)(double);
  Wide (*in_long_double)(Wide);
};
template <class T>
T sigmoid(T x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
#define LIBM(f) \
  [](double x) { return static_cast<double>(f(x)); }, [](Wide x) { return static_cast<Wide>(f(x)); }
const Function functions[] = {
    {Op::exp, 1, 1, LIBM(std::exp)},       {Op::expm1, 2, 2, LIBM(std::expm1)},
    {Op::log, 1, 1, LIBM(std::log)},       {Op::log1p, 1, 1, LIBM(std::log1p)},
    {Op::sqrt, 0.5, 0.5, LIBM(std::sqrt)}, {Op::rsqrt, 1.5, 1.5, LIBM(1 / std::sqrt)},
    {Op::tanh, 3, 3, LIBM(std::tanh)},     {Op::sigmoid, 3, 3, LIBM(sigmoid)},
    {Op::erf, 2, 5, LIBM(std::erf)},       {Op::sin, 1, 1, LIBM(std::sin)},
    {Op::cos, 1, 1, LIBM(std::cos)},       {Op::floor, 0, 0, LIBM(std::floor)},
    {Op::ceil, 0, 0, LIBM(std::ceil)},     {Op::round, 0, 0, LIBM(std::nearbyint)},
};
#undef LIBM

TEST(Math, SinglePrecisionOverTheWholeRange) {
  const std::vector<float> x = all_floats();
  for (const Function& f : functions) {
    expect_accurate<float>(f.op, x, f.bound, [&](float v) { return Wide(f.in_double(v)); });
  }
}

TEST(Math, SinglePrecisionOfOrdinaryNumbers) {
  const std::vector<float> x = sample<float>(100000, 1);
  for (const Function& f : functions) {
    expect_accurate<float>(f.op, x, f.bound, [&](float v) { return Wide(f.in_double(v)); });
  }
}

TEST(Math, DoublePrecision) {
  const std::vector<double> x = sample<double>(60000, 2);
  for (const Function& f : functions) {
    expect_accurate<double>(f.op, x, f.bound_f64, [&](double v) { return f.in_long_double(v); });
  }
}

TEST(Math, TrigonometryNearMultiplesOfHalfPi) {
  // Where almost everything cancels: the doubles next to n pi/2, and the worst case known for doubles.
  std::vector<double> x = {0x1.6ac5b262ca1ffp+849, 6381956970095103.0 * 0x1p797};
  for (int n = 1; n < 3000; ++n) {
    const double near = static_cast<double>(Wide(n) * n * 1.5707963267948966192313216916397514L);
    for (double v : {near, std::nextafter(near, 0), std::nextafter(near, 1e300)}) x.push_back(v);
  }
  while (x.size() % block != 0) x.push_back(1);
  for (const Target& target : targets()) {
    if (target.vector_bits < 256 && target.has_fma) continue;  // the widest, and those without multiply-add
    expect_accurate<double>(Op::sin, x, 1, [](double v) { return std::sin(Wide(v)); }, target);
    expect_accurate<double>(Op::cos, x, 1, [](double v) { return std::cos(Wide(v)); }, target);
  }
}

template <class T>
void expect_binary(Op op, double bound, const std::vector<T>& x, const std::vector<T>& y,
                   Wide (*reference)(Wide, Wide), const Target& target = Target::host()) {
  const RunnableKernel vectors(binary_kernel(op, type_of<T>, target.lanes(type_of<T>)), target);
  const RunnableKernel scalars(binary_kernel(op, type_of<T>, 1), target);
  std::vector<T> z(x.size()), s(x.size());
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < x.size(); i += block) {
    vectors({const_cast<T*>(&x[i]), const_cast<T*>(&y[i]), &z[i]});
    scalars({const_cast<T*>(&x[i]), const_cast<T*>(&y[i]), &s[i]});
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(same_bits(z[i], s[i])) << graph::op_name(op) << "(" << x[i] << ", " << y[i] << ")";
    const Wide exact = reference(x[i], y[i]);
    if (!std::isnan(exact) && exact == 0) {
      EXPECT_EQ(std::signbit(z[i]), std::signbit(exact))
          << graph::op_name(op) << "(" << x[i] << ", " << y[i] << ")";
    }
    const double error = ulps(z[i], exact);
    if (error > worst) {
      worst = error;
      at = i;
    }
  }
  EXPECT_LE(worst, bound) << graph::op_name(op) << "(" << std::hexfloat << x[at] << ", " << y[at]
                          << ") = " << z[at] << ", not " << reference(x[at], y[at]);
  if (std::getenv("KILN_TEST_VERBOSE") != nullptr) {
    std::printf("%-8s %s  %.3f ulp\n", std::string(graph::op_name(op)).c_str(),
                std::string(short_name(type_of<T>)).c_str(), worst);
  }
}

/// Every pair of special values, random bits, powers whose results are finite.
template <class T>
void expect_binary_accurate(Op op, double bound, Wide (*reference)(Wide, Wide),
                            const Target& target = Target::host()) {
  std::vector<T> x, y;
  for (T a : special_values<T>()) {
    for (T b : special_values<T>()) {
      x.push_back(a);
      y.push_back(b);
    }
  }
  const std::vector<T> a = sample<T>(20000, 3), b = sample<T>(20000, 4);
  for (std::size_t i = 0; i < a.size(); ++i) {
    x.push_back(a[i]);
    y.push_back(b[i]);
    // a^b anywhere between 0 and infinity, whatever a
    x.push_back(std::fabs(a[i]));
    y.push_back(static_cast<T>(b[i] / std::log(std::fabs(Wide(a[i]))) * 20));
    x.push_back(1 + b[b.size() - 1 - i] * T(1e-4));
    y.push_back(static_cast<T>(std::round(a[i])));
  }
  while (x.size() % block != 0) {
    x.push_back(1);
    y.push_back(1);
  }
  expect_binary<T>(op, bound, x, y, reference, target);
}

TEST(Math, Powers) {
  expect_binary_accurate<float>(Op::pow, 1, [](Wide x, Wide y) { return std::pow(x, y); });
  expect_binary_accurate<double>(Op::pow, 1.5, [](Wide x, Wide y) { return std::pow(x, y); });
}

TEST(Math, Remainders) {
  expect_binary_accurate<float>(Op::rem, 0, [](Wide x, Wide y) { return std::fmod(x, y); });
  expect_binary_accurate<double>(Op::rem, 0, [](Wide x, Wide y) { return std::fmod(x, y); });
}

// The oldest CPUs: without fused multiply-adds exact products are made by halves, and polynomials round twice
// a step; whole numbers are made by sums.
TEST(Math, WithoutMultiplyAddAndRounding) {
  if (Target::host().triple.find("x86_64") != 0) GTEST_SKIP() << "no CPU of this kind is without them";
  const Target target = Target::host(0, "x86-64");
  const std::vector<float> x = sample<float>(20000, 5);
  const std::vector<double> wide = sample<double>(20000, 6);
  for (const Function& f : functions) {
    expect_accurate<float>(f.op, x, f.bound, [&](float v) { return Wide(f.in_double(v)); }, target);
    expect_accurate<double>(f.op, wide, f.bound_f64, [&](double v) { return f.in_long_double(v); }, target);
  }
  for (Op op : {Op::pow, Op::rem}) {
    const auto reference = op == Op::pow ? [](Wide a, Wide b) { return std::pow(a, b); }
                                         : [](Wide a, Wide b) { return std::fmod(a, b); };
    expect_binary_accurate<float>(op, op == Op::pow ? 1 : 0, reference, target);
    expect_binary_accurate<double>(op, op == Op::pow ? 1.5 : 0, reference, target);
  }
}

TEST(Math, SignsOfZero) {
  for (Op op : {Op::expm1, Op::log1p, Op::tanh, Op::erf, Op::sin, Op::sqrt, Op::floor, Op::ceil, Op::round}) {
    std::vector<float> x(block, -0.0F), y(block);
    const RunnableKernel run(unary_kernel(op, DType::f32, 16));
    run({x.data(), y.data()});
    EXPECT_TRUE(y[0] == 0 && std::signbit(y[0])) << graph::op_name(op);
  }
}

TEST(Math, NeverLeavesItsRange) {
  const std::vector<float> x = all_floats();
  const RunnableKernel tanh(unary_kernel(Op::tanh, DType::f32, 16)),
      erf(unary_kernel(Op::erf, DType::f32, 16)), sigmoid(unary_kernel(Op::sigmoid, DType::f32, 16)),
      sin(unary_kernel(Op::sin, DType::f32, 16));
  std::vector<float> y(block);
  for (std::size_t i = 0; i < x.size(); i += block) {
    for (const RunnableKernel* run : {&tanh, &erf, &sigmoid, &sin}) {
      (*run)({const_cast<float*>(&x[i]), y.data()});
      for (float v : y) ASSERT_FALSE(std::fabs(v) > 1) << v;
    }
    sigmoid({const_cast<float*>(&x[i]), y.data()});
    for (float v : y) ASSERT_FALSE(v < 0);
  }
}

TEST(Math, NoCallRemains) {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (const Target& target : targets()) {
      for (const Function& f : functions) {
        const Listing listing = list_kernel(unary_kernel(f.op, dtype, target.lanes(dtype)), target);
        EXPECT_TRUE(listing.undefined_symbols.empty())
            << graph::op_name(f.op) << " calls " << listing.undefined_symbols.front();
        EXPECT_EQ(listing.assembly.find("\tcall"), std::string::npos) << graph::op_name(f.op);
      }
      for (Op op : {Op::pow, Op::rem, Op::maximum, Op::div}) {
        const Listing listing = list_kernel(binary_kernel(op, dtype, target.lanes(dtype)), target);
        EXPECT_TRUE(listing.undefined_symbols.empty())
            << graph::op_name(op) << " calls " << listing.undefined_symbols.front();
      }
    }
  }
}

}  // namespace
}  // namespace kiln::codegen
