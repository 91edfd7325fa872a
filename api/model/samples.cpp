#include "api/model/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace kiln::internal {
namespace {

// A last axis of size 1 added or dropped where the model's input wants it, as Keras does.
Tensor with_rank_of(const Tensor& t, const Shape& expected) {
  Shape shape = t.shape();
  if (shape.rank() == expected.rank() + 1 && shape.back() == 1)
    return t.reshape(shape.slice(0, expected.rank()));
  if (shape.rank() + 1 == expected.rank() && expected.back() == 1) {
    shape.push_back(1);
    return t.reshape(shape);
  }
  return t;
}

void check_rows(const char* caller, const char* name, std::int64_t rows, std::int64_t expected) {
  if (rows != expected)
    throw ShapeError(fmt::format("{}: x has {} rows, but {} has {}; every sample needs its own", caller,
                                 expected, name, rows));
}

constexpr const char* one_array_hint =
    ". Tensors in braces are several arrays; for one array of rows write Tensor({{1, 2}, {3, 4}})";

std::string counted(std::size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

void check_samples(const char* caller, const char* name, const Tensor& t) {
  if (!t.defined())
    throw ShapeError(
        fmt::format("{}: {} is an empty Tensor, a handle without elements; give it an array with one "
                    "row for each sample",
                    caller, name));
  if (t.rank() < 1)
    throw ShapeError(fmt::format("{}: {} must be an array with one row for each sample, but its shape is {}",
                                 caller, name, t.shape().to_string()));
}

// The class of each row: class numbers, or the place of the largest value of one-hot rows.
std::vector<std::int64_t> classes_of(const Tensor& y) {
  const Shape& shape = y.shape();
  const bool numbers = shape.rank() == 1 || (shape.rank() == 2 && shape[1] == 1);
  if (!numbers && shape.rank() != 2)
    throw ShapeError(
        fmt::format("class_weight needs one class for each row: class numbers of shape (rows,), or one-hot "
                    "targets of shape (rows, classes); y has shape {}",
                    shape.to_string()));
  const std::vector<double> values = y.to_vector<double>();
  std::vector<std::int64_t> classes;
  const auto width = static_cast<std::ptrdiff_t>(numbers ? 1 : shape[1]);
  for (auto row = values.begin(); row < values.end(); row += width)
    classes.push_back(numbers ? static_cast<std::int64_t>(*row) : std::max_element(row, row + width) - row);
  return classes;
}

Tensor weights_by_class(const Tensor& y, const std::map<std::int64_t, double>& class_weight) {
  std::vector<float> weights;
  for (std::int64_t c : classes_of(y)) {
    const auto found = class_weight.find(c);
    weights.push_back(found == class_weight.end() ? 1.0f : static_cast<float>(found->second));
  }
  return Tensor(weights);
}

}  // namespace

std::vector<Tensor> prepare_inputs(ModelImpl& model, const char* caller, const Tensors& x) {
  if (x.empty()) throw ShapeError(fmt::format("{}: model \"{}\" got no x", caller, model.name()));
  std::vector<Tensor> prepared(x.begin(), x.end());
  for (const Tensor& t : prepared) check_samples(caller, "x", t);
  const bool takes_one = model.connected() ? model.inputs().size() == 1 : model.sequential();
  if (takes_one && x.size() > 1)
    throw ShapeError(fmt::format("{}: model \"{}\" takes one input, but x holds {} arrays{}", caller,
                                 model.name(), x.size(), one_array_hint));
  if (!model.connected()) {
    std::vector<Shape> shapes;
    for (const Tensor& t : prepared) shapes.push_back(t.shape().tail().prepend(None));
    model.build_once(shapes);
  }
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < prepared.size(); i++) {
    if (i < model.inputs().size()) prepared[i] = with_rank_of(prepared[i], model.inputs()[i].shape());
    prepared[i] = prepared[i].contiguous();
    shapes.push_back(prepared[i].shape());
  }
  if (const std::string mismatch = model.mismatch(shapes); !mismatch.empty())
    throw ShapeError(fmt::format("{}: {}", caller, mismatch));
  for (std::size_t i = 1; i < shapes.size(); i++)
    if (shapes[i][0] != shapes[0][0])
      throw ShapeError(fmt::format("model \"{}\": input 0 has {} rows, but input {} has {}", model.name(),
                                   shapes[0][0], i, shapes[i][0]));
  return prepared;
}

