// One op alone: x comes anew with each step, weights stay.
#include "kiln/codegen/compile.h"
#include "kiln/graph/ops.h"
#include "tests/bench/row.h"
#include "tests/support/hash_data.h"

namespace kiln::bench {
namespace {

using namespace kiln::graph;

/// Keras's padding for a convolution over square images.
ConvAttrs conv_attributes(const Json& row, const Shape& x, const Shape& kernel) {
  const std::int64_t strides = row["strides"], size = x[1], window = kernel[0];
  ConvAttrs attributes{.strides = {strides, strides}};
  if (row["padding"] == "same") {
    const std::int64_t out = (size + strides - 1) / strides;
    const std::int64_t total = std::max<std::int64_t>((out - 1) * strides + window - size, 0);
    attributes.low = Ints(2, total / 2);
    attributes.high = Ints(2, total - total / 2);
  }
  return attributes;
}

Value result(const Json& row, Value x, Value weights) {
  const std::string op = row["op"];
  if (op == "dot") return matmul(x, weights);
  if (op == "conv") return conv(x, weights, conv_attributes(row, x.shape(), weights.shape()));
  if (op == "exp") return exp(x);
  if (op == "tanh") return tanh(x);
  if (op == "add_relu") return maximum(x + 0.5, scalar(x, 1));
  if (op == "sum_rows") return reduce_sum(x, {1});
  if (op == "sum_columns") return reduce_sum(x, {0});
  if (op == "softmax") {
    const Value e = exp(x - reduce_max(x, {-1}, true));
    return e / reduce_sum(e, {-1}, true);
  }
  throw ValueError("suites.py: unknown op \"" + op + "\"");
}

class KernelRow final : public Row {
 public:
  explicit KernelRow(const Json& row) {
    const Shape shape(row["x"].get<std::vector<std::int64_t>>());
    Graph g(row["op"].get<std::string>());
    const Value x = g.input("x", {DType::f32, shape});
    Value weights;
    if (row.contains("weights")) {
      const Shape size(row["weights"].get<std::vector<std::int64_t>>());
      weights = g.state("weights", {DType::f32, size});
      weights_.push_back(testing::hash_signed("bench weights", size, 0.1));
    }
    const Value y = result(row, x, weights);
    g.output("y", y);
    y_.emplace_back(y.shape(), DType::f32);
    count_ = rotating_inputs(4 * shape.elements());
    x_ = testing::hash_uniform("bench x", shape.prepend(count_));
    executable_ = std::make_unique<runtime::Executable>(codegen::compile(g, {.weights_stay = true}));
  }

  double step() override {
    void* x = x_.data<float>() + number_++ % count_ * (x_.size() / count_);
    void* weights = weights_.empty() ? nullptr : weights_[0].data<float>();
    void* y = y_[0].data<float>();
    constexpr std::uint64_t unchanged = 1;  // the weights stay
    executable_->run_raw(&x, &weights, &y, unchanged);
    return 0;
  }

  /// The first and the last elements.
  Json check() override {
    step();
    const Tensor flat = y_[0].reshape({y_[0].size()});
    std::vector<double> ends = flat.slice(0, 8).to_vector<double>();
    const std::vector<double> last = flat.slice(flat.size() - 8, flat.size()).to_vector<double>();
    ends.insert(ends.end(), last.begin(), last.end());
    return ends;
  }

  std::vector<std::shared_ptr<const runtime::Program>> programs() const override {
    return {};  // the graph is compiled before the first step
  }

 private:
  std::int64_t count_ = 1, number_ = 0;
  Tensor x_;
  std::vector<Tensor> weights_, y_;
  std::unique_ptr<runtime::Executable> executable_;
};

}  // namespace

std::unique_ptr<Row> kernel_row(const Json& row) {
  return std::make_unique<KernelRow>(row);
}

}  // namespace kiln::bench
