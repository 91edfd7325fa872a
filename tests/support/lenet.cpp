#include "tests/support/lenet.h"

#include <string>
#include <vector>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"

namespace kiln::graph::testing {
namespace {

class LeNet {
 public:
  LeNet(Graph& graph, bool relu) : graph_(graph), relu_(relu) {}

  Value logits(Value images) {
    Value x = convert(images, DType::f32) * (1.0 / 255);
    x = pool("pool1", activate(conv_layer("conv1", x, 5, 6, 2)));
    x = pool("pool2", activate(conv_layer("conv2", x, 5, 16, 0)));
    x = reshape(x, {x.shape()[0], None});
    x = activate(dense("dense1", x, 120));
    x = activate(dense("dense2", x, 84));
    return dense("dense3", x, 10);
  }
  const std::vector<Value>& weights() const { return weights_; }

 private:
  Value weight(const std::string& name, Shape shape) {
    weights_.push_back(graph_.state(name, {DType::f32, std::move(shape)}));
    return weights_.back();
  }
  Value conv_layer(const std::string& name, Value x, std::int64_t size, std::int64_t filters,
                   std::int64_t padding) {
    LabelScope label(graph_, name);
    const Value kernel = weight(name + "/kernel", {size, size, x.shape()[3], filters});
    const Value bias = weight(name + "/bias", {filters});
    const Ints pads = {padding, padding};
    return conv(x, kernel, {.strides = {1, 1}, .low = pads, .high = pads, .dilation = {1, 1}}) + bias;
  }
  Value dense(const std::string& name, Value x, std::int64_t units) {
    LabelScope label(graph_, name);
    const Value kernel = weight(name + "/kernel", {x.shape()[1], units});
    const Value bias = weight(name + "/bias", {units});
    return matmul(x, kernel) + bias;
  }
  Value pool(const std::string& name, Value x) {
    LabelScope label(graph_, name);
    return window_max(
        x, {.window = {1, 2, 2, 1}, .strides = {1, 2, 2, 1}, .low = {0, 0, 0, 0}, .high = {0, 0, 0, 0}});
  }
  Value activate(Value x) { return relu_ ? maximum(x, scalar(x, 0)) : sigmoid(x); }

  Graph& graph_;
  bool relu_;
  std::vector<Value> weights_;
};

Value cross_entropy(Value logits, Value labels) {
  Graph& g = logits.graph();
  LabelScope label(g, "loss");
  const Value zero = scalar(labels, 0), classes = scalar(labels, 10);
  check(bit_and(compare(labels, zero, "ge"), compare(labels, classes, "lt")), labels,
        "label {value} of row {row} is not in [0, 10)");
  const Value shifted = logits - stop_gradient(reduce_max(logits, {1}, true));
  const Value log_sum = log(reduce_sum(exp(shifted), {1}));
  const Value hot = compare(iota(g, {DType::i32, logits.shape()}, 1), expand_dims(labels, 1), "eq");
  const Value picked = reduce_sum(select(hot, shifted, zeros_like(shifted)), {1});
  return reduce_mean(log_sum - picked);
}

// Keras's Adam: the two corrections in one factor of the learning rate.
void adam(Graph& g, const std::vector<Value>& weights, const std::vector<Value>& gradients) {
  LabelScope label(g, "adam");
  const Value count = g.state("adam/iteration", {DType::i64, {}});
  const Value next = count + 1.0;
  g.update(count, next);
  const Value t = convert(next, DType::f32);
  const Value b1 = scalar(t, 0.9), b2 = scalar(t, 0.999);
  const Value rate = 0.005 * sqrt(1.0 - pow(b2, t)) / (1.0 - pow(b1, t));
  for (std::size_t i = 0; i < weights.size(); i++) {
    const Value w = weights[i], d = gradients[i];
    const std::string& name = w.node->attributes.string("name");
    const Value m = g.state(name + "/momentum", w.type()), v = g.state(name + "/velocity", w.type());
    const Value m2 = m + (d - m) * 0.1;
    const Value v2 = v + (d * d - v) * 0.001;
    g.update(m, m2);
    g.update(v, v2);
    g.update(w, w - m2 * rate / (sqrt(v2) + 1e-7));
  }
}

}  // namespace

Graph lenet_training(std::int64_t batch, bool relu) {
  Graph g("lenet_training");
  const Value images = g.input("images", {DType::u8, {batch, 28, 28, 1}});
  const Value labels = g.input("labels", {DType::i32, {batch}});
  LeNet net(g, relu);
  const Value logits = net.logits(images);
  const Value loss = cross_entropy(logits, labels);
  std::vector<Value> gradients;
  {
    LabelScope label(g, "gradient");
    gradients = gradient(loss, net.weights());
  }
  adam(g, net.weights(), gradients);
  const Value hits = convert(compare(argmax(logits, 1), labels, "eq"), DType::f32);
  const Value correct = g.state("accuracy/correct", {DType::f32, {}});
  g.update(correct, correct + reduce_sum(hits));
  g.output("loss", loss);
  return g;
}

Graph lenet_inference(std::int64_t batch) {
  Graph g("lenet_inference");
  const Value images = g.input("images", {DType::u8, {batch, 28, 28, 1}});
  g.output("logits", LeNet(g, false).logits(images));
  return g;
}

}  // namespace kiln::graph::testing