Samples prepare_samples(ModelImpl& model, const char* caller, const Tensors& x, const Tensors& y,
                        const Tensor& sample_weight) {
  Samples data;
  data.x = prepare_inputs(model, caller, x);
  data.rows = data.x[0].dim(0);
  if (data.rows == 0)
    throw ValueError(
        fmt::format("{}: x has no samples (its shape is {})", caller, data.x[0].shape().to_string()));
  if (y.size() != model.outputs().size())
    throw ShapeError(fmt::format("{}: model \"{}\" has {}, but y holds {}; give targets for each output{}",
                                 caller, model.name(), counted(model.outputs().size(), "output"),
                                 counted(y.size(), "array"),
                                 model.outputs().size() == 1 && y.size() > 1 ? one_array_hint : ""));
  for (const Tensor& t : y) {
    check_samples(caller, "y", t);
    check_rows(caller, "y", t.dim(0), data.rows);
    data.y.push_back(t.contiguous());
  }
  if (sample_weight.defined()) {
    check_rows(caller, "sample_weight", sample_weight.rank() < 1 ? 0 : sample_weight.dim(0), data.rows);
    data.weight = sample_weight.astype(DType::f32).contiguous();
  }
  return data;
}

void apply_class_weight(Samples& data, const char* caller,
                        const std::map<std::int64_t, double>& class_weight) {
  if (class_weight.empty()) return;
  for (const auto& [number, weight] : class_weight) {
    if (number < 0)
      throw ValueError(
          fmt::format("{}: class_weight has class {}; class numbers start at 0", caller, number));
    if (!(weight >= 0 && std::isfinite(weight)))
      throw ValueError(
          fmt::format("{}: class_weight gives class {} the weight {}; weights must be finite and not "
                      "negative",
                      caller, number, weight));
  }
  if (data.weight.defined())
    throw ValueError(
        fmt::format("{}: sample_weight and class_weight can't be given together; multiply them into "
                    "sample_weight",
                    caller));
  if (data.y.size() != 1)
    throw ValueError(fmt::format("{}: class_weight works for models with one output only", caller));
  data.weight = weights_by_class(data.y[0], class_weight);
}

std::vector<graph::Type> batch_types(const ModelImpl& model, std::span<const SymbolicTensor> tensors,
                                     std::int64_t batch_size) {
  std::vector<graph::Type> types;
  for (const SymbolicTensor& t : tensors) {
    Shape shape = t.shape();
    if (shape.rank() > 0) shape[0] = batch_size;
    if (!shape.is_static())
      throw ShapeError(
          fmt::format("model \"{}\" has a tensor of shape {}: its sizes are known when data come; call "
                      "train_on_batch or predict_on_batch first",
                      model.name(), t.shape().to_string()));
    types.push_back({t.dtype(), std::move(shape)});
  }
  return types;
}

Samples Samples::slice(std::int64_t first, std::int64_t last) const {
  Samples part;
  for (const Tensor& t : x) part.x.push_back(t.slice(first, last));
  for (const Tensor& t : y) part.y.push_back(t.slice(first, last));
  if (weight.defined()) part.weight = weight.slice(first, last);
  part.rows = last - first;
  part.first_row = first_row + first;
  return part;
}

std::vector<Tensor> Samples::arrays() const {
  std::vector<Tensor> all = x;
  all.insert(all.end(), y.begin(), y.end());
  if (weight.defined()) all.push_back(weight);
  return all;
}

BatchTypes Samples::types(std::int64_t batch_size) const {
  const auto type = [&](const Tensor& t) {
    return graph::Type{t.dtype(), t.shape().tail().prepend(batch_size)};
  };
  BatchTypes types;
  for (const Tensor& t : x) types.x.push_back(type(t));
  for (const Tensor& t : y) types.y.push_back(type(t));
  if (weight.defined()) types.weight = type(weight);
  return types;
}

// ---- Feeder -----------------------------------------------------------------------------------------------

Feeder::Feeder(std::vector<Tensor> arrays, std::int64_t batch_size)
    : arrays_(std::move(arrays)), batch_size_(batch_size), addresses_(arrays_.size()) {
  for (const Tensor& t : arrays_)
    row_bytes_.push_back(t.dim(0) == 0 ? 0 : t.nbytes() / static_cast<std::size_t>(t.dim(0)));
}

std::span<void* const> Feeder::consecutive(std::int64_t first) {
  for (std::size_t i = 0; i < arrays_.size(); i++)
    addresses_[i] =
        static_cast<std::byte*>(arrays_[i].raw()) + static_cast<std::size_t>(first) * row_bytes_[i];
  return addresses_;
}

std::span<void* const> Feeder::gathered(std::span<const std::int64_t> rows) {
  if (buffers_.empty())
    for (const Tensor& t : arrays_) buffers_.emplace_back(t.shape().tail().prepend(batch_size_), t.dtype());
  for (std::size_t i = 0; i < arrays_.size(); i++) {
    const auto* from = static_cast<const std::byte*>(arrays_[i].raw());
    auto* to = static_cast<std::byte*>(buffers_[i].raw());
    const std::size_t bytes = row_bytes_[i];
    for (std::size_t r = 0; r < rows.size(); r++)
      std::memcpy(to + r * bytes, from + static_cast<std::size_t>(rows[r]) * bytes, bytes);
    addresses_[i] = to;
  }
  return addresses_;
}

}  // namespace kiln::internal
