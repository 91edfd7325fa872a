#include "tests/bench/networks.h"
#include "tests/bench/row.h"
#include "tests/support/hash_data.h"

namespace kiln::bench {
namespace {

class NetworkRow final : public Row {
 public:
  explicit NetworkRow(const Json& row)
      : training_(row["mode"] == "train"),
        batch_(row["batch"]),
        returns_input_(returns_input(row["network"])),
        model_(make_network(row["network"], row["dropout"])),
        out_(model_.outputs()[0].shape().tail().prepend(batch_), DType::f32) {
    const Shape sample = input_shape(row["network"]);
    batches_ = rotating_inputs(4 * sample.elements() * batch_);
    x_ = testing::hash_uniform("bench x", sample.prepend(batches_ * batch_));
    y_ = testing::hash_labels("bench y", {batches_ * batch_}, 10);
    if (!training_) return;
    Optimizer optimizer = optimizers::SGD({.learning_rate = 0.01});
    if (row["optimizer"] == "adam") optimizer = optimizers::Adam({.learning_rate = 1e-3});
    Loss loss = losses::SparseCategoricalCrossentropy({.from_logits = true});
    if (returns_input_) loss = losses::MeanSquaredError();
    model_.compile({.optimizer = optimizer, .loss = loss});
  }

  double step() override {
    const std::int64_t first = number_++ % batches_ * batch_;
    const Tensor x = x_.slice(first, first + batch_);
    if (!training_) {
      model_.predict_into(x, out_, batch_);
      return 0;
    }
    model_.reset_metrics();
    return model_.train_on_batch(x, returns_input_ ? x : y_.slice(first, first + batch_), {})["loss"];
  }

  /// Losses of the first three steps, or the results of the first two samples.
  Json check() override {
    if (training_) return {step(), step(), step()};
    step();
    return out_.slice(0, std::min<std::int64_t>(2, batch_)).to_vector<double>();
  }

  std::vector<std::shared_ptr<const runtime::Program>> programs() const override { return model_.programs(); }

 private:
  bool training_;
  std::int64_t batch_, batches_ = 0, number_ = 0;
  bool returns_input_;
  Model model_;
  Tensor x_, y_, out_;
};

}  // namespace

std::unique_ptr<Row> network_row(const Json& row) {
  return std::make_unique<NetworkRow>(row);
}

}  // namespace kiln::bench
