#include "api/model/export_support.h"

#include <filesystem>
#include <shared_mutex>

namespace kiln::internal {

using codegen::ExportFormat;

ExportFormat export_format(const char* caller, const std::string& name) {
  static constexpr Named<ExportFormat> formats[] = {{"object", ExportFormat::object},
                                                    {"assembly", ExportFormat::assembly},
                                                    {"llvm_ir", ExportFormat::llvm_ir}};
  return value_named(fmt::format("{}: format", caller).c_str(), name, formats);
}

int team_size(const char* caller, const std::string& threads, std::int64_t max_threads) {
  constexpr std::int64_t least = 2, most = 1024;
  static constexpr Named<bool> names[] = {{"single", false}, {"openmp", true}};
  if (!value_named(fmt::format("{}: threads", caller).c_str(), threads, names)) return 1;
  if (max_threads < least || max_threads > most)
    throw ValueError(fmt::format("{}: max_threads is {}; give {} to {}, or threads = \"single\"", caller,
                                 max_threads, least, most));
  return static_cast<int>(max_threads);
}

const char* suffix(ExportFormat format) {
  return format == ExportFormat::object ? ".o" : format == ExportFormat::assembly ? ".s" : ".ll";
}

void check_export(const char* caller, const Model& model, const std::string& path, std::int64_t batch_size) {
  if (!model.model_impl().connected())
    throw StateError(
        fmt::format("{}: model \"{}\" isn't built; give it an Input, or call build, fit or predict before",
                    caller, model.name()));
  if (batch_size < 1)
    throw ValueError(fmt::format("{}: batch_size is {}; it must be at least 1", caller, batch_size));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw FileError(
        fmt::format("{}: {}: there is no folder {}; make it first", caller, path, folder.string()));
  for (const SymbolicTensor& t : model.model_impl().inputs())
    if (!t.shape().tail().is_static())
      throw ShapeError(
          fmt::format("{}: model \"{}\" has an input of shape {}, but exported code is for known "
                      "sizes; make a model whose Input says them",
                      caller, model.name(), t.shape().to_string()));
}

std::vector<Tensor> copies(ModelImpl& model, const std::vector<Tensor>& storage) {
  const std::shared_lock lock(model.weight_guards());
  std::vector<Tensor> result;
  for (const Tensor& t : storage) result.push_back(t.clone());
  return result;
}

}  // namespace kiln::internal
