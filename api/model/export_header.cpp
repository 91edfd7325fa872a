#include "api/model/export_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include "api/model/model_impl.h"

namespace kiln::internal {
namespace {

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// What C and C++ take for themselves, and names that systems define as macros.
constexpr std::string_view taken_names[] = {
    "alignas",   "alignof",   "and",       "and_eq",   "asm",      "auto",     "bitand",   "bitor",
    "bool",      "break",     "case",      "catch",    "char",     "class",    "compl",    "concept",
    "const",     "constexpr", "continue",  "decltype", "default",  "delete",   "do",       "double",
    "else",      "enum",      "explicit",  "export",   "extern",   "false",    "float",    "for",
    "friend",    "goto",      "if",        "inline",   "int",      "linux",    "long",     "mutable",
    "namespace", "new",       "noexcept",  "not",      "not_eq",   "nullptr",  "operator", "or",
    "or_eq",     "private",   "protected", "public",   "register", "requires", "restrict", "return",
    "scratch",   "short",     "signed",    "sizeof",   "static",   "struct",   "switch",   "template",
    "this",      "throw",     "true",      "try",      "typedef",  "typename", "union",    "unix",
    "unsigned",  "using",     "virtual",   "void",     "volatile", "weights",  "while",    "xor",
    "xor_eq",    "int32_t",   "int64_t",   "uint8_t"};

// A layer's name as one of C's.
std::string c_name(std::string text) {
  const auto may_stand = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (char& c : text)
    if (!may_stand(c)) c = '_';
  return std::isdigit(static_cast<unsigned char>(text[0])) ? "_" + text : text;
}

// A text inside a comment.
std::string commented(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (std::size_t at = 0; (at = text.find("*/", at)) != std::string::npos;) text.insert(at + 1, " ");
  return text;
}

const char* c_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "float";
    case DType::f64:
      return "double";
    case DType::i32:
      return "int32_t";
    case DType::i64:
      return "int64_t";
    case DType::u8:
      return "uint8_t";
    case DType::bool_:
      return "uint8_t";
  }
  throw InternalError("a type that C has no name for");
}

// What a check says, without the value and its row, which are known only when it fails.
std::string without_place(std::string message) {
  for (const auto& [place, plain] :
       {std::pair(" {value} in row {row}", ""), {"{value}", "a value"}, {"{row}", "a row"}})
    for (std::size_t at = 0; (at = message.find(place)) != std::string::npos;)
      message.replace(at, std::string_view(place).size(), plain);
  return message;
}

class Header {
 public:
  Header(const Model& model, const codegen::ExportedProgram& program, const ExportArgs& args,
         const std::string& prefix)
      : model_(model), program_(program), args_(args), prefix_(prefix) {
    for (const SymbolicTensor& x : model.inputs()) add_name(inputs_, x.layer(), "input");
    for (const SymbolicTensor& y : model.outputs()) add_name(outputs_, y.layer(), "output");
  }

  std::string text() {
    const std::string macro = upper(prefix_);
    comment();
    line("#ifndef KILN_EXPORTED_{0}_H\n#define KILN_EXPORTED_{0}_H", prefix_);
    line("#include <stdint.h>\n");
    for (std::size_t i = 0; i < inputs_.size(); i++) describe("input", inputs_[i], program_.inputs[i]);
    for (std::size_t i = 0; i < outputs_.size(); i++) describe("output", outputs_[i], program_.outputs[i]);
    line(
        "/* Memory that predict needs while it runs, and its alignment; it may serve others between calls. "
        "*/");
    // At least 1, so that an array can have that size.
    line("#define {}_SCRATCH_BYTES {}", macro, std::max<std::int64_t>(1, program_.scratch_bytes));
    line("#define {}_SCRATCH_ALIGN {}", macro, program_.scratch_alignment);
    if (separate()) {
      line("/* The file {}.weights: weights is the address of its content in memory, aligned so. */",
           prefix_);
      line("#define {}_WEIGHT_ALIGN {}", macro, program_.weight_alignment);
    } else {
      line("/* Constants in the object file's read-only data. */");
    }
    line("#define {}_WEIGHT_BYTES {}\n", macro, program_.weight_bytes);
    line("#ifdef __cplusplus\nextern \"C\" {{\n#endif\n");
    functions();
    line("\n#ifdef __cplusplus\n}}\n#endif\n#endif");
    return std::move(text_);
  }

