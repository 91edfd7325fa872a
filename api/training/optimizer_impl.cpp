#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/support/names.h"
#include "api/training/optimizers.h"
#include "kiln/optimizer.h"

namespace kiln {

using graph::Value;

// ---- arguments --------------------------------------------------------------------------------------------

namespace {

void check_positive(const std::string& owner, const char* argument, const std::optional<double>& value) {
  if (value && !(*value > 0 && std::isfinite(*value)))
    throw ValueError(
        fmt::format("{}: {} must be positive and finite, but it is {}; leave it out to switch it off", owner,
                    argument, *value));
}

void check_learning_rate(const std::string& what, double rate) {
  if (!std::isfinite(rate) || rate < 0)
    throw ValueError(fmt::format(
        "{} must be finite and not negative, but it is {}; give a rate such as 0.001", what, rate));
}

void check_options(const std::string& owner, const OptimizerOptions& options) {
  if (options.weight_decay && !(*options.weight_decay >= 0 && std::isfinite(*options.weight_decay)))
    throw ValueError(
        fmt::format("{}: weight_decay must be finite and not negative, but it is {}; leave it out to "
                    "switch it off",
                    owner, *options.weight_decay));
  check_positive(owner, "clipnorm", options.clipnorm);
  check_positive(owner, "clipvalue", options.clipvalue);
  check_positive(owner, "global_clipnorm", options.global_clipnorm);
  if (options.clipnorm.has_value() + options.clipvalue.has_value() + options.global_clipnorm.has_value() > 1)
    throw ValueError(fmt::format(
        "{}: only one of clipnorm, clipvalue and global_clipnorm can be set; leave out the others", owner));
  if (!(options.ema_momentum >= 0 && options.ema_momentum <= 1))
    throw ValueError(
        fmt::format("{}: ema_momentum must be in [0, 1], but it is {}; give the share of the old average, "
                    "such as 0.99",
                    owner, options.ema_momentum));
  if (options.ema_overwrite_frequency && *options.ema_overwrite_frequency < 1)
    throw ValueError(
        fmt::format("{}: ema_overwrite_frequency must be at least 1, but it is {}; leave it out to keep "
                    "the weights until the end of fit",
                    owner, *options.ema_overwrite_frequency));
  check_positive(owner, "loss_scale_factor", options.loss_scale_factor);
  if (options.gradient_accumulation_steps && *options.gradient_accumulation_steps < 2)
    throw ValueError(
        fmt::format("{}: gradient_accumulation_steps must be at least 2, but it is {}; leave it out to "
                    "update weights in each step",
                    owner, *options.gradient_accumulation_steps));
}

}  // namespace

OptimizerImpl::OptimizerImpl(const std::string& class_name, LearningRate learning_rate,
                             OptimizerOptions options)
    : name_(options.name.empty() ? internal::snake_case(class_name) : options.name),
      options_(std::move(options)),
      schedule_(learning_rate.schedule()),
      rate_(learning_rate.rate()),
      learning_rate_(Tensor::scalar(rate_, DType::f32)),
      iterations_(Tensor::scalar(0, DType::i64)) {
  if (!schedule_) check_learning_rate(class_name + ": learning_rate", rate_);
  check_options(class_name, options_);
}
OptimizerImpl::~OptimizerImpl() = default;

std::string OptimizerImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config OptimizerImpl::get_config() const {
  internal::not_serializable("optimizer", class_name());
}

std::optional<double> OptimizerImpl::weight_decay(const Weight&) const {
  return options_.weight_decay;
}

void OptimizerImpl::exclude_from_weight_decay(ExcludeFromWeightDecayArgs args) {
  if (built_)
    throw StateError(fmt::format(
        "optimizer \"{}\": exclude_from_weight_decay must be called before the first step is made, but "
        "training has begun: make a new optimizer and compile again",
        name_));
  for (const std::string& pattern : args.var_names)
    internal::matches("exclude_from_weight_decay: var_names", pattern, "");
  excluded_ = std::move(args);
}

bool OptimizerImpl::decays(const Variable& weight) const {
  if (std::find(excluded_.var_list.begin(), excluded_.var_list.end(), weight) != excluded_.var_list.end())
    return false;
  return std::none_of(
      excluded_.var_names.begin(), excluded_.var_names.end(), [&](const std::string& pattern) {
        return internal::matches("exclude_from_weight_decay: var_names", pattern, weight.name());
      });
}

double OptimizerImpl::learning_rate() const {
  // A schedule counts steps, also those that only accumulate gradients.
  return schedule_ ? schedule_(static_cast<std::int64_t>(iterations_.item())) : rate_;
}
void OptimizerImpl::set_learning_rate(double rate) {
  if (schedule_)
    throw TypeError(fmt::format(
        "optimizer \"{}\": the learning rate follows the schedule {}, so it can't be set; make the "
        "optimizer with a number as learning_rate",
        name_, schedule_.class_name()));
  check_learning_rate(fmt::format("optimizer \"{}\": the learning rate", name_), rate);
  rate_ = rate;
  learning_rate_() = rate;
  if (short_rate_.defined()) short_rate_() = rate;
}
LearningRate OptimizerImpl::learning_rate_argument() const {
  return schedule_ ? LearningRate(schedule_) : LearningRate(rate_);
}

std::int64_t OptimizerImpl::iterations() const {
  return static_cast<std::int64_t>(iterations_.item()) / options_.gradient_accumulation_steps.value_or(1);
}

// ---- states -----------------------------------------------------------------------------------------------

void OptimizerImpl::claim(const std::shared_ptr<const void>& model) {
  const std::shared_ptr<const void> other = model_.lock();
  if (other && other != model)
    throw StateError(
        fmt::format("optimizer \"{}\" already trains another model; it keeps state for each weight and "
                    "belongs to one model: make a new one",
                    name_));
  model_ = model;
}

const OptimizerImpl::Kept* OptimizerImpl::find(const Variable& weight) const {
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.weight.variable == weight; });
  return found == kept_.end() ? nullptr : &*found;
}

