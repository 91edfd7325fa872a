// Models as object files with a C header.
#include <fmt/format.h>

#include <deque>
#include <filesystem>
#include <random>
#include <shared_mutex>

#include "api/model/export_header.h"
#include "api/model/model_impl.h"
#include "api/model/predictor.h"
#include "api/model/samples.h"
#include "api/support/names.h"
#include "kiln/codegen/export.h"
#include "kiln/runtime/file.h"

namespace kiln {
namespace {

using codegen::ExportFormat;

template <class T>
struct Named {
  const char* name;
  T value;
};

// The value of that name; throws ValueError for others.
template <class T, std::size_t count>
T value_named(const char* argument, const std::string& name, const Named<T> (&values)[count]) {
  std::vector<std::string_view> known;
  for (const Named<T>& v : values) {
    if (name == v.name) return v.value;
    known.emplace_back(v.name);
  }
  internal::unknown_name(fmt::format("export_library: {}", argument), name, known);
}

codegen::ExportOptions options_of(const ExportArgs& args, std::string prefix) {
  using codegen::WeightPlace, codegen::WeightStorage;
  static constexpr Named<ExportFormat> formats[] = {{"object", ExportFormat::object},
                                                    {"assembly", ExportFormat::assembly},
                                                    {"llvm_ir", ExportFormat::llvm_ir}};
  static constexpr Named<WeightPlace> places[] = {{"embedded", WeightPlace::object},
                                                  {"separate", WeightPlace::separate}};
  static constexpr Named<WeightStorage> storages[] = {{"float32", WeightStorage::float32},
                                                      {"float16", WeightStorage::float16},
                                                      {"bfloat16", WeightStorage::bfloat16}};
  codegen::ExportOptions options;
  options.prefix = std::move(prefix);
  options.target = args.target;
  options.cpu = args.cpu;
  options.features = args.features;
  options.format = value_named("format", args.format, formats);
  options.weights = value_named("weights", args.weights, places);
  options.selftest = args.selftest;
  options.weight_storage = value_named("weight_storage", args.weight_storage, storages);
  return options;
}

const char* suffix(ExportFormat format) {
  return format == ExportFormat::object ? ".o" : format == ExportFormat::assembly ? ".s" : ".ll";
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
  if (!args.selftest) return {};
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
  if (!model.connected())
    throw StateError(fmt::format(
        "export_library: model \"{}\" isn't built; give it an Input, or call build, fit or predict before",
        name()));
  if (args.batch_size < 1)
    throw ValueError(fmt::format("export_library: batch_size is {}; it must be at least 1", args.batch_size));
  const std::string prefix = std::filesystem::path(path).filename().string();
  const codegen::ExportOptions options = options_of(args, prefix);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw FileError(
        fmt::format("export_library: {}: there is no folder {}; make it first", path, folder.string()));

  for (const SymbolicTensor& t : model.inputs())
    if (!t.shape().tail().is_static())
      throw ShapeError(
          fmt::format("export_library: model \"{}\" has an input of shape {}, but exported code is for known "
                      "sizes; make a model whose Input says them",
                      name(), t.shape().to_string()));
  const std::vector<graph::Type> types = internal::batch_types(model, model.inputs(), args.batch_size);
  graph::Graph graph(fmt::format("{}_export_{}", name(), args.batch_size));
  Call call(graph, false);
  model.emit_prediction(call, types);

  std::vector<Tensor> weights;
  {
    const std::shared_lock lock(model.weight_guards());
    for (const Tensor& t : call.storage()) weights.push_back(t.clone());
  }
  const codegen::ExportedProgram program =
      codegen::export_program(graph, weights, test_inputs(model, types, args), options);
  // All are on the disk before the first takes its name. The header, which speaks of the others, comes last.
  std::vector<std::pair<std::string, std::string>> texts = {{suffix(options.format), program.code}};
  if (options.weights == codegen::WeightPlace::separate) texts.emplace_back(".weights", program.weights);
  texts.emplace_back(".h", internal::export_header(*this, program, args, prefix));
  std::deque<runtime::AtomicFile> files;
  for (const auto& [end, text] : texts) files.emplace_back(path + end).write(text.data(), text.size());
  for (runtime::AtomicFile& file : files) file.commit();
}

}  // namespace kiln