 private:
  template <class... T>
  void line(fmt::format_string<T...> format, T&&... values) {
    text_ += fmt::format(format, std::forward<T>(values)...) + "\n";
  }
  bool separate() const { return args_.weights == "separate"; }

  // Names that Kiln gave hang on what else the program has made.
  void add_name(std::vector<std::string>& names, const Layer& layer, const char* standard) {
    names.push_back(own_name(layer.impl().named_by_user() ? c_name(layer.name()) : standard));
  }
  // Parameters of one function differ, and so do the macros made of them.
  std::string own_name(const std::string& name) {
    std::string own = name;
    const auto is_like = [&](const std::string& other) { return upper(other) == upper(own); };
    const auto taken = [&] {
      return std::find(std::begin(taken_names), std::end(taken_names), own) != std::end(taken_names) ||
             std::any_of(inputs_.begin(), inputs_.end(), is_like) ||
             std::any_of(outputs_.begin(), outputs_.end(), is_like);
    };
    for (int k = 1; taken(); k++) own = fmt::format("{}_{}", name, k);
    return own;
  }

  void comment() {
    const bool has_name = model_.impl().named_by_user();
    line("/* {}: a model{} made by Kiln. Do not edit.\n *", prefix_,
         has_name ? fmt::format(", \"{}\",", commented(model_.name())) : "");
    line(" * Target         {}{}{}", program_.target, program_.cpu.empty() ? "" : ", ", program_.cpu);
    line(" * Batch          {}", args_.batch_size);
    line(" * Parameters     {}", model_.count_params());
    line(" * Multiply-adds  {}", program_.multiply_adds);
    line(" * Code bytes     {}", program_.code_bytes);
    line(" * Digest         {} (of graph, weights, target)\n *", program_.digest);
    for (const Layer& layer : model_.layers()) {
      const std::vector<Shape>& shapes = layer.impl().output_shapes();
      const std::string name = layer.impl().named_by_user()
                                   ? fmt::format("{} ({})", commented(layer.name()), layer.class_name())
                                   : layer.class_name();
      line(" * {:<28} {:<24} {}", name, shapes.empty() ? "" : shapes[0].to_string(), layer.count_params());
    }
    line(" */");
  }

  void describe(const char* kind, const std::string& name, const runtime::BufferDesc& buffer) {
    const std::string macro = fmt::format("{}_{}", upper(prefix_), upper(name));
    line("/* The {} {}: {} {}, row-major. */", kind, name, c_type(buffer.dtype), buffer.shape.to_string());
    line("#define {}_ELEMENTS {}\n", macro, buffer.shape.elements());
  }

  std::string parameters(bool with_inputs) const {
    std::string text;
    const auto add = [&](const std::string& parameter) { text += (text.empty() ? "" : ", ") + parameter; };
    for (std::size_t i = 0; with_inputs && i < inputs_.size(); i++)
      add(fmt::format("const {} *{}", c_type(program_.inputs[i].dtype), inputs_[i]));
    for (std::size_t i = 0; i < outputs_.size(); i++)
      add(fmt::format("{} *{}", c_type(program_.outputs[i].dtype), outputs_[i]));
    if (separate()) add("const void *weights");
    add("void *scratch");
    return text;
  }

  void functions() {
    line("/* Predicts. No two of the arrays may overlap. Returns 0, or");
    std::string results = " * -1 if an address lacks the alignment of its type, or of scratch";
    if (separate()) results += " or weights";
    for (std::size_t i = 0; i < program_.checks.size(); i++)
      results += fmt::format(", or\n * {}: {}", i + 1, commented(without_place(program_.checks[i])));
    line("{}. */", results);
    line("int32_t {}_predict({});", prefix_, parameters(true));
    if (!args_.selftest) return;
    line(
        "\n/* Predicts for inputs known to it ({} bytes in the object file, with the results), into the "
        "arrays",
        program_.selftest_bytes);
    line(
        " * given. Returns 0 if the results are right, the number of an output that isn't, from 1, or -1 if");
    line(" * predict fails. */");
    line("int32_t {}_selftest({});", prefix_, parameters(false));
  }

  const Model& model_;
  const codegen::ExportedProgram& program_;
  const ExportArgs& args_;
  const std::string& prefix_;
  std::vector<std::string> inputs_, outputs_;
  std::string text_;
};

}  // namespace

std::string export_header(const Model& model, const codegen::ExportedProgram& program, const ExportArgs& args,
                          const std::string& prefix) {
  return Header(model, program, args, prefix).text();
}

}  // namespace kiln::internal
