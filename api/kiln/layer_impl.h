#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kiln/graph/ops.h"
#include "kiln/layer.h"

namespace kiln {

namespace internal {
struct Application;
}

/// One run through layers while a graph is being written: what `LayerImpl::call` gets. It knows the graph,
/// the mode, and which state of the graph each weight is.
class KILN_API Call {
 public:
  /// `key` is the storage of the random counter, i64[2] {seed, step}.
  Call(graph::Graph& graph, bool training, Tensor key = {});
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  graph::Graph& graph() { return graph_; }
  /// True while training: dropout drops.
  bool training() const { return training_; }
  /// The weight's present value in this graph: as the step found it, or as `assign` left it.
  graph::Value operator()(const Variable& weight);
  /// All values that the weight had in this graph so far: a loss's gradient is the sum of theirs.
  std::vector<graph::Value> values(const Variable& weight);
  /// Random numbers in [0, 1): other ones at every call and every step, the same when the step is repeated.
  /// With a `seed` they depend on it and not on the global one.
  graph::Value random_uniform(const Shape& shape, DType dtype = DType::f32,
                              std::optional<std::int64_t> seed = {});

  /// Adds a value of rank 0 to the loss, as Keras's `add_loss`; of no effect in predictions.
  void add_loss(graph::Value loss);
  /// All that was added so far.
  const std::vector<graph::Value>& losses() const { return losses_; }
  /// The layers that added them; null for what a function's body added.
  const std::vector<const LayerImpl*>& loss_layers() const { return loss_layers_; }
  /// Sets what the weight is from here on: for what reads it later in this graph, and after the step. The
  /// gradient of a loss is that by each value read, not by what an assigned one was made of. Throws
  /// ShapeError or TypeError unless shape and type are the weight's.
  void assign(const Variable& weight, graph::Value value);

  /// The same from a normal distribution of mean 0 and standard deviation 1 (Box and Muller 1958).
  graph::Value random_normal(const Shape& shape, DType dtype = DType::f32,
                             std::optional<std::int64_t> seed = {});

  /// A state of the graph that lives in `storage`, as it is here: after an `update`, the new value.
  graph::Value state(const std::string& name, const Tensor& storage);
  /// Sets what a state is from here on; `now` is what `state` gives.
  void update(graph::Value now, graph::Value next);
  /// Storage of the graph's states, in their order.
  std::vector<Tensor> storage() const;
  /// The weights that were read or assigned so far.
  const std::vector<Variable>& variables() const { return variables_; }
  /// The random counter's value, if anything random was asked for, else null.
  graph::Value key() const { return key_; }

  /// Another value of a member while it lives.
  template <class T>
  class Scope {
   public:
    Scope(T& member, T value) : member_(member), saved_(std::exchange(member, value)) {}
    ~Scope() { member_ = saved_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    T& member_;
    T saved_;
  };
  /// Sets the mode for a scope.
  [[nodiscard]] Scope<bool> in_mode(bool training) { return {training_, training}; }
  /// Says for a scope which layer is being emitted.
  [[nodiscard]] Scope<const LayerImpl*> in_layer(const LayerImpl* layer) { return {layer_, layer}; }

 private:
  struct State {
    Tensor storage;
    std::vector<graph::Value> values;  ///< as the step found it, then as each update left it
  };
  State& find_state(const std::string& name, const Tensor& storage);
  graph::Graph& graph_;
  bool training_;
  Tensor key_storage_;
  graph::Value key_;
  std::int64_t next_stream_ = 0;
  std::vector<State> states_;  // in the graph's order
  std::vector<Variable> variables_;
  std::vector<graph::Value> losses_;
  std::vector<const LayerImpl*> loss_layers_;
  const LayerImpl* layer_ = nullptr;
};

/// Arguments that every layer has.
struct LayerOptions {
  bool trainable = true;
  DType dtype = DType::f32;
  std::string name = "";                  ///< default: from the class; without "/" (ValueError)
  Regularizer activity_regularizer = {};  ///< a penalty on the layer's results
};

/// What a layer is made of. For a layer of your own, derive from this, override `call` (and `build`, if it
/// has weights), and wrap it with `make_layer<Mine>(...)`:
///
///     struct Scale : LayerImpl {
///       Variable factor;
///       void build(const Shape& input) override {
///         factor = add_weight({.name = "factor", .shape = {input.back()}, .initializer = "ones"});
///       }
///       graph::Value call(Call& call, graph::Value x) override { return x * call(factor); }
///     };
///     Sequential model({Input({4}), make_layer<Scale>(), Dense(1)});
///
/// Layers inside it are made in the constructor or in `build`, called as `inner(call, x)`, and given by
/// `sublayers`, so that their weights are trained and saved with its own:
///
///     struct Twice : LayerImpl {
///       Layer first = Dense(8, {.activation = "relu"}), second = Dense(8);
///       std::vector<Layer> sublayers() const override { return {first, second}; }
///       graph::Value call(Call& call, graph::Value x) override { return second(call, first(call, x)); }
///     };
///
/// `call` only emits ops and must do so in the same way each time: it is replayed for every batch size, and
/// with two sizes to find out which sizes of the result are None.
class KILN_API LayerImpl : public std::enable_shared_from_this<LayerImpl> {
 public:
  explicit LayerImpl(LayerOptions options = {});
  virtual ~LayerImpl();
  LayerImpl(const LayerImpl&) = delete;
  LayerImpl& operator=(const LayerImpl&) = delete;

