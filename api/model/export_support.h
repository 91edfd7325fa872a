#pragma once
#include <fmt/format.h>

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "api/model/model_impl.h"
#include "api/support/names.h"
#include "kiln/codegen/export.h"
#include "kiln/runtime/file.h"

/// What exports of predictions and of training steps have in common.
namespace kiln::internal {

template <class T>
struct Named {
  const char* name;
  T value;
};

/// The value of that name; throws ValueError for others. `argument` stands in the message.
template <class T, std::size_t count>
T value_named(const std::string& argument, const std::string& name, const Named<T> (&values)[count]) {
  std::vector<std::string_view> known;
  for (const Named<T>& v : values) {
    if (name == v.name) return v.value;
    known.emplace_back(v.name);
  }
  unknown_name(argument, name, known);
}

codegen::ExportFormat export_format(const char* caller, const std::string& name);
/// Is it "size"?
bool optimizes_size(const char* caller, const std::string& optimize);
/// How many threads the team has that `threads` names. Without a team `max_threads` must be the `standard`
/// that it is if nobody gives it.
int team_size(const char* caller, const std::string& threads, std::int64_t max_threads,
              std::int64_t standard);
/// What both exports are asked for; throws ValueError for names that aren't known.
template <class Args>
codegen::ExportOptions common_options(const char* caller, const std::string& path, const Args& args) {
  codegen::ExportOptions options;
  options.caller = caller;
  options.prefix = std::filesystem::path(path).filename().string();
  options.target = args.target;
  options.cpu = args.cpu;
  options.features = args.features;
  options.format = export_format(caller, args.format);
  options.small = optimizes_size(caller, args.optimize);
  options.max_threads = team_size(caller, args.threads, args.max_threads, Args{}.max_threads);
  return options;
}
/// Of the file that holds it.
const char* suffix(codegen::ExportFormat format);

/// Throws if the model isn't built or of unknown sizes or has NaN for weights, or if there is no folder to
/// write to.
void check_export(const char* caller, const Model& model, const std::string& path);
/// Throws for a number of rows below 1; `argument` is its name.
void check_row_count(const char* caller, const char* argument, std::int64_t rows);

/// Copies of weights and other states, made while no step changes them.
std::vector<Tensor> copies(ModelImpl& model, const std::vector<Tensor>& storage);

/// Files that all are on the disk before the first takes its name; the last added speaks of the others.
class ExportedFiles {
 public:
  ExportedFiles(std::string caller, std::string path) : caller_(std::move(caller)), path_(std::move(path)) {}
  void add(const std::string& suffix, const std::string& content) {
    names_.push_back(path_ + suffix);
    files_.emplace_back(names_.back()).write(content.data(), content.size());
  }
  /// Throws FileError, before anything is changed, where a folder has the name of a file.
  void commit();

 private:
  std::string caller_, path_;
  std::vector<std::string> names_;
  std::deque<runtime::AtomicFile> files_;
};

}  // namespace kiln::internal
