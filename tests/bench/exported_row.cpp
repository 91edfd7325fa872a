#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "tests/bench/networks.h"
#include "tests/bench/row.h"
#include "tests/support/files.h"
#include "tests/support/hash_data.h"
#include "tests/support/process.h"

namespace kiln::bench {
namespace {

/// A network's prediction as an exported function, as a C program calls it.
class ExportedRow final : public Row {
 public:
  explicit ExportedRow(const Json& row) : batch_(row["batch"]) {
    const Model model = make_network(row["network"], false);
    const Shape sample = input_shape(row["network"]);
    batches_ = rotating_inputs(4 * sample.elements() * batch_);
    x_ = testing::hash_uniform("bench x", sample.prepend(batches_ * batch_));
    out_ = Tensor(model.outputs()[0].shape().tail().prepend(batch_), DType::f32);
    const testing::TemporaryFolder folder;
    model.export_library(folder / "net", {.batch_size = batch_});
    testing::execute(fmt::format("ld.lld-19 -shared -o {} {}", folder / "net.so", folder / "net.o"),
                     "lld-19");
    library_ = dlopen((folder / "net.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) throw FileError(dlerror());
    predict_ = reinterpret_cast<Predict*>(dlsym(library_, "net_predict"));
    const std::string header = testing::read_file(folder / "net.h"), macro = "#define NET_SCRATCH_BYTES ";
    const auto bytes = std::strtoull(header.c_str() + header.find(macro) + macro.size(), nullptr, 10);
    constexpr std::size_t line = 64;
    scratch_.reset(static_cast<std::byte*>(std::aligned_alloc(line, (bytes + line - 1) / line * line)));
  }
  ~ExportedRow() override { dlclose(library_); }
  ExportedRow(const ExportedRow&) = delete;
  ExportedRow& operator=(const ExportedRow&) = delete;

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
  void* library_ = nullptr;
  Predict* predict_ = nullptr;
  std::unique_ptr<std::byte, Free> scratch_;
};

}  // namespace

std::unique_ptr<Row> exported_row(const Json& row) {
  return std::make_unique<ExportedRow>(row);
}

}  // namespace kiln::bench
