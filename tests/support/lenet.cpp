#include "tests/support/lenet.h"

#include <fmt/format.h>

#include <string>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"

namespace kiln::graph {
namespace {

struct Weights {
  Graph& g;
  std::vector<Value> all;
  Value add(std::string name, Shape shape) {
    all.push_back(g.state(std::move(name), {DType::f32, std::move(shape)}));
    return all.back();
  }
};

Value dense(Weights& w, const std::string& name, Value x, std::int64_t units) {
  LabelScope label(x.graph(), name);
  const Value kernel = w.add(name + "/kernel", {x.shape().back(), units});
  return dot(x, kernel, {}, {}, {1}, {0}) + w.add(name + "/bias", {units});
}

Value conv_and_pool(Weights& w, const std::string& name, Value x, std::int64_t filters, std::int64_t padding) {
  LabelScope label(x.graph(), name);
  const Value kernel = w.add(name + "/kernel", {5, 5, x.shape().back(), filters});
  const Ints pad{padding, padding};
  const Value y = conv(x, kernel, {{1, 1}, pad, pad, {1, 1}, 1}) + w.add(name + "/bias", {filters});
  return window_max(sigmoid(y), {{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}});
}

}  // namespace

Graph lenet_step(std::int64_t batch) {
  Graph g("lenet");
  const Value images = g.input("images", {DType::u8, {batch, 28, 28, 1}});
  const Value labels = g.input("labels", {DType::i32, {batch}});
  Weights w{g, {}};

  Value x = convert(images, DType::f32) * (1.0 / 255);
  x = conv_and_pool(w, "conv2d", x, 6, 2);
  x = conv_and_pool(w, "conv2d_1", x, 16, 0);
  x = reshape(x, {batch, 400});
  x = sigmoid(dense(w, "dense", x, 120));
  x = sigmoid(dense(w, "dense_1", x, 84));
  const Value logits = dense(w, "dense_2", x, 10);

  const Value valid = bit_and(compare(labels, scalar(labels, 0), "ge"), compare(labels, scalar(labels, 10), "lt"));
  check(valid, convert(labels, DType::f32), "label {value} in row {row} is out of range");
  const Value shifted = logits - reduce_max(logits, {1}, true);
  const Value log_sum = log(reduce_sum(exp(shifted), {1}, true));
  const Value picked = take_along(shifted - log_sum, expand_dims(labels, 1), 1);
  const Value loss = neg(reduce_mean(picked));
  g.output("loss", loss);

  const Value hits = convert(compare(argmax(logits, 1), labels, "eq"), DType::f32);
  const Value correct = g.state("accuracy/correct", {DType::f32, {}});
  g.update(correct, correct + reduce_sum(hits));

  // Adam
  const std::vector<Value> gradients = gradient(loss, w.all);
  const Value iteration = g.state("iteration", {DType::i64, {}});
  const Value next = iteration + 1.0;
  g.update(iteration, next);
  const Value t = convert(next, DType::f32);
  const Value rate =
      5e-3 * sqrt(1.0 - pow(scalar(t, 0.999), t)) / (1.0 - pow(scalar(t, 0.9), t));
  for (std::size_t i = 0; i < w.all.size(); i++) {
    const Value v = w.all[i], d = gradients[i];
    const Value m = g.state(fmt::format("m{}", i), v.type()), s = g.state(fmt::format("v{}", i), v.type());
    const Value new_m = m + (d - m) * 0.1, new_s = s + (d * d - s) * 0.001;
    g.update(m, new_m);
    g.update(s, new_s);
    g.update(v, v - rate * new_m / (sqrt(new_s) + 1e-7));
  }
  return g;
}

}  // namespace kiln::graph