  /// Makes the weights; called once, before the first call. `input` has the batch, None.
  virtual void build(const Shape& input);
  /// The same for layers with several inputs; the default expects one.
  virtual void build_all(std::span<const Shape> inputs);
  /// Throws ShapeError if the layer can't take these inputs; called before each call. The default accepts
  /// all.
  virtual void check(std::span<const Shape> inputs) const;
  /// Emits the layer's ops. Inputs have been converted to the layer's type, unless `converts_input` is false.
  virtual graph::Value call(Call& call, graph::Value x);
  /// The same for layers with several inputs or outputs; the default expects one of each.
  virtual std::vector<graph::Value> call_all(Call& call, std::span<const graph::Value> xs);
  /// False for a layer that wants its input's element type kept (integers, bytes).
  virtual bool converts_input() const { return true; }
  /// "Dense": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError; a class of your own adds its arguments to
  /// `base_config` and is made known by `layers::register_layer`.
  virtual Config get_config() const;
  /// Layers inside this one, whose weights count as its own.
  virtual std::vector<Layer> sublayers() const { return {}; }

  const std::string& name() const { return name_; }
  /// True if the user gave the name.
  bool named_by_user() const { return named_by_user_; }
  DType dtype() const { return options_.dtype; }
  bool built() const { return built_; }
  bool trainable() const { return options_.trainable; }
  virtual void set_trainable(bool trainable) { options_.trainable = trainable; }
  /// Own weights, not those of sublayers.
  const std::vector<Variable>& own_weights() const { return weights_; }

  /// Builds the weights unless they exist, and checks the inputs.
  void ensure_built(std::span<const Shape> inputs);
  /// Emits the layer with inputs converted and the graph's label set.
  std::vector<graph::Value> emit(Call& call, std::span<const graph::Value> xs);
  /// Applies to symbolic tensors; see Layer::apply.
  std::vector<SymbolicTensor> apply(const std::vector<SymbolicTensor>& xs);
  /// Keeps in mind that it was applied.
  void remember(const std::shared_ptr<const internal::Application>& application);
  /// The first of its applications that are still there; null if there is none.
  std::shared_ptr<const internal::Application> first_application() const;
  /// Shapes of the last `apply`; empty before.
  const std::vector<Shape>& input_shapes() const { return input_shapes_; }
  const std::vector<Shape>& output_shapes() const { return output_shapes_; }

  /// Gives the layer its name; `make_layer` calls it.
  void assign_name();

 protected:
  /// Name, trainable, element type: what every layer's configuration starts with.
  Config base_config() const;
  /// Makes a weight of the layer's element type; call it in `build`.
  Variable add_weight(const WeightArgs& args);
  /// For layers that exist only with their weights (models): `built` becomes true without a build.
  void mark_built() { built_ = true; }

 private:
  LayerOptions options_;
  std::string name_;
  bool named_by_user_ = false;
  bool built_ = false;
  int applications_ = 0;
  std::vector<std::weak_ptr<const internal::Application>> applied_;  // each holds the layer
  std::vector<Variable> weights_;
  std::vector<Shape> input_shapes_, output_shapes_;
};

/// Makes a layer of your own; see LayerImpl.
template <class T, class... Args>
Layer make_layer(Args&&... args) {
  auto impl = std::make_shared<T>(std::forward<Args>(args)...);
  impl->assign_name();
  return Layer(std::move(impl));
}

}  // namespace kiln
