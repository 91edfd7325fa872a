#include <cstdlib>
#include <optional>

#include "tests/bench/networks.h"
#include "tests/bench/row.h"
#include "tests/embedded/loaded.h"
#include "tests/support/hash_data.h"

namespace kiln::bench {
namespace {

/// A network's prediction as an exported function, as a C program calls it.
class ExportedRow final : public Row {
 public:
  explicit ExportedRow(const Json& row) : batch_(row["batch"]) {
    const Model model = make_network(row["network"], false);
    const Shape sample = input_shape(row["network"]);
    batches_ = rotating_inputs(4 * sample.elements() * batch_);
    const float least = row.value("zeros", false) ? 0.5F : 0;
    x_ = testing::hash_tensor("bench x", sample.prepend(batches_ * batch_), DType::f32, [least](double u) {
      const auto x = static_cast<float>(u);
      return x < least ? 0 : x;
    });
    out_ = Tensor(model.outputs()[0].shape().tail().prepend(batch_), DType::f32);
    const testing::TemporaryFolder folder;
    model.export_library(folder / "net",
                         {.batch_size = batch_, .weight_storage = row.value("weight_storage", "float32")});
    library_.emplace(folder, "net");
    predict_ = library_->find<Predict>("net_predict");
    const auto bytes =
        static_cast<std::size_t>(testing::macro(testing::read_file(folder / "net.h"), "NET_SCRATCH_BYTES"));
    constexpr std::size_t line = 64;
    scratch_.reset(static_cast<std::byte*>(std::aligned_alloc(line, (bytes + line - 1) / line * line)));
  }

  double step() override {
    const std::int64_t first = number_++ % batches_ * batch_;
    const Tensor x = x_.slice(first, first + batch_);
    if (predict_(x.data<float>(), out_.data<float>(), scratch_.get()) != 0)
      throw StateError("the exported function failed");
    return 0;
  }
  Json check() override {
    step();
    return out_.slice(0, std::min<std::int64_t>(2, batch_)).to_vector<double>();
  }
  std::vector<std::shared_ptr<const runtime::Program>> programs() const override { return {}; }

 private:
  using Predict = std::int32_t(const float* x, float* y, void* scratch);
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::int64_t batch_, batches_ = 0, number_ = 0;
  Tensor x_, out_;
  std::optional<testing::Loaded> library_;
  Predict* predict_ = nullptr;
  std::unique_ptr<std::byte, Free> scratch_;
};

}  // namespace

std::unique_ptr<Row> exported_row(const Json& row) {
  return std::make_unique<ExportedRow>(row);
}

}  // namespace kiln::bench
