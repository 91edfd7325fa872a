#include "api/model/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <shared_mutex>

#include "kiln/codegen/machine.h"

namespace kiln::internal {
namespace {

// Of a tensor that has rows.
std::size_t row_bytes(const Tensor& t) {
  return t.nbytes() / static_cast<std::size_t>(t.dim(0));
}

void* row_address(const Tensor& t, std::int64_t row) {
  return const_cast<std::byte*>(static_cast<const std::byte*>(t.raw())) +
         static_cast<std::size_t>(row) * row_bytes(t);
}

// As many rows as go through at once, or the next power of two for fewer.
std::int64_t padded_rows(std::int64_t rows, std::int64_t at_once) {
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return std::min(power, at_once);
}

}  // namespace

// Kept from call to call by each thread, so that predictions in a loop allocate nothing.
struct Predictor::Scratch {
  BatchTypes types;
  std::vector<void*> inputs, outputs;
  std::vector<std::vector<std::byte>> padded_inputs, padded_outputs;

  static void* reserve(std::vector<std::vector<std::byte>>& buffers, std::size_t i, std::size_t bytes) {
    if (buffers.size() <= i) buffers.resize(i + 1);
    if (buffers[i].size() < bytes) buffers[i].resize(bytes);
    return buffers[i].data();
  }
};

std::unique_ptr<Step> Predictor::make_step(const BatchTypes& types) {
  graph::Graph graph(fmt::format("{}_predict_{}", model_.name(), types.x[0].shape[0]));
  Call call(graph, false);
  model_.emit_prediction(call, types.x);
  return std::make_unique<Step>(std::move(graph), call.storage(), model_.guarded_weights());
}

std::shared_ptr<Step> Predictor::step_for(std::span<const Tensor> x, std::int64_t rows, BatchTypes& types) {
  types.x.resize(x.size());
  for (std::size_t i = 0; i < x.size(); i++) {
    types.x[i].dtype = x[i].dtype();
    types.x[i].shape = x[i].shape();
    types.x[i].shape[0] = rows;
  }
  return step(types);
}

BatchTypes Predictor::expected_types(std::int64_t batch_size) {
  if (const std::optional<BatchTypes> seen = steps_.newest_types(batch_size)) return *seen;
  BatchTypes types;
  types.x = batch_types(model_, model_.inputs(), batch_size);
  return types;
}

std::int64_t Predictor::rows_at_once(std::int64_t batch_size) const {
  constexpr std::int64_t fewest = 32;  // weights are read once for as many
  if (batch_size <= fewest) return batch_size;
  const auto bytes_of_row = [](const Shape& shape, DType dtype) {
    auto bytes = static_cast<std::int64_t>(size_of(dtype));
    for (int i = 1; i < shape.rank(); i++) bytes *= std::max<std::int64_t>(1, shape.dim(i));
    return bytes;
  };
  std::int64_t most = 1;
  for (const auto& application : model_.applications()) {
    std::int64_t bytes = 0;
    for (const SymbolicTensor& x : application->inputs) bytes += bytes_of_row(x.shape(), x.dtype());
    for (std::size_t i = 0; i < application->output_shapes.size(); i++)
      bytes += bytes_of_row(application->output_shapes[i], application->output_dtypes[i]);
    most = std::max(most, bytes);
  }
  const std::int64_t rows = codegen::cache_bytes() * runtime::num_threads() / most;
  if (rows < fewest) return batch_size;
  return std::min(batch_size, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(rows))));
}

graph::Type Predictor::output_type(std::size_t i, std::span<const Tensor> x) {
  const SymbolicTensor& y = model_.outputs()[i];
  Shape shape = y.shape();
  if (shape.rank() > 0) shape[0] = x[0].dim(0);
  if (!shape.is_static()) {
    // Sizes that depend on unknown sizes of the input: as the graph for one row has them.
    graph::Graph graph("shape");
    Call call(graph, false);
    std::vector<graph::Value> values;
    for (const Tensor& t : x) values.push_back(graph.input("x", {t.dtype(), t.shape().tail().prepend(1)}));
    shape = model_.call_all(call, values)[i].shape();
    shape[0] = x[0].dim(0);
  }
  return {y.dtype(), shape};
}

std::vector<Tensor> Predictor::predict(const std::vector<Tensor>& x, std::int64_t batch_size,
                                       const std::function<void(std::int64_t)>& after_batch) {
  std::vector<Tensor> out;
  for (std::size_t i = 0; i < model_.outputs().size(); i++) {
    const graph::Type type = output_type(i, x);
    out.emplace_back(type.shape, type.dtype);
  }
  predict_into(x, out, batch_size, after_batch);
  return out;
}

void Predictor::predict_into(std::span<const Tensor> x, std::span<Tensor> out, std::int64_t batch_size,
                             const std::function<void(std::int64_t)>& after_batch) {
  thread_local Scratch scratch;
  scratch.inputs.resize(x.size());
  scratch.outputs.resize(out.size());
  const std::int64_t rows = x[0].dim(0);
  const std::int64_t at_once = rows_at_once(batch_size);
  std::int64_t batch = 0, count = 0;
  for (std::int64_t first = 0; first < rows; first += count) {
    const std::int64_t batch_end = std::min((batch + 1) * batch_size, rows);
    count = std::min(at_once, batch_end - first);
    const std::int64_t padded = padded_rows(count, at_once);
    const std::shared_ptr<Step> step = step_for(x, padded, scratch.types);
    for (std::size_t i = 0; i < x.size(); i++) {
      scratch.inputs[i] = row_address(x[i], first);
      if (padded == count) continue;
      // The padding repeats the last row: values that a check inside the model lets pass.
      const std::size_t bytes = row_bytes(x[i]);
      auto* buffer = static_cast<std::byte*>(
          Scratch::reserve(scratch.padded_inputs, i, bytes * static_cast<std::size_t>(padded)));
      if (bytes > 0) std::memcpy(buffer, scratch.inputs[i], bytes * static_cast<std::size_t>(count));
      for (std::int64_t r = count; r < padded && bytes > 0; r++)
        std::memcpy(buffer + static_cast<std::size_t>(r) * bytes, row_address(x[i], first + count - 1),
                    bytes);
      scratch.inputs[i] = buffer;
    }
    for (std::size_t i = 0; i < out.size(); i++)
      scratch.outputs[i] = padded == count
                               ? row_address(out[i], first)
                               : Scratch::reserve(scratch.padded_outputs, i,
                                                  row_bytes(out[i]) * static_cast<std::size_t>(padded));
    try {
      const std::shared_lock lock(model_.weight_guards());
      step->run(scratch.inputs.data(), scratch.outputs.data(), model_.weight_guards().version());
    } catch (const DataError& error) {
      throw DataError(error.message(), first + error.row(), error.value());
    }
    if (padded != count)
      for (std::size_t i = 0; i < out.size(); i++)
        if (row_bytes(out[i]) > 0)
          std::memcpy(row_address(out[i], first), scratch.outputs[i],
                      row_bytes(out[i]) * static_cast<std::size_t>(count));
    if (first + count < batch_end) continue;
    batch++;
    if (after_batch) after_batch(batch);
  }
}

}  // namespace kiln::internal
