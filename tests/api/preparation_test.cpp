// What arrays go through before they train: categories, norms, splits, scaling, whitening.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "tests/api/support.h"

namespace kiln::data {
namespace {

using testing::expect_near;
using testing::floats;
using testing::message_of;
using Floats = std::vector<float>;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ToCategorical, NumbersBecomeRows) {
  const Tensor one_hot = utils::to_categorical(Tensor({2, 0, 1}));
  EXPECT_EQ(one_hot.shape(), (Shape{3, 3}));
  EXPECT_EQ(one_hot.dtype(), DType::f32);
  EXPECT_EQ(floats(one_hot), (Floats{0, 0, 1, 1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(utils::to_categorical(Tensor({{1.f}, {0.f}}), 4).shape(), (Shape{2, 4}));
  EXPECT_EQ(utils::to_categorical(Tensor({{1, 0}, {0, 1}})).shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(utils::to_categorical(Tensor::zeros({0}), 3).shape(), (Shape{0, 3}));
}

TEST(ToCategorical, Mistakes) {
  EXPECT_EQ(message_of<ValueError>([] { utils::to_categorical(Tensor({0, 3}), 3); }),
            "to_categorical: element 1 is 3; class numbers are whole numbers from 0 to 2 (num_classes=3)");
  EXPECT_EQ(message_of<ValueError>([] { utils::to_categorical(Tensor({0.5f}), 3); }),
            "to_categorical: element 0 is 0.5; class numbers are whole numbers from 0 to 2 (num_classes=3)");
  EXPECT_EQ(message_of<ValueError>([] { utils::to_categorical(Tensor({0, -1})); }),
            "to_categorical: element 1 is -1; class numbers are whole numbers from 0 to 1073741823");
  EXPECT_EQ(message_of<ValueError>([] { utils::to_categorical(Tensor({0}), 0); }),
            "to_categorical: num_classes must be at least 1, but it is 0");
  EXPECT_EQ(message_of<ShapeError>([] { utils::to_categorical(Tensor::zeros({0})); }),
            "to_categorical: x of shape (0,) has no numbers; give num_classes");
  EXPECT_EQ(message_of<ShapeError>([] { utils::to_categorical(Tensor()); }),
            "to_categorical: x is an empty Tensor; give class numbers");
}

TEST(Normalize, LengthsAlongEachAxis) {
  const Tensor x({{3.f, 4.f}, {0.f, 0.f}, {-5.f, 12.f}});
  expect_near(utils::normalize(x), {.6, .8, 0, 0, -5. / 13, 12. / 13});
  expect_near(utils::normalize(x, -1, 1), {3. / 7, 4. / 7, 0, 0, -5. / 17, 12. / 17});
  expect_near(utils::normalize(x, 1, kInfinity), {.75, 1, 0, 0, -5. / 12, 1});
  const double down = std::sqrt(34.), second = std::sqrt(160.);
  expect_near(utils::normalize(x, 0), {3 / down, 4 / second, 0, 0, -5 / down, 12 / second});
  const Tensor large(std::vector<double>{3e200, 4e200});
  EXPECT_EQ(utils::normalize(large).dtype(), DType::f64);
  expect_near(utils::normalize(large), {.6, .8});
  expect_near(utils::normalize(Tensor({3, 4})), {.6, .8});
}

TEST(Normalize, Mistakes) {
  EXPECT_EQ(message_of<ValueError>([] { utils::normalize(Tensor({1.f}), -1, 0); }),
            "normalize: order must be at least 1, but it is 0");
  EXPECT_EQ(message_of<ShapeError>([] { utils::normalize(Tensor::scalar(1)); }),
            "normalize: x has shape (), a single number; it needs an axis");
  EXPECT_EQ(message_of<ShapeError>([] { utils::normalize(Tensor()); }),
            "normalize: x is an empty Tensor; give numbers");
  EXPECT_THROW(utils::normalize(Tensor({1.f}), 1), ShapeError);
}

// ---- splits -----------------------------------------------------------------------------------------------

Tensor numbers(std::int64_t n) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < n; i++) v.push_back(static_cast<float>(i));
  return Tensor(v);
}

TEST(TrainTestSplit, RowsGoTogetherAndAllAreThere) {
  const Tensor x = numbers(20).reshape({10, 2}), y = numbers(10);
  auto [x_train, x_test, y_train, y_test] = train_test_split(x, y, {.test_size = 0.3, .seed = 1});
  EXPECT_EQ(x_train.shape(), (Shape{7, 2}));
  EXPECT_EQ(y_test.shape(), (Shape{3}));
  std::set<float> seen;
  for (const auto& [xs, ys] : {std::pair(x_train, y_train), std::pair(x_test, y_test)})
    for (std::int64_t i = 0; i < ys.dim(0); i++) {
      EXPECT_EQ(xs(i, 0), 2 * ys(i));
      seen.insert(static_cast<float>(ys(i)));
    }
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(floats(train_test_split(y, {.test_size = 0.3, .seed = 1})[1]), floats(y_test));
  EXPECT_NE(floats(train_test_split(y, {.test_size = 0.3, .seed = 2})[0]), floats(y_train));
}

TEST(TrainTestSplit, SizesAndOrder) {
  EXPECT_EQ(train_test_split(numbers(10))[1].size(), 3) << "a quarter, rounded up";
  EXPECT_EQ(train_test_split(numbers(30), {.test_size = 0.1})[1].size(), 3);
  EXPECT_EQ(train_test_split(numbers(10), {.test_size = 4})[1].size(), 4);
  const auto parts = train_test_split(numbers(5), {.test_size = 2, .shuffle = false});
  EXPECT_EQ(floats(parts[0]), (Floats{0, 1, 2}));
  EXPECT_EQ(floats(parts[1]), (Floats{3, 4}));
  EXPECT_EQ(train_test_split({numbers(4), numbers(4), numbers(4)}, {.seed = 1}).size(), 6u);
}

TEST(TrainTestSplit, StratifiedPartsHaveTheSameShares) {
  std::vector<std::int32_t> classes;
  for (int i = 0; i < 100; i++) classes.push_back(i < 60 ? 0 : i < 90 ? 1 : 2);
  const Tensor y(classes);
  for (std::int64_t seed = 0; seed < 5; seed++) {
    const auto parts = train_test_split(y, {.test_size = 0.2, .seed = seed, .stratify = y});
    std::vector<int> counts(3);
    for (int c : parts[1].to_vector<int>()) counts[static_cast<std::size_t>(c)]++;
    EXPECT_EQ(counts, (std::vector<int>{12, 6, 2}));
    EXPECT_EQ(parts[0].size(), 80);
  }
}

TEST(TrainTestSplit, Mistakes) {
  const auto value_error = [](const Tensor& x, SplitArgs args) {
    return message_of<ValueError>([&] { train_test_split(x, args); });
  };
  EXPECT_EQ(value_error(numbers(4), {.test_size = 0}),
            "train_test_split: test_size is 0; give a share in (0, 1) or a whole number of rows");
  EXPECT_EQ(value_error(numbers(4), {.test_size = 1.5}),
            "train_test_split: test_size is 1.5; give a share in (0, 1) or a whole number of rows");
  EXPECT_EQ(value_error(numbers(1), {}),
            "train_test_split: test_size=0.25 of 1 rows leaves 0 for training and 1 to test; both need at "
            "least one");
  EXPECT_EQ(
      value_error(numbers(4), {.test_size = 4}),
      "train_test_split: test_size=4 of 4 rows leaves 0 for training and 4 to test; both need at least one");
  EXPECT_EQ(value_error(numbers(4), {.shuffle = false, .stratify = numbers(4)}),
            "train_test_split: stratify picks rows at random, so it needs shuffle = true");
  EXPECT_EQ(
      value_error(numbers(4), {.stratify = Tensor({0, 1, 0, 0})}),
      "train_test_split: stratify has class 1 in one row only (row 1); each class needs two, one for each "
      "part");
  EXPECT_EQ(
      value_error(numbers(6), {.test_size = 2, .stratify = Tensor({0, 1, 2, 0, 1, 2})}),
      "train_test_split: stratify has 3 classes, but the parts have 4 and 2 rows; each class needs a row in "
      "both");
  const auto shape_error = [](auto f) { return message_of<ShapeError>(f); };
  EXPECT_EQ(shape_error([] { train_test_split(numbers(4), numbers(5)); }),
            "train_test_split: array 0 has 4 rows, but array 1 has 5; the same rows go together");
  EXPECT_EQ(shape_error([] { train_test_split(numbers(4), {.stratify = numbers(3)}); }),
            "train_test_split: stratify has shape (3,), but it needs one class for each of the 4 rows");
  EXPECT_EQ(shape_error([] { train_test_split(Tensor()); }),
            "train_test_split: array 0 is an empty Tensor; it must have rows");
  EXPECT_EQ(shape_error([] { train_test_split(std::vector<Tensor>()); }),
            "train_test_split: there are no arrays; give at least one");
}

TEST(Hstack, ColumnsBesideColumns) {
  const Tensor all = hstack({Tensor({{1.f, 2.f}, {3.f, 4.f}}), Tensor({5, 6})});
  EXPECT_EQ(all.shape(), (Shape{2, 3}));
  EXPECT_EQ(floats(all), (Floats{1, 2, 5, 3, 4, 6}));
  EXPECT_EQ(hstack({Tensor({1.f}), Tensor({1.0})}).dtype(), DType::f64);
  EXPECT_EQ(message_of<ShapeError>([] { hstack({Tensor({1.f}), Tensor({1.f, 2.f})}); }),
            "hstack: array 0 has 1 rows, but array 1 has 2; to put together what a key joins, use merge");
  EXPECT_EQ(message_of<ShapeError>([] { hstack({Tensor::zeros({1, 2, 3})}); }),
            "hstack: array 0 has shape (1, 2, 3); arrays must be (rows,) or (rows, columns)");
  EXPECT_EQ(message_of<ShapeError>([] { hstack(Tensors()); }),
            "hstack: there are no arrays; give at least one");
}

// ---- scalers ----------------------------------------------------------------------------------------------

TEST(MinMaxScaler, FitsOnTrainAndTransformsTest) {
  MinMaxScaler scaler;
  const Tensor train({{1.f, 100.f}, {3.f, 300.f}, {2.f, 100.f}}), test({{4.f, 0.f}});
  expect_near(scaler.fit_transform(train), {0, 0, 1, 1, .5, 0});
  expect_near(scaler.transform(test), {1.5, -.5});
  expect_near(scaler.inverse_transform(scaler.transform(test)), {4, 0});
  MinMaxScaler clipped({.lowest = -1, .highest = 1, .clip = true});
  expect_near(clipped.fit(train).transform(test), {1, -1});
  expect_near(clipped.transform(train), {-1, -1, 1, 1, 0, -1});
}

TEST(MinMaxScaler, ConstantColumnsAndMissingValues) {
  MinMaxScaler scaler({.lowest = 0.25});
  const Tensor x(std::vector<double>{1e15, 5, kNaN, 1e15, 7, kNaN, 1e15, kNaN, kNaN}, {3, 3});
  const Tensor y = scaler.fit_transform(x);
  EXPECT_EQ(y.dtype(), DType::f64);
  for (std::int64_t row = 0; row < 3; row++) {
    EXPECT_EQ(y(row, 0), 0.25);
    EXPECT_TRUE(std::isnan(y(row, 2)));
  }
  EXPECT_EQ(y(0, 1), 0.25);
  EXPECT_EQ(y(1, 1), 1);
  EXPECT_TRUE(std::isnan(y(2, 1)));
  EXPECT_EQ(scaler.inverse_transform(y)(1, 0), 1e15);
  EXPECT_EQ(scaler.inverse_transform(y)(1, 1), 7);
}

TEST(MinMaxScaler, RangesAtTheEdgeGiveNoNaN) {
  for (const double range : {5e-324, 1e-310, 1e308})
    for (double v : MinMaxScaler().fit_transform(Tensor(std::vector<double>{0, range})).to_vector<double>())
      EXPECT_TRUE(v >= 0 && v <= 1) << range;
}

TEST(StandardScaler, MeanZeroAndDeviationOne) {
  StandardScaler scaler;
  const Tensor train({{1.f, 7.f, .1f}, {3.f, 7.f, .1f}});
  expect_near(scaler.fit_transform(train), {-1, 0, 0, 1, 0, 0});
  expect_near(scaler.inverse_transform(scaler.transform(Tensor({{9.f, 9.f, 9.f}}))), {9, 9, 9});
  const Tensor images = Tensor::full({2, 3, 3, 1}, 4);
  EXPECT_EQ(StandardScaler().fit_transform(images).shape(), images.shape());
}

TEST(Scalers, Mistakes) {
  MinMaxScaler scaler;
  EXPECT_EQ(message_of<StateError>([&] { scaler.transform(numbers(2)); }),
            "MinMaxScaler: transform was called before fit; call fit on the training data first");
  EXPECT_EQ(message_of<StateError>([] { StandardScaler().inverse_transform(numbers(2)); }),
            "StandardScaler: inverse_transform was called before fit; call fit on the training data first");
  EXPECT_EQ(message_of<ShapeError>([&] { scaler.fit(Tensor::zeros({0, 3})); }),
            "MinMaxScaler: fit: x of shape (0, 3) has 0 rows; at least one is needed");
  EXPECT_EQ(message_of<ShapeError>([&] { scaler.fit(Tensor()); }),
            "MinMaxScaler: fit: x is an empty Tensor; give (rows, ...)");
  EXPECT_EQ(
      message_of<ValueError>([&] { scaler.fit(Tensor(std::vector<double>{1, kInfinity, 2, 3}, {2, 2})); }),
      "MinMaxScaler: fit: x is infinite in row 0, column 1; leave such rows out");
  EXPECT_EQ(message_of<ValueError>([] { MinMaxScaler({.lowest = 1, .highest = 1}); }),
            "MinMaxScaler: lowest must be below highest, but they are 1 and 1");
  scaler.fit(Tensor::zeros({2, 3}));
  EXPECT_EQ(message_of<ShapeError>([&] { scaler.transform(Tensor::zeros({2, 4})); }),
            "MinMaxScaler: transform: x must have rows of shape (3,), but its shape is (2, 4)");
}

// ---- whitening --------------------------------------------------------------------------------------------

/// Correlated columns.
Tensor correlated() {
  std::vector<double> v;
  for (int i = 0; i < 50; i++) {
    const double a = std::sin(1.0 + i * i), b = std::cos(3.0 * i), c = std::sin(2.0 * i + 0.5);
    v.insert(v.end(), {3 + 2 * a, a - b, 0.5 * b + c - a});
  }
  return Tensor(v, {50, 3});
}
/// Of the columns, divided by rows - 1.
std::vector<double> covariance(const Tensor& x) {
  const std::int64_t rows = x.dim(0), n = x.dim(1);
  std::vector<double> mean(static_cast<std::size_t>(n)), result;
  for (std::int64_t r = 0; r < rows; r++)
    for (std::int64_t c = 0; c < n; c++)
      mean[static_cast<std::size_t>(c)] += x(r, c) / static_cast<double>(rows);
  for (std::int64_t i = 0; i < n; i++)
    for (std::int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; r++)
        sum += (x(r, i) - mean[static_cast<std::size_t>(i)]) * (x(r, j) - mean[static_cast<std::size_t>(j)]);
      result.push_back(sum / static_cast<double>(rows - 1));
    }
  return result;
}

TEST(Whitening, ColumnsBecomeUncorrelated) {
  const Tensor x = correlated();
  const std::vector<double> unit = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (const char* method : {"zca", "pca"}) {
    Whitening whitening({.method = method, .epsilon = 0});
    const Tensor white = whitening.fit_transform(x);
    const std::vector<double> found = covariance(white);
    for (std::size_t i = 0; i < 9; i++) EXPECT_NEAR(found[i], unit[i], 1e-9) << method;
    expect_near(whitening.inverse_transform(white), x.to_vector<double>(), 1e-9);
    EXPECT_EQ(whitening.transform(x.slice(0, 2)).shape(), (Shape{2, 3}));
  }
}

TEST(Whitening, ZcaIsSymmetricAndStaysNear) {
  // Uncorrelated columns are only scaled by ZCA, each in its place.
  const Tensor x({{2.f, 0.f}, {-2.f, 0.f}, {0.f, 1.f}, {0.f, -1.f}});
  const double a = std::sqrt(8. / 3), b = std::sqrt(2. / 3);
  expect_near(Whitening({.epsilon = 0}).fit_transform(x), {2 / a, 0, -2 / a, 0, 0, 1 / b, 0, -1 / b});
}

TEST(Whitening, ComponentsThatVaryMost) {
  Whitening whitening({.method = "pca", .n_components = 1});
  const Tensor x({{1.f, 1.f}, {2.f, 2.f}, {3.f, 3.f}, {6.f, 6.f}});
  const Tensor white = whitening.fit_transform(x);
  EXPECT_EQ(white.shape(), (Shape{4, 1}));
  EXPECT_LT(white(0, 0), white(3, 0)) << "the sign is fixed";
  expect_near(whitening.inverse_transform(white), x.to_vector<double>(), 1e-4);
}

TEST(Whitening, ConstantColumnsAndImagesGiveNoNaN) {
  Tensor images = Tensor::full({6, 4, 4, 1}, 3);
  for (std::int64_t i = 0; i < 6; i++) images(i, 1, 1, 0) = static_cast<double>(i);
  for (const double epsilon : {0.0, 1e-6})
    for (const Tensor& x : {images, Tensor::full({3, 2}, 5)}) {
      Whitening whitening({.epsilon = epsilon});
      const Tensor white = whitening.fit_transform(x);
      EXPECT_EQ(white.shape(), x.shape());
      for (float v : floats(white)) EXPECT_LT(std::abs(v), 10);
      expect_near(whitening.inverse_transform(white), x.to_vector<double>(), 1e-3);
    }
}

TEST(Whitening, Mistakes) {
  const auto value_error = [](WhiteningArgs args) {
    return message_of<ValueError>([&] { Whitening whitening(args); });
  };
  EXPECT_EQ(value_error({.method = "ZCA"}),
            "Whitening: method \"ZCA\" is not known. Did you mean \"zca\"? Known names: \"zca\", \"pca\".");
  EXPECT_EQ(value_error({.epsilon = -1}), "Whitening: epsilon must not be negative, but it is -1");
  EXPECT_EQ(value_error({.n_components = 2}),
            "Whitening: n_components is for method \"pca\"; \"zca\" keeps x's shape");
  EXPECT_EQ(value_error({.method = "pca", .n_components = 0}),
            "Whitening: n_components must be at least 1, but it is 0");
  EXPECT_EQ(message_of<ValueError>(
                [] { Whitening({.method = "pca", .n_components = 5}).fit(Tensor::zeros({9, 4})); }),
            "Whitening: n_components is 5, but x of shape (9, 4) has 4 features");
  EXPECT_EQ(
      message_of<ValueError>([] { Whitening().fit(Tensor(std::vector<double>{1, 2, kNaN, 4}, {2, 2})); }),
      "Whitening: fit: x has nan in row 1, column 0; leave such rows out, or fill the gaps");
  EXPECT_EQ(message_of<ShapeError>([] { Whitening().fit(Tensor::zeros({1, 4})); }),
            "Whitening: fit: x of shape (1, 4) has 1 rows; at least 2 are needed");
  EXPECT_EQ(message_of<ShapeError>([] { Whitening().fit(Tensor::zeros({3, 0})); }),
            "Whitening: fit: the rows of x, whose shape is (3, 0), have no elements");
  EXPECT_EQ(message_of<StateError>([] { Whitening().transform(Tensor::zeros({1, 4})); }),
            "Whitening: transform was called before fit; call fit on the training data first");
  Whitening fitted;
  fitted.fit(correlated());
  EXPECT_EQ(message_of<ShapeError>([&] { fitted.transform(Tensor::zeros({1, 4})); }),
            "Whitening: transform: x must have rows of shape (3,), but its shape is (1, 4)");
}

}  // namespace
}  // namespace kiln::data
