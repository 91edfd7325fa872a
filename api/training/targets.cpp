#include "api/training/targets.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::internal {

using graph::Value;

namespace {

bool is_one_longer(const Shape& longer, const Shape& shorter) {
  return longer.rank() == shorter.rank() + 1 && longer.back() == 1 &&
         longer.slice(0, shorter.rank()) == shorter;
}

}  // namespace

Value same_shape(const std::string& user, Value y_true, Value y_pred) {
  if (y_true.shape() != y_pred.shape()) {
    if (!is_one_longer(y_pred.shape(), y_true.shape()) && !is_one_longer(y_true.shape(), y_pred.shape())) {
      const Shape rows = y_pred.shape().slice(0, std::max(0, y_pred.rank() - 1));
      const bool has_one_a_row = y_true.shape() == rows || is_one_longer(y_true.shape(), rows);
      throw ShapeError(fmt::format(
          "{}: the targets have shape {}, but the predictions have shape {}; they must be "
          "equal (a last axis of size 1 may be missing). Nothing is broadcast: give one "
          "target for each prediction{}",
          user, y_true.shape().to_string(), y_pred.shape().to_string(),
          has_one_a_row ? ". (Class numbers are for the sparse losses and metrics, such as "
                          "sparse_categorical_crossentropy; to_categorical makes one-hot targets.)"
                        : ""));
    }
    y_true = graph::reshape(y_true, y_pred.shape());
  }
  return y_true.dtype() == y_pred.dtype() ? y_true : graph::convert(y_true, y_pred.dtype());
}

void check_below(const std::string& user, const char* noun, Value x, std::int64_t limit) {
  const Value rows = graph::reshape(x, {x.shape()[0], x.shape().tail().elements()});
  const Value least = graph::reduce_min(rows, {1});
  const Value most = graph::reduce_max(rows, {1});
  const Value below = graph::compare(most, graph::scalar(most, static_cast<double>(limit)), "lt");
  const Value inside = graph::bit_and(graph::compare(least, graph::scalar(least, 0), "ge"), below);
  graph::check(inside, graph::select(below, least, most),
               fmt::format("{}: {} {{value}} in row {{row}} is outside [0, {})", user, noun, limit));
}

Value class_labels(const std::string& user, Value y_true, Value y_pred) {
  const Shape expected = y_pred.shape().slice(0, std::max(0, y_pred.rank() - 1));
  if (y_pred.rank() < 2 || (y_true.shape() != expected && !is_one_longer(y_true.shape(), expected)))
    throw ShapeError(
        fmt::format("{}: the labels have shape {}, but for predictions of shape {} they must have shape "
                    "{}: one class number for each row of scores. For one-hot targets use "
                    "CategoricalCrossentropy or CategoricalAccuracy",
                    user, y_true.shape().to_string(), y_pred.shape().to_string(), expected.to_string()));
  // The number of classes may be too large for one byte. Wider types are checked as they are: converting them
  // first could bring a wrong label into the range.
  if (y_true.dtype() == DType::u8 || y_true.dtype() == DType::bool_)
    y_true = graph::convert(y_true, DType::i32);
  check_below(user, "label", y_true, y_pred.shape().back());
  const Value labels = graph::convert(y_true, DType::i32);
  return graph::reshape(labels, expected);
}

Value one_hot(Value labels, std::int64_t classes) {
  Shape shape = labels.shape();
  shape.push_back(classes);
  const Value numbers = graph::iota(labels.graph(), {DType::i32, shape}, labels.rank());
  return graph::compare(numbers, graph::broadcast_to(graph::expand_dims(labels, labels.rank()), shape), "eq");
}

}  // namespace kiln::internal
