#include "api/model/export_support.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <shared_mutex>

namespace kiln::internal {

using codegen::ExportFormat;

namespace {

template <class T>
bool has_nan(const Tensor& t) {
  return std::any_of(t.data<T>(), t.data<T>() + t.size(), [](T x) { return std::isnan(x); });
}

// Throws ValueError if an element isn't a number: such a model gives none either.
void check_weights(const char* caller, const Model& model) {
  for (const auto& [path, weight] : model.named_weights()) {
    const Tensor value = weight.value();
    const bool is_nan = value.dtype() == DType::f32   ? has_nan<float>(value)
                        : value.dtype() == DType::f64 ? has_nan<double>(value)
                                                      : false;
    if (is_nan)
      throw ValueError(
          fmt::format("{}: the weight \"{}\" has NaN among its elements, so the model can't predict; it has "
                      "to be trained again, with a lower learning rate perhaps",
                      caller, path));
  }
}

}  // namespace

ExportFormat export_format(const char* caller, const std::string& name) {
  static constexpr Named<ExportFormat> formats[] = {{"object", ExportFormat::object},
                                                    {"assembly", ExportFormat::assembly},
                                                    {"llvm_ir", ExportFormat::llvm_ir}};
  return value_named(fmt::format("{}: format", caller), name, formats);
}

bool optimizes_size(const char* caller, const std::string& optimize) {
  static constexpr Named<bool> names[] = {{"speed", false}, {"size", true}};
  return value_named(fmt::format("{}: optimize", caller), optimize, names);
}

int team_size(const char* caller, const std::string& threads, std::int64_t max_threads,
              std::int64_t standard) {
  constexpr std::int64_t least = 2, most = 1024;
  static constexpr Named<bool> names[] = {{"single", false}, {"openmp", true}};
  if (!value_named(fmt::format("{}: threads", caller), threads, names)) {
    if (max_threads != standard)
      throw ValueError(
          fmt::format("{}: max_threads is {}, but threads is \"single\"; give threads = \"openmp\"", caller,
                      max_threads));
    return 1;
  }
  if (max_threads < least || max_threads > most)
    throw ValueError(fmt::format("{}: max_threads is {}; give {} to {}, or threads = \"single\"", caller,
                                 max_threads, least, most));
  return static_cast<int>(max_threads);
}

const char* suffix(ExportFormat format) {
  return format == ExportFormat::object ? ".o" : format == ExportFormat::assembly ? ".s" : ".ll";
}

void check_row_count(const char* caller, const char* argument, std::int64_t rows) {
  if (rows < 1) throw ValueError(fmt::format("{}: {} is {}; it must be at least 1", caller, argument, rows));
}

void check_export(const char* caller, const Model& model, const std::string& path) {
  if (!model.model_impl().connected())
    throw StateError(
        fmt::format("{}: model \"{}\" isn't built; give it an Input, or call build, fit or predict before",
                    caller, model.name()));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw FileError(fmt::format("{}: {}: there is no folder {}; make it first{}", caller, path,
                                folder.string(), path.starts_with('~') ? " (~ isn't expanded)" : ""));
  for (const SymbolicTensor& t : model.model_impl().inputs())
    if (!t.shape().tail().is_static())
      throw ShapeError(
          fmt::format("{}: model \"{}\" has an input of shape {}, but exported code is for known "
                      "sizes; make a model whose Input says them",
                      caller, model.name(), t.shape().to_string()));
  check_weights(caller, model);
}

std::vector<Tensor> copies(ModelImpl& model, const std::vector<Tensor>& storage) {
  const std::shared_lock lock(model.weight_guards());
  std::vector<Tensor> result;
  for (const Tensor& t : storage) result.push_back(t.clone());
  return result;
}

void ExportedFiles::commit() {
  for (const std::string& name : names_)
    if (std::filesystem::is_directory(name))
      throw FileError(fmt::format("{}: {} is a folder; move it, or give another name", caller_, name));
  for (runtime::AtomicFile& file : files_) file.commit();
}

}  // namespace kiln::internal
