#include "kiln/callbacks.h"

#include "api/model/model_impl.h"
#include "api/support/names.h"

namespace kiln {

Callback::~Callback() = default;

void Callback::attach(const std::shared_ptr<ModelImpl>& model, const CallbackParams& params) {
  model_ = model;
  params_ = params;
}

Model Callback::model() const {
  auto model = model_.lock();
  if (!model) throw StateError("Callback::model: the callback isn't used by fit, evaluate or predict yet");
  return Model(std::move(model));
}

void Callback::stop_training() {
  model().stop_training();
}

const std::vector<double>& History::operator[](const std::string& name) const& {
  const auto found = history.find(name);
  if (found != history.end()) return found->second;
  std::vector<std::string_view> known;
  for (const auto& [key, values] : history) known.push_back(key);
  internal::unknown_name("history: the name", name, known);
}

void History::on_train_begin(const Logs&) {
  history.clear();
  epoch.clear();
}
void History::on_epoch_end(std::int64_t number, Logs& logs) {
  epoch.push_back(number);
  for (const auto& [name, value] : logs) history[name].push_back(value);
}

}  // namespace kiln
