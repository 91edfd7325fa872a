#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "api/layers/symbolic.h"
#include "api/support/weight_guards.h"
#include "kiln/model.h"

namespace kiln {

namespace internal {
class Trainer;
class Predictor;

/// Throws ValueError if one of `layers` has the name of `added`; `model` is the model as messages call it.
void require_own_name(const std::string& model, std::span<const Layer> layers, const Layer& added);
}  // namespace internal

/// A model: a layer made of layers.
class ModelImpl : public LayerImpl {
 public:
  explicit ModelImpl(LayerOptions options);
  ~ModelImpl() override;

  /// Sets inputs and outputs and finds the layers between them.
  void connect(std::vector<SymbolicTensor> inputs, std::vector<SymbolicTensor> outputs);

  std::string class_name() const override { return "Functional"; }
  Config get_config() const override;
  void build_all(std::span<const Shape> inputs) override;
  void check(std::span<const Shape> inputs) const override;
  /// Why inputs of these shapes don't fit; empty if they do, or the model has no inputs yet.
  std::string mismatch(std::span<const Shape> inputs) const;
  std::vector<graph::Value> call_all(Call& call, std::span<const graph::Value> xs) override;
  bool converts_input() const override { return false; }
  std::vector<Layer> sublayers() const override { return layers_; }
  void set_trainable(bool trainable) override;

  /// Makes the weights for inputs of these shapes, if the model has no inputs yet. Threads may call it at
  /// once.
  void build_once(std::span<const Shape> inputs) {
    const std::lock_guard lock(build_mutex_);
    if (!connected()) build_for(inputs);
  }
  virtual void build_for(std::span<const Shape> inputs);
  /// True for a Sequential, whose summary leaves the input out.
  virtual bool sequential() const { return false; }
  /// True once inputs and outputs are known. Threads may ask while another builds the model.
  bool connected() const { return connected_; }

  const std::vector<SymbolicTensor>& inputs() const { return inputs_; }
  const std::vector<SymbolicTensor>& outputs() const { return outputs_; }
  /// The layers in the order of the summary, those of inputs included.
  const std::vector<Layer>& layers() const { return layers_; }
  /// Applications of layers, each after those it needs.
  const std::vector<std::shared_ptr<const internal::Application>>& applications() const {
    return applications_;
  }
  /// Number of steps from each application to the outputs, at most, in parallel to applications().
  const std::vector<int>& depths() const { return depths_; }
  /// The outputs' names: their layers'.
  std::vector<std::string> output_names() const;

  /// Set by `compile`. Throws StateError saying what to do if it isn't there.
  internal::Trainer& trainer(const char* caller) const;
  bool compiled() const { return trainer_ != nullptr; }
  void set_trainer(std::unique_ptr<internal::Trainer> trainer);
  internal::Predictor& predictor() const { return *predictor_; }

  /// Held while a step reads the weights (shared) or changes them (alone).
  internal::WeightGuards& weight_guards() { return weight_guards_; }
  /// Writes the prediction down in the call's graph: inputs x0, ... of these types, outputs y0, ... Throws as
  /// `require_known_weights` does.
  void emit_prediction(Call& call, std::span<const graph::Type> inputs);
  /// Throws StateError if a layer's `call` read a weight that no model's layer has: it would neither be
  /// trained nor saved. (One of another model is that model's to train.)
  void require_known_weights(const Call& call) const;
  /// The weights whose locks those are.
  std::span<const Variable> guarded_weights() const { return guarded_weights_; }
  std::atomic<bool> stop_training = false;

  /// While one lives, `fit` runs, and what it works with can't be replaced.
  class Fitting {
   public:
    explicit Fitting(ModelImpl& model) : model_(model) { model_.fits_++; }
    ~Fitting() { model_.fits_--; }
    Fitting(const Fitting&) = delete;
    Fitting& operator=(const Fitting&) = delete;

   private:
    ModelImpl& model_;
  };
  /// Throws StateError if `fit` runs: a callback may not do what `caller` does.
  void require_not_fitting(const char* caller) const;

 protected:
  /// Forgets inputs, outputs and what was compiled for them.
  void disconnect();

  std::vector<Layer> layers_;

 private:
  std::vector<SymbolicTensor> inputs_, outputs_;
  std::vector<std::shared_ptr<const internal::Application>> applications_;
  std::vector<int> depths_;
  std::atomic<bool> connected_ = false;  // set when all of the above is there
  std::atomic<int> fits_ = 0;
  std::unique_ptr<internal::Trainer> trainer_;
  std::unique_ptr<internal::Predictor> predictor_;
  std::mutex build_mutex_;
  std::vector<Variable> guarded_weights_;
  internal::WeightGuards weight_guards_;
};

}  // namespace kiln
