// Kiln's side of ./dev bench: does what peers/common.py does for the peers, over the same protocol. bench.py
// drives it with one JSON object a line on stdin and reads one a line from stdout.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/networks.h"
#include "tests/support/hash_data.h"

namespace kiln::bench {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Batches that together exceed the last-level cache; step i takes batch i modulo their number.
struct Data {
  static constexpr std::int64_t cache_bytes = std::int64_t{32} << 20;

  Data(const Shape& sample, std::int64_t batch_size) : batch(batch_size) {
    const std::int64_t bytes = 4 * sample.elements() * batch;
    batches = std::max<std::int64_t>(2, (cache_bytes + bytes - 1) / bytes + 1);
    x = testing::hash_uniform("bench x", sample.prepend(batches * batch));
    y = testing::hash_labels("bench y", {batches * batch}, 10);
  }
  Tensor rows(const Tensor& t, std::int64_t step) const {
    const std::int64_t first = step % batches * batch;
    return t.slice(first, first + batch);
  }

  std::int64_t batch, batches;
  Tensor x, y;
};

/// A network in one mode, ready to make steps.
class Row {
 public:
  explicit Row(const Json& row)
      : training_(row["mode"] == "train"),
        model_(make_network(row["network"], row["dropout"])),
        data_(input_shape(row["network"]), row["batch"]),
        out_(Shape{data_.batch, 10}, DType::f32) {
    if (!training_) return;
    Optimizer optimizer = optimizers::SGD({.learning_rate = 0.01});
    if (row["optimizer"] == "adam") optimizer = optimizers::Adam({.learning_rate = 1e-3});
    model_.compile(
        {.optimizer = optimizer, .loss = losses::SparseCategoricalCrossentropy({.from_logits = true})});
  }

  /// The next step; gives the loss in training.
  double step() {
    const Tensor x = data_.rows(data_.x, number_);
    if (!training_) {
      model_.predict_into(x, out_, data_.batch);
      number_++;
      return 0;
    }
    model_.reset_metrics();
    return model_.train_on_batch(x, data_.rows(data_.y, number_++), {})["loss"];
  }

  /// Losses of the first three steps, or the logits of the first two rows.
  Json first_steps() {
    const auto start = Clock::now();
    Json check = Json::array({step()});
    const double first = milliseconds_since(start);
    if (training_)
      for (int i = 0; i < 2; i++) check.push_back(step());
    else
      check = out_.slice(0, std::min<std::int64_t>(2, data_.batch)).to_vector<double>();
    double compile = 0, arena = 0;
    for (const auto& program : model_.programs()) {
      compile += program->compile_seconds;
      arena += static_cast<double>(program->arena_bytes);
    }
    return {{"first_seconds", first / 1e3},
            {"check", check},
            {"compile_seconds", compile},
            {"arena_bytes", arena}};
  }

  Json time(double seconds) {
    std::vector<double> times;
    for (const auto begin = Clock::now(); times.empty() || milliseconds_since(begin) < 1e3 * seconds;) {
      const auto start = Clock::now();
      step();
      times.push_back(milliseconds_since(start));
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return {{"median_ms", *middle},
            {"min_ms", *std::min_element(times.begin(), times.end())},
            {"steps", times.size()}};
  }

 private:
  bool training_;
  Model model_;
  Data data_;
  Tensor out_;
  std::int64_t number_ = 0;
};

}  // namespace
}  // namespace kiln::bench

int main() {
  using namespace kiln::bench;
  std::optional<Row> row;
  for (std::string line; std::getline(std::cin, line);) {
    Json answer;
    try {
      const Json request = Json::parse(line);
      if (request["do"] == "prepare") {
        row.reset();
        row.emplace(request["row"]);
        answer = row->first_steps();
      } else {
        answer = row.value().time(request["seconds"]);
      }
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << answer.dump() << std::endl;
  }
}
