#pragma once
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/layer.h"
#include "kiln/tensors.h"

namespace kiln {

struct ValidationData;
namespace internal {
class DatasetNode;
class Stream;
}  // namespace internal

namespace data {

/// What a dataset is made of: one sample, or after `batch` one batch with a row for each sample. Several
/// tensors of x or y are for models with several inputs or outputs; y and the weights may be left out.
struct Item {
  Tensors x = {};
  Tensors y = {};
  Tensor sample_weight = {};
};

/// What `Dataset::cardinality` gives where there is no number.
inline constexpr std::int64_t infinite_cardinality = -1;
inline constexpr std::int64_t unknown_cardinality = -2;

struct GeneratorArgs {
  /// How many items there will be, if that is known; `fit` shows it from the first epoch on.
  std::int64_t cardinality = unknown_cardinality;
};
struct ShuffleArgs {
  std::optional<std::int64_t> seed = {};  ///< default: drawn here, so that set_random_seed decides
  bool reshuffle_each_iteration = true;
};
struct BatchingArgs {
  bool drop_remainder = false;  ///< leave out a last batch that isn't full
};
struct LayerMapArgs {
  bool training = false;                  ///< as in fit: images are augmented, dropout drops
  std::optional<std::int64_t> seed = {};  ///< for what is drawn then; default: drawn here
};

/// A sequence of samples or batches that is made while it is read, like tf.data.Dataset. A handle: each step
/// (`shuffle`, `batch`, ...) gives a new dataset and leaves this one as it is. Nothing is computed before
/// somebody reads, and each iteration starts anew:
///
///     auto train = data::Dataset::from_tensor_slices({x, y}).shuffle(1000).batch(32).prefetch(2);
///     for (const data::Item& batch : train) ...       // batch.x[0] has shape (32, ...)
///     model.fit(train, {.epochs = 5});
///
/// Items may share memory with arrays they are rows of; who changes one makes a `clone` first. Errors on the
/// way (a generator that throws, a damaged file) come out of the iteration, which they end, or of fit,
/// evaluate and predict, also through `prefetch`. Threads may iterate over one dataset at the same time.
class KILN_API Dataset {
 public:
  class Iterator;

  /// The rows of arrays, one sample each: x, or `{x, y}`, `{x, y, sample_weight}`, `{{a, b}, y}`. Arrays
  /// that are contiguous aren't copied. Throws ShapeError if there is no x, a tensor has no rows, or their
  /// numbers of rows differ.
  static Dataset from_tensor_slices(Item arrays);
  static Dataset from_tensor_slices(const Tensor& x) { return from_tensor_slices(Item{x}); }

  /// What a function gives until it gives nothing: `std::optional<Item>()`. Each iteration calls a copy of
  /// the function as it is now, so that what a lambda captures by value and changes starts anew. Iterating
  /// throws ShapeError for an item without x.
  static Dataset from_generator(std::function<std::optional<Item>()> generator, GeneratorArgs args = {});

  /// In random order: each item is drawn from a buffer of so many, which the next one then fills up. A
  /// buffer of `cardinality()` shuffles all. Iterations differ from each other, and come in the same
  /// sequence for the same seed. Throws ValueError for sizes below 1.
  Dataset shuffle(std::int64_t buffer_size, ShuffleArgs args = {}) const;
  /// Stacks so many items along a new first axis; the last batch may be smaller. Throws ValueError for sizes
  /// below 1; iterating throws ShapeError or TypeError if items of one batch differ in form or type.
  Dataset batch(std::int64_t batch_size, BatchingArgs args = {}) const;
  /// The items again and again, `count` times, or forever. An iteration each, so shuffled ones differ.
  Dataset repeat(std::int64_t count = -1) const;
  /// The first `count` items (-1: all).
  Dataset take(std::int64_t count) const;
  /// All but the first `count` items (-1: none).
  Dataset skip(std::int64_t count) const;
  /// A thread reads ahead, at most so many items, which the caller then finds ready. The thread ends with
  /// the iteration, after the item it is at. Throws ValueError for sizes below 1.
  Dataset prefetch(std::int64_t buffer_size) const;

  /// Applies a function to each item, in one of three forms:
  ///
  ///     .map([](graph::Value x) { return graph::convert(x, DType::f32) / 255.0; })  // y, weights stay
  ///     .map([](graph::Value x, graph::Value y) { return std::pair(graph::exp(x), y); })
  ///     .map([](data::Item item) { ...; return item; })  // on tensors, in C++
  ///
  /// The first two work on graph values, as Lambda does, and are compiled: once for each shape that comes, so
  /// they suit batches, or samples of few shapes. Iterating throws ShapeError where the function's ops don't
  /// fit, or if an item has several x or y.
  template <class F>
    requires(!std::is_convertible_v<F, Layer>)
  Dataset map(F function) const;
  /// A layer or model on x, which must be a batch: `.batch(32).map(layers::Resizing(224, 224))`. Throws
  /// ValueError on a dataset of samples.
  Dataset map(const Layer& layer, LayerMapArgs args = {}) const;

  /// Number of items, or infinite_cardinality or unknown_cardinality.
  std::int64_t cardinality() const;

  Iterator begin() const;
  std::default_sentinel_t end() const { return {}; }

  /// So that fit takes it: `.validation_data = dataset`.
  operator ValidationData() const;

  explicit Dataset(std::shared_ptr<const internal::DatasetNode> node) : node_(std::move(node)) {}
  // Moving copies: there is no empty dataset.
  Dataset(const Dataset&) = default;
  Dataset& operator=(const Dataset&) = default;
  const internal::DatasetNode& node() const { return *node_; }

 private:
  using OfX = std::function<graph::Value(graph::Value)>;
  using OfBoth = std::function<std::pair<graph::Value, graph::Value>(graph::Value, graph::Value)>;
  Dataset map_x(OfX function) const;
  Dataset map_both(OfBoth function) const;
  Dataset map_items(std::function<Item(Item)> function) const;

  std::shared_ptr<const internal::DatasetNode> node_;
};

/// One iteration. Copies go on together. A dataset's threads end when the last copy goes.
class KILN_API Dataset::Iterator {
 public:
  // Moving copies: there is no empty iterator.
  Iterator(const Iterator&) = default;
  Iterator& operator=(const Iterator&) = default;
  using iterator_concept = std::input_iterator_tag;
  using value_type = Item;
  using difference_type = std::ptrdiff_t;
  using reference = Item;
  using pointer = const Item*;

  /// The item itself, which shares its tensors' memory: it stays when the iteration goes on.
  Item operator*() const { return item(); }
  const Item* operator->() const { return &item(); }
  Iterator& operator++();
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.at_end(); }

 private:
  friend class Dataset;
  struct State;
  explicit Iterator(std::shared_ptr<State> state) : state_(std::move(state)) {}
  bool at_end() const;
  const Item& item() const;
  std::shared_ptr<State> state_;
};

template <class F>
  requires(!std::is_convertible_v<F, Layer>)
Dataset Dataset::map(F function) const {
  if constexpr (std::is_invocable_r_v<graph::Value, F&, graph::Value>) {
    return map_x(std::move(function));
  } else if constexpr (std::is_invocable_v<F&, graph::Value, graph::Value>) {
    return map_both(std::move(function));
  } else {
    static_assert(std::is_invocable_r_v<Item, F&, Item>,
                  "map takes a function of a graph::Value, of two that returns a pair, or of a data::Item");
    return map_items(std::move(function));
  }
}

}  // namespace data
}  // namespace kiln
