// Models as object files with a C header.
#include <fmt/format.h>

#include <random>

#include "api/model/export_header.h"
#include "api/model/export_support.h"
#include "api/model/predictor.h"
#include "api/model/samples.h"

namespace kiln {
namespace {

constexpr const char* caller = "export_library";

codegen::ExportOptions options_of(const std::string& path, const ExportArgs& args) {
  using codegen::WeightPlace, codegen::WeightStorage;
  static constexpr internal::Named<WeightPlace> places[] = {{"embedded", WeightPlace::object},
                                                            {"separate", WeightPlace::separate}};
  static constexpr internal::Named<WeightStorage> storages[] = {{"float32", WeightStorage::float32},
                                                                {"float16", WeightStorage::float16},
                                                                {"bfloat16", WeightStorage::bfloat16}};
  codegen::ExportOptions options = internal::common_options(caller, path, args);
  options.weights = internal::value_named("export_library: weights", args.weights, places);
  options.weight_storage =
      internal::value_named("export_library: weight_storage", args.weight_storage, storages);
  options.selftest = args.selftest;
  return options;
}

// Random inputs for the self test; whole numbers below `limit`.
std::vector<Tensor> random_inputs(const std::vector<graph::Type>& types, std::uint32_t limit) {
  std::mt19937 random(1);
  std::vector<Tensor> inputs;
  for (const graph::Type& type : types) {
    Tensor t(type.shape, is_float(type.dtype) ? DType::f64 : DType::i64);
    for (std::int64_t i = 0; i < t.size(); i++) {
      const auto bits = static_cast<std::uint32_t>(random());
      if (is_float(type.dtype))
        t.data<double>()[i] = bits / 4294967296.0;
      else
        t.data<std::int64_t>()[i] = bits % (type.dtype == DType::bool_ ? 2 : limit);
    }
    inputs.push_back(t.astype(type.dtype));
  }
  return inputs;
}

// Random inputs that the model's checks let pass.
std::vector<Tensor> accepted_inputs(ModelImpl& model, const std::vector<graph::Type>& types,
                                    std::int64_t batch_size) {
  std::string reason;
  for (const std::uint32_t limit : {256, 32, 8, 2, 1}) {
    std::vector<Tensor> inputs = random_inputs(types, limit);
    try {
      model.predictor().predict(inputs, batch_size, {});
      return inputs;
    } catch (const DataError& error) {
      reason = error.what();
    }
  }
  throw ValueError(
      fmt::format("export_library: no inputs for the self test were found that the model takes ({}); give "
                  ".test_inputs, {} rows of them, or .selftest = false",
                  reason, batch_size));
}

std::vector<Tensor> test_inputs(ModelImpl& model, const std::vector<graph::Type>& types,
                                const ExportArgs& args) {
  if (!args.selftest) {
    if (!args.test_inputs.empty())
      throw ValueError(
          "export_library: test_inputs are for the self test; leave them or selftest = false out");
    return {};
  }
  if (args.test_inputs.empty()) return accepted_inputs(model, types, args.batch_size);
  std::vector<Tensor> given =
      internal::prepare_inputs(model, "export_library: test_inputs", args.test_inputs);
  for (std::size_t i = 0; i < given.size(); i++) {
    if (given[i].shape() != types[i].shape)
      throw ShapeError(fmt::format("export_library: test input {} has shape {}, but a batch has {}", i,
                                   given[i].shape().to_string(), types[i].shape.to_string()));
    given[i] = given[i].astype(types[i].dtype).contiguous();
  }
  return given;
}

}  // namespace

void Model::export_library(const std::string& path, ExportArgs args) const {
  ModelImpl& model = model_impl();
  internal::check_export(caller, *this, path);
  internal::check_row_count(caller, "batch_size", args.batch_size);
  const codegen::ExportOptions options = options_of(path, args);
  const std::vector<graph::Type> types = internal::batch_types(model, model.inputs(), args.batch_size);
  graph::Graph graph(fmt::format("{}_export_{}", name(), args.batch_size));
  Call call(graph, false);
  model.emit_prediction(call, types);
  const std::vector<Tensor> weights = internal::copies(model, call.storage());
  const codegen::ExportedProgram program =
      codegen::export_program(graph, weights, test_inputs(model, types, args), options);
  internal::ExportedFiles files("export_library", path);
  files.add(internal::suffix(options.format), program.code);
  if (options.weights == codegen::WeightPlace::separate) files.add(".weights", program.weights);
  files.add(".h", internal::export_header(*this, program, args, options.prefix));
  files.commit();
}

}  // namespace kiln
