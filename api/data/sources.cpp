// Where datasets begin: arrays and generators.
#include <fmt/format.h>

#include "api/data/dataset_node.h"

namespace kiln {
namespace internal {
namespace {

class ArraysNode final : public DatasetNode {
 public:
  ArraysNode(data::Item arrays, std::int64_t rows)
      : arrays_(std::make_shared<const data::Item>(std::move(arrays))), rows_(rows) {}
  std::unique_ptr<Stream> open() const override { return std::make_unique<Rows>(arrays_, rows_); }
  std::int64_t cardinality() const override { return rows_; }
  Items items() const override { return Items::samples; }

 private:
  class Rows final : public Stream {
   public:
    Rows(std::shared_ptr<const data::Item> arrays, std::int64_t rows)
        : arrays_(std::move(arrays)), rows_(rows) {}
    bool next(Sample& to) override {
      if (next_ == rows_) return false;
      to.arrays = arrays_;
      to.row = next_++;
      return true;
    }

   private:
    std::shared_ptr<const data::Item> arrays_;
    std::int64_t rows_, next_ = 0;
  };

  std::shared_ptr<const data::Item> arrays_;
  std::int64_t rows_;
};

class GeneratorNode final : public DatasetNode {
 public:
  using Generator = std::function<std::optional<data::Item>()>;
  GeneratorNode(Generator generator, std::int64_t cardinality)
      : generator_(std::move(generator)), cardinality_(cardinality) {}
  std::unique_ptr<Stream> open() const override { return std::make_unique<Generated>(generator_); }
  std::int64_t cardinality() const override { return cardinality_; }
  Items items() const override { return Items::unknown; }

 private:
  class Generated final : public Stream {
   public:
    explicit Generated(Generator generator) : generator_(std::move(generator)) {}
    bool next(Sample& to) override {
      if (done_) return false;
      std::optional<data::Item> item = generator_();
      if (!item) {
        done_ = true;
        return false;
      }
      check(*item);
      to.item = std::move(*item);
      to.arrays = nullptr;
      count_++;
      return true;
    }

   private:
    void check(const data::Item& item) const {
      bool whole = !item.x.empty();
      for (const Tensors* tensors : {&item.x, &item.y})
        for (const Tensor& t : *tensors) whole = whole && t.defined();
      if (!whole)
        throw ShapeError(
            fmt::format("from_generator: item {} has {}; return Item{{x}}, Item{{x, y}} or Item{{x, y, "
                        "sample_weight}}, and std::nullopt at the end",
                        count_, item.x.empty() ? "no x" : "an empty Tensor"));
    }

    Generator generator_;
    std::int64_t count_ = 0;
    bool done_ = false;
  };

  Generator generator_;
  std::int64_t cardinality_;
};

}  // namespace

void check_positive(const char* what, std::int64_t value) {
  if (value < 1) throw ValueError(fmt::format("{} must be at least 1, but it is {}", what, value));
}

data::Item Sample::take() {
  if (!arrays) return std::move(item);
  return transformed(*arrays, [&](const Tensor& t) { return t[row]; });
}

}  // namespace internal

namespace data {

using namespace internal;

Dataset Dataset::from_tensor_slices(Item arrays) {
  if (arrays.x.empty())
    throw ShapeError("from_tensor_slices: there is no x; give arrays with one row for each sample");
  std::optional<std::int64_t> rows;
  const auto check = [&](const char* name, const Tensor& t) {
    if (!t.defined())
      throw ShapeError(fmt::format(
          "from_tensor_slices: {} is an empty Tensor; give an array with one row for each sample", name));
    if (t.rank() == 0)
      throw ShapeError(fmt::format(
          "from_tensor_slices: {} has shape (), a single number; it must be an array with one row for each "
          "sample",
          name));
    if (!rows) rows = t.dim(0);
    if (*rows != t.dim(0))
      throw ShapeError(
          fmt::format("from_tensor_slices: the first x has {} rows, but {} has {} (its shape is {}); every "
                      "sample needs its own",
                      *rows, name, t.dim(0), t.shape().to_string()));
  };
  for (const Tensor& t : arrays.x) check("x", t);
  for (const Tensor& t : arrays.y) check("y", t);
  if (arrays.sample_weight.defined()) check("sample_weight", arrays.sample_weight);
  Item contiguous = transformed(arrays, [](const Tensor& t) { return t.contiguous(); });
  return make_dataset<ArraysNode>(std::move(contiguous), *rows);
}

Dataset Dataset::from_generator(std::function<std::optional<Item>()> generator, GeneratorArgs args) {
  if (!generator) throw ValueError("from_generator: the function is empty; give one that returns items");
  if (args.cardinality < unknown_cardinality)
    throw ValueError(
        fmt::format("from_generator: cardinality is {}; give a number of items, infinite_cardinality or "
                    "unknown_cardinality",
                    args.cardinality));
  return make_dataset<GeneratorNode>(std::move(generator), args.cardinality);
}

}  // namespace data
}  // namespace kiln
