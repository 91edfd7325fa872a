#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/console/console.h"
#include "api/console/table.h"
#include "api/layers/input.h"
#include "api/model/model_impl.h"
#include "api/model/trainer.h"

namespace kiln {
namespace {

using internal::Align;
using internal::Application;

// 1234567 -> 1,234,567
std::string with_commas(std::int64_t n) {
  std::string digits = std::to_string(n);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string readable_bytes(std::int64_t bytes) {
  double size = static_cast<double>(bytes);
  for (const char* unit : {"B", "KB", "MB", "GB", "TB"}) {
    if (size < 1024) return fmt::format("{:.2f} {}", size, unit);
    size /= 1024;
  }
  return fmt::format("{:.2f} PB", size);
}

struct Size {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  void add(const Tensor& t) {
    elements += t.size();
    bytes += static_cast<std::int64_t>(t.nbytes());
  }
  std::string to_string() const {
    return fmt::format("{} ({})", with_commas(elements), readable_bytes(bytes));
  }
};

Size size_of(const std::vector<Variable>& weights) {
  Size size;
  for (const Variable& w : weights) size.add(w.storage());
  return size;
}

// One chain without branches or shared layers: Keras leaves the column "Connected to" out.
bool is_chain(const ModelImpl& model) {
  if (model.sequential()) return true;
  std::map<int, int> at_depth;
  std::map<const LayerImpl*, int> uses;
  const auto& applications = model.applications();
  for (std::size_t i = 0; i < applications.size(); i++) {
    if (++at_depth[model.depths()[i]] > 1 || applications[i]->inputs.size() > 1) return false;
    if (++uses[&applications[i]->layer.impl()] > 1) return false;
  }
  return true;
}

std::string output_shape(const Layer& layer) {
  if (const auto* input = internal::as_input(layer)) return input->shape().to_string();
  const std::vector<Shape>& shapes = layer.impl().output_shapes();
  if (shapes.empty()) {
    const auto* model = dynamic_cast<const ModelImpl*>(&layer.impl());
    if (model == nullptr || !model->connected()) return "?";
    return model->outputs()[0].shape().to_string();
  }
  if (shapes.size() == 1) return shapes[0].to_string();
  std::string out;
  for (const Shape& s : shapes) out += (out.empty() ? "[" : ", ") + s.to_string();
  return out + "]";
}

std::string connections(const ModelImpl& model, const Layer& layer) {
  std::string out;
  for (const auto& application : model.applications()) {
    if (!(application->layer == layer)) continue;
    for (const SymbolicTensor& x : application->inputs)
      out += fmt::format("{}{}[{}][{}]", out.empty() ? "" : ", ", x.layer().name(), x.data().from->index,
                         x.data().output);
  }
  return out.empty() ? "-" : out;
}

class Summary {
 public:
  Summary(const Model& model, const SummaryArgs& args)
      : model_(model), impl_(model.model_impl()), args_(args), chain_(is_chain(impl_)) {}

  std::string text() {
    table_.width = args_.line_length.value_or(
        std::min((chain_ ? 88 : 108) + (args_.show_trainable ? 12 : 0), internal::console().columns - 4));
    add_columns();
    for (const Layer& layer : model_.layers()) add_rows(layer, 0);
    return fmt::format("Model: \"{}\"\n", model_.name()) + table_.to_string() + totals();
  }

 private:
  void add_columns() {
    std::vector<double> ends = args_.positions;
    if (ends.empty()) {
      ends = chain_ ? std::vector<double>{0.45, 0.80, 1.0} : std::vector<double>{0.3, 0.56, 0.74, 1.0};
      if (args_.show_trainable) {
        for (double& end : ends) end *= 0.9;
        ends.push_back(1.0);
      }
    }
    table_.columns = {
        {"Layer (type)", Align::left, 0}, {"Output Shape", Align::left, 0}, {"Param #", Align::right, 0}};
    if (!chain_) table_.columns.push_back({"Connected to", Align::left, 0});
    if (args_.show_trainable) table_.columns.push_back({"Trainable", Align::center, 0});
    if (ends.size() != table_.columns.size())
      throw ValueError(fmt::format("summary: positions needs {} values, one for each column, but has {}",
                                   table_.columns.size(), ends.size()));
    int begin = 0;
    for (std::size_t i = 0; i < ends.size(); i++) {
      const int end = ends[i] <= 1 ? static_cast<int>(ends[i] * table_.width) : static_cast<int>(ends[i]);
      table_.columns[i].width = end - begin;
      if (table_.columns[i].width < 4)
        throw ValueError("summary: insufficient console width to print the summary");
      begin = end;
    }
  }

  void add_rows(const Layer& layer, int level) {
    std::string prefix;
    for (int i = 0; i < level; i++) prefix += "   ";
    if (level > 0) prefix += "└ ";
    std::vector<std::string> row = {fmt::format("{}{} ({})", prefix, layer.name(), layer.class_name()),
                                    output_shape(layer),
                                    layer.built() ? with_commas(layer.count_params()) : "0 (unbuilt)"};
    if (!chain_) row.push_back(connections(impl_, layer));
    if (args_.show_trainable) row.push_back(layer.weights().empty() ? "-" : layer.trainable() ? "Y" : "N");
    table_.rows.push_back(std::move(row));
    if (!args_.expand_nested || dynamic_cast<const ModelImpl*>(&layer.impl()) == nullptr) return;
    for (const Layer& inner : Model(std::static_pointer_cast<ModelImpl>(layer.shared())).layers())
      add_rows(inner, level + 1);
  }

  std::string totals() const {
    const Size trainable = size_of(model_.trainable_weights());
    const Size fixed = size_of(model_.non_trainable_weights());
    Size optimizer;
    const bool has_optimizer = impl_.compiled() && model_.optimizer().impl().built();
    if (has_optimizer)
      for (const Tensor& t : model_.optimizer().impl().variables()) optimizer.add(t);
    const Size total = {trainable.elements + fixed.elements + optimizer.elements,
                        trainable.bytes + fixed.bytes + optimizer.bytes};
    std::string out = fmt::format(" Total params: {}\n Trainable params: {}\n Non-trainable params: {}\n",
                                  total.to_string(), trainable.to_string(), fixed.to_string());
    if (has_optimizer) out += fmt::format(" Optimizer params: {}\n", optimizer.to_string());
    return out;
  }

  const Model& model_;
  const ModelImpl& impl_;
  const SummaryArgs& args_;
  bool chain_;
  internal::Table table_;
};

}  // namespace

std::string Model::summary_text(SummaryArgs args) const {
  return Summary(*this, args).text();
}
void Model::summary(SummaryArgs args) const {
  internal::print(summary_text(std::move(args)));
}

}  // namespace kiln
