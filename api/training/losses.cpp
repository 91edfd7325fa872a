#include "kiln/losses.h"

#include <algorithm>
#include <array>
#include <typeinfo>

#include "api/support/handles.h"
#include "api/training/loss_functions.h"
#include "api/training/targets.h"

namespace kiln {

using graph::Value;

LossImpl::LossImpl(std::string name, std::string reduction)
    : name_(std::move(name)), reduction_(std::move(reduction)) {
  static constexpr std::array<std::string_view, 5> known = {"sum_over_batch_size", "mean", "sum",
                                                            "mean_with_sample_weight", "none"};
  if (std::find(known.begin(), known.end(), reduction_) == known.end())
    internal::unknown_name(fmt::format("loss \"{}\": reduction", name_), reduction_, known);
}
LossImpl::~LossImpl() = default;

Value LossImpl::arrange(Value y_true, Value y_pred) const {
  return internal::same_shape(name_, y_true, y_pred);
}
Value LossImpl::counted(Value, Value) const {
  return {};
}
std::string LossImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config LossImpl::get_config() const {
  internal::not_serializable("loss", name_);
}

namespace losses {

// ---- what several use -------------------------------------------------------------------------------------

Value clip(Value x, double low, double high) {
  x = graph::maximum(x, graph::scalar(x, low));
  return graph::minimum(x, graph::scalar(x, high));
}
Value mean_over(const char* loss, Value x, int axis) {
  return x.rank() < 2 ? x : graph::reduce_mean(x, {normalize_axis(axis, x.rank(), loss)});
}
Value mean_last(Value x) {
  return x.rank() < 2 ? x : graph::reduce_mean(x, {x.rank() - 1});
}
void check_share(const char* loss, const char* argument, double value) {
  if (!(value >= 0 && value <= 1))
    throw ValueError(fmt::format("{}: {} must be in [0, 1], but it is {}", loss, argument, value));
}
void check_not_negative(const char* loss, const char* argument, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    throw ValueError(
        fmt::format("{}: {} must be finite and not negative, but it is {}", loss, argument, value));
}

namespace {

class FunctionLoss final : public LossImpl {
 public:
  FunctionLoss(std::string name, std::string reduction, std::function<Value(Value, Value)> values)
      : LossImpl(std::move(name), std::move(reduction)), values_(std::move(values)) {}
  Value values(Value y_true, Value y_pred) const override { return values_(y_true, y_pred); }

 private:
  std::function<Value(Value, Value)> values_;
};

/// "crossentropy": which one it is hangs on the shapes. Arranged targets of one axis less are class numbers.
class AnyCrossentropy final : public LossImpl {
 public:
  explicit AnyCrossentropy(std::string name) : LossImpl(std::move(name), "sum_over_batch_size") {}

  Value arrange(Value y_true, Value y_pred) const override {
    const bool is_binary = y_pred.rank() > 0 && y_pred.shape().back() == 1;
    const bool is_sparse =
        !is_binary && y_true.rank() > 0 && (y_true.rank() < y_pred.rank() || y_true.shape().back() == 1);
    return is_sparse ? internal::class_labels(name(), y_true, y_pred)
                     : internal::same_shape(name(), y_true, y_pred);
  }
  Value values(Value y_true, Value y_pred) const override {
    const Loss loss = y_true.rank() < y_pred.rank() ? SparseCategoricalCrossentropy()
                      : y_pred.shape().back() == 1  ? BinaryCrossentropy()
                                                    : CategoricalCrossentropy();
    return loss.impl().values(y_true, y_pred);
  }
  Config get_config() const override { return Config::Dict{{"name", name()}}; }
  std::string class_name() const override { return name(); }
};

Loss any_crossentropy(internal::Fields& f, std::string name) {
  f("name", name);
  return Loss(std::make_shared<AnyCrossentropy>(name));
}

const LossRegistry& registry() {
  static const auto registry = [] {
    LossRegistry r("loss");
    add_regression_losses(r);
    add_binary_losses(r);
    add_categorical_losses(r);
    add_margin_losses(r);
    r.add({"crossentropy"}, [](internal::Fields& f) { return any_crossentropy(f, "crossentropy"); });
    r.add({"ce"}, [](internal::Fields& f) { return any_crossentropy(f, "ce"); });
    return r;
  }();
  return registry;
}

}  // namespace

Loss make_loss(std::string name, std::function<Value(Value, Value)> values, LossArgs args) {
  return Loss(std::make_shared<FunctionLoss>(
      args.name.empty() ? name : args.name, args.reduction,
      internal::not_empty_function(std::move(values), fmt::format("make_loss(\"{}\")", name))));
}

Config serialize(const Loss& loss) {
  return internal::object_config("keras.losses", loss.class_name(), loss.get_config());
}
Loss deserialize(const Config& config) {
  return registry().from_config(config);
}

}  // namespace losses

Loss::Loss(const std::string& name) : Loss(losses::registry().from_name(name)) {}
Loss::Loss(const char* name) : Loss(internal::given_name("loss", name)) {}

const LossImpl& Loss::impl() const {
  return internal::used(impl_, "Loss");
}
std::string Loss::class_name() const {
  return impl().class_name();
}
Config Loss::get_config() const {
  return impl().get_config();
}

}  // namespace kiln
