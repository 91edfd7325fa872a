#pragma once
#include <fmt/format.h>

#include <span>
#include <string>
#include <vector>

#include "kiln/codegen/export.h"
#include "kiln/model.h"

namespace kiln::internal {

/// A C99 header that is being written, and the names in it.
class CHeader {
 public:
  /// Every name begins with `prefix`.
  explicit CHeader(std::string prefix);

  template <class... T>
  void line(fmt::format_string<T...> format, T&&... values) {
    text_ += fmt::format(format, std::forward<T>(values)...) + "\n";
  }
  const std::string& prefix() const { return prefix_; }
  /// The prefix of macros.
  const std::string& macro() const { return macro_; }

  /// A parameter's name: `name`, or one like it that C takes and that no other parameter, or macro made of
  /// one, has; nor has it, or any before it, with `also` behind it.
  std::string own_name(const std::string& name, const std::string& also = "");
  /// The same of a layer's output: the layer's name with a suffix, if the user gave it one, else `standard`,
  /// for a name that Kiln gave hangs on what else the program has made.
  std::string name_of(const Layer& layer, const std::string& standard, const std::string& suffix = "",
                      const std::string& also = "");

  /// The comment at the top; of a training step it says which layers are frozen.
  void describe(const Model& model, const codegen::ExportedCode& code, const std::string& batch,
                const std::string& weights, const std::string& multiply_adds, bool trains);
  /// Include guard and what the rest needs.
  void begin();
  /// A parameter's type, shape and number of elements, a macro with the parameter's name and `suffix`.
  void describe(const std::string& kind, const std::string& name, const runtime::BufferDesc& buffer,
                const std::string& suffix = "");
  /// The same of several.
  void describe(const std::string& kind, std::span<const std::string> names,
                std::span<const runtime::BufferDesc> buffers);
  /// How much stack a call takes at most.
  void describe_stack(const codegen::ExportedCode& code, bool has_team, std::int64_t bytes);
  void begin_functions();
  /// The end of the header, and all of it.
  std::string finish();

 private:
  std::string prefix_, macro_, text_;
  std::vector<std::string> names_;
};

/// Adds parameters: pointers of these names to the arrays' elements, with `qualifier` before them.
void add_parameters(std::vector<std::string>& parameters, const char* qualifier,
                    const std::vector<std::string>& names, std::span<const runtime::BufferDesc> arrays);
/// The C name of an element's type.
const char* c_type(DType dtype);
std::string upper(std::string text);
/// A text with what C names can't have as "_".
std::string c_name(std::string text);
/// " * " and a line for what each number above 0 means that a function returns for these checks; it begins
/// with `first`, what -1 means, and ends with a full stop.
std::string meaning_of_results(const std::string& first, const std::vector<std::string>& checks);

}  // namespace kiln::internal
