// The handle, its iterator, and map: what is compiled comes from map.cpp.
#include "kiln/data/dataset.h"

#include "api/data/dataset_node.h"
#include "api/support/handles.h"
#include "kiln/model.h"

namespace kiln {
namespace internal {
namespace {

class MapNode final : public StepNode {
 public:
  using Function = std::function<data::Item(data::Item)>;
  MapNode(data::Dataset before, Function function)
      : StepNode(std::move(before)), function_(std::move(function)) {}
  std::unique_ptr<Stream> open() const override {
    return std::make_unique<Mapped>(before().open(), function_);
  }
  Items items() const override { return mapped(before().items()); }

 private:
  class Mapped final : public Stream {
   public:
    Mapped(std::unique_ptr<Stream> input, Function function)
        : input_(std::move(input)), function_(std::move(function)) {}
    bool next(Sample& to) override {
      if (!input_->next(to)) return false;
      to.item = function_(to.take());
      to.arrays = nullptr;
      return true;
    }

   private:
    std::unique_ptr<Stream> input_;
    Function function_;
  };

  Function function_;
};

}  // namespace
}  // namespace internal

namespace data {

using namespace internal;

Dataset Dataset::map_items(std::function<Item(Item)> function) const {
  return make_dataset<MapNode>(*this, not_empty_function(std::move(function), "map"));
}

std::int64_t Dataset::cardinality() const {
  return node_->cardinality();
}

Dataset::operator ValidationData() const {
  return {.dataset = *this};
}

// ---- iteration --------------------------------------------------------------------------------------------

struct Dataset::Iterator::State {
  std::shared_ptr<const DatasetNode> node;  // which the stream may refer to
  std::unique_ptr<Stream> stream;
  Item item;
  bool at_end = false;

  void advance() {
    Sample sample;
    item = {};
    at_end = true;  // also where something throws
    std::unique_ptr<Stream> open = std::move(stream);
    if (!open->next(sample)) return;
    item = sample.take();
    at_end = false;
    stream = std::move(open);
  }
};

Dataset::Iterator Dataset::begin() const {
  auto state = std::make_shared<Iterator::State>();
  state->node = node_;
  state->stream = node_->open();
  state->advance();
  return Iterator(std::move(state));
}

const Item& Dataset::Iterator::item() const {
  if (state_->at_end) throw StateError("Dataset: the iteration is at its end; there is no item to read");
  return state_->item;
}

Dataset::Iterator& Dataset::Iterator::operator++() {
  if (state_->at_end) throw StateError("Dataset: the iteration is at its end; there is no next item");
  state_->advance();
  return *this;
}

bool Dataset::Iterator::at_end() const {
  return state_->at_end;
}

}  // namespace data
}  // namespace kiln
