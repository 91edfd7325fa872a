#pragma once
#include <memory>

#include "kiln/data/dataset.h"

/// How datasets work inside: a chain of nodes, each of which opens a stream for an iteration.
namespace kiln::internal {

/// What passes from step to step: an item, or a row of arrays that is still where it was. So shuffling moves
/// numbers around, and a batch of rows that follow each other is a view.
struct Sample {
  data::Item item;
  std::shared_ptr<const data::Item> arrays;  ///< if there are some, the row of them; else `item`
  std::int64_t row = 0;

  /// As an item. The sample is used up.
  data::Item take();
};

/// One iteration over a dataset. Used by one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  /// The next one; false if there is none, now and ever after.
  virtual bool next(Sample& to) = 0;
};

/// What the items are, as far as it is known.
enum class Items : std::uint8_t { samples, batches, unknown };

/// A source or a step. Never changes as seen from outside, and any number of threads may open streams.
class DatasetNode {
 public:
  virtual ~DatasetNode() = default;
  virtual std::unique_ptr<Stream> open() const = 0;
  virtual std::int64_t cardinality() const = 0;
  virtual Items items() const = 0;
};

/// A step behind another, which gives as many items of the same kind unless overridden.
class StepNode : public DatasetNode {
 public:
  explicit StepNode(data::Dataset before) : before_(std::move(before)) {}
  std::int64_t cardinality() const override { return before().cardinality(); }
  Items items() const override { return before().items(); }

 protected:
  const DatasetNode& before() const { return before_.node(); }

 private:
  data::Dataset before_;
};

/// What samples are after a function that may have given them any form.
inline Items mapped(Items before) {
  return before == Items::samples ? Items::unknown : before;
}

/// The dataset of a node.
template <class Node, class... Args>
data::Dataset make_dataset(Args&&... args) {
  return data::Dataset(std::make_shared<const Node>(std::forward<Args>(args)...));
}

/// f(t) for x, y and, if there is one, the weight.
template <class F>
data::Item transformed(const data::Item& item, F f) {
  const auto each = [&](const Tensors& tensors) {
    std::vector<Tensor> out;
    for (const Tensor& t : tensors) out.push_back(f(t));
    return Tensors(std::move(out));
  };
  return {each(item.x), each(item.y), item.sample_weight.defined() ? f(item.sample_weight) : Tensor()};
}

/// Throws ValueError unless it is at least 1; `what` is as the user calls it.
void check_positive(const char* what, std::int64_t value);

}  // namespace kiln::internal