bool OptimizerImpl::built_for(std::span<const Variable> weights) const {
  return built_ &&
         std::all_of(weights.begin(), weights.end(), [&](const Variable& w) { return find(w) != nullptr; });
}

void OptimizerImpl::build(std::span<const Weight> weights) {
  for (const Weight& weight : weights) {
    const Variable& w = weight.variable;
    if (find(w) != nullptr) continue;
    Kept kept{.weight = weight, .slots = {}, .own = 0};
    for (const Slot& slot : slots(weight))
      kept.slots.push_back(
          {slot.name, Tensor::full(slot.shape.value_or(w.shape()), slot.initial, w.dtype())});
    kept.own = kept.slots.size();
    // The average starts as the weight, so that one that is never trained stays what it is.
    if (options_.use_ema) kept.slots.push_back({"average", w.value()});
    if (options_.gradient_accumulation_steps)
      kept.slots.push_back({"gradient_accumulator", Tensor::zeros(w.shape(), w.dtype())});
    kept_.push_back(std::move(kept));
    // Who computes in float64 wants the learning rate's digits, too.
    if (w.dtype() == DType::f64 && learning_rate_.dtype() == DType::f32) {
      short_rate_ = learning_rate_;  // functions compiled before read it
      learning_rate_ = Tensor::scalar(rate_, DType::f64);
    }
  }
  if (!built_ && !kept_.empty())
    for (const Slot& slot : shared_slots())
      shared_.push_back({slot.name, Tensor::scalar(slot.initial, kept_[0].weight.variable.dtype())});
  built_ = true;
}

std::vector<Tensor> OptimizerImpl::variables() const {
  std::vector<Tensor> all = {iterations_};
  if (!schedule_) all.push_back(learning_rate_);
  for (const Named& slot : shared_) all.push_back(slot.value);
  for (const Kept& k : kept_)
    for (const Named& slot : k.slots) all.push_back(slot.value);
  return all;
}

const Tensor* OptimizerImpl::slot(const Variable& weight, const std::string& name) const {
  if (const Kept* kept = find(weight))
    for (const Named& slot : kept->slots)
      if (slot.name == name) return &slot.value;
  return nullptr;
}
const Tensor* OptimizerImpl::shared_slot(const std::string& name) const {
  for (const Named& slot : shared_)
    if (slot.name == name) return &slot.value;
  return nullptr;
}

void OptimizerImpl::finalize_variable_values(std::span<const Variable> weights) {
  if (!options_.use_ema) return;
  for (const Variable& w : weights)
    if (const Tensor* average = slot(w, "average")) Variable(w).assign(*average);
}

}  // namespace kiln
