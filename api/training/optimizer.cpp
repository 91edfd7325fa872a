// Handles to optimizers, and the optimizers by name.
#include "kiln/optimizer.h"

#include <fmt/format.h>

#include <cmath>
#include <regex>

#include "api/support/handles.h"
#include "api/training/optimizers.h"

namespace kiln {

namespace internal {

bool matches(const char* argument, const std::string& pattern, const std::string& text) {
  try {
    return std::regex_search(text, std::regex(pattern));
  } catch (const std::regex_error&) {
    throw ValueError(fmt::format(
        "{}: \"{}\" is no regular expression; give a part of a name, such as \"bias\"", argument, pattern));
  }
}

void check_share(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && value <= 1))
    throw ValueError(
        fmt::format("{}: {} must be in [0, 1], but it is {}; 0.9 is usual", optimizer, argument, value));
}
void check_beta(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && value < 1))
    throw ValueError(fmt::format("{}: {} must be in [0, 1), but it is {}; 0.9 or 0.999 is usual", optimizer,
                                 argument, value));
}
void check_not_negative(const char* optimizer, const char* argument, double value) {
  if (!(value >= 0 && std::isfinite(value)))
    throw ValueError(
        fmt::format("{}: {} must be finite and not negative, but it is {}; leave it out for the default",
                    optimizer, argument, value));
}

}  // namespace internal

namespace optimizers {
namespace {

const internal::Registry<Optimizer>& registry() {
  static const auto registry = [] {
    internal::Registry<Optimizer> r("optimizer");
    internal::add_momentums(r);
    internal::add_adaptive(r);
    internal::add_adams(r);
    internal::add_muon(r);
    internal::add_loss_scale(r);
    return r;
  }();
  return registry;
}

}  // namespace

Config serialize(const Optimizer& optimizer) {
  return internal::object_config("keras.optimizers", optimizer.class_name(), optimizer.get_config());
}
Optimizer deserialize(const Config& config) {
  return registry().from_config(config);
}

}  // namespace optimizers

Optimizer::Optimizer(const std::string& name) : Optimizer(optimizers::registry().from_name(name)) {}
Optimizer::Optimizer(const char* name) : Optimizer(internal::given_name("optimizer", name)) {}
Optimizer::Optimizer(std::shared_ptr<OptimizerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "an Optimizer")) {}

OptimizerImpl& Optimizer::impl() const {
  return internal::used(impl_, "Optimizer");
}

double Optimizer::learning_rate() const {
  return impl().inner().learning_rate();
}
void Optimizer::set_learning_rate(double rate) const {
  impl().inner().set_learning_rate(rate);
}
std::int64_t Optimizer::iterations() const {
  return impl().inner().iterations();
}
void Optimizer::exclude_from_weight_decay(ExcludeFromWeightDecayArgs args) const {
  impl().inner().exclude_from_weight_decay(std::move(args));
}

void Optimizer::apply(Call& call, const std::vector<graph::Value>& gradients,
                      const std::vector<Variable>& variables) const {
  if (gradients.size() != variables.size())
    throw ShapeError(
        fmt::format("optimizer \"{}\": apply got {} gradients for {} variables; give one for each", name(),
                    gradients.size(), variables.size()));
  for (std::size_t i = 0; i < variables.size(); i++)
    if (gradients[i].shape() != variables[i].shape())
      throw ShapeError(fmt::format(
          "optimizer \"{}\": the gradient of \"{}\" has shape {}, but the variable {}", name(),
          variables[i].path(), gradients[i].shape().to_string(), variables[i].shape().to_string()));
  std::vector<OptimizerImpl::Weight> weights;
  for (const Variable& w : variables) weights.push_back({w, w.path()});
  impl().build(weights);
  impl().apply(call, variables, gradients);
}
graph::Value Optimizer::scale_loss(Call& call, graph::Value loss) const {
  return impl().scale_loss(call, loss);
}
void Optimizer::finalize_variable_values(const std::vector<Variable>& variables) const {
  impl().inner().finalize_variable_values(variables);
}

}  // namespace kiln
