#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <kiln/kiln.h>

#include "api/support/names.h"
#include "tests/support/errors.h"

namespace kiln::testing {

/// The layer's output for x, as a model of its own.
inline Tensor run(const Layer& layer, const Tensor& x) {
  const auto input = Input(x.shape().tail());
  return Model({.inputs = {input}, .outputs = {layer(input)}})(x);
}

inline std::vector<float> floats(const Tensor& t) {
  return t.to_vector<float>();
}

inline void expect_near(const Tensor& actual, const std::vector<double>& expected, double absolute = 1e-6,
                        double relative = 1e-5) {
  const std::vector<double> values = actual.to_vector<double>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); i++)
    EXPECT_NEAR(values[i], expected[i], absolute + relative * std::abs(expected[i])) << "element " << i;
}

/// A model y = w x without bias, to check steps by hand.
inline Sequential line(double weight, Regularizer regularizer = {}) {
  return Sequential({Input({1}), layers::Dense(1, {.use_bias = false,
                                                   .kernel_initializer = initializers::Constant(weight),
                                                   .kernel_regularizer = regularizer})});
}

/// Sends all console output into a string while it lives.
class CapturedConsole {
 public:
  explicit CapturedConsole(bool terminal = false, int columns = 100) {
    set_console({[this](std::string_view s) { text += s; }, terminal, columns});
  }
  ~CapturedConsole() { reset_console(); }
  std::string text;
};

}  // namespace kiln::testing

/// Expects that a statement throws `type` with a message that contains the text.
#define EXPECT_ERROR(type, text, ...)                                                  \
  do {                                                                                 \
    const std::string message = kiln::testing::message_of<type>([&] { __VA_ARGS__; }); \
    EXPECT_NE(message.find(text), std::string::npos) << "the message is: " << message; \
  } while (false)
