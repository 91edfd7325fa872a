#include "api/model/c_header.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "api/model/model_impl.h"

namespace kiln::internal {
namespace {

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

// A text inside a comment.
std::string commented(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (std::size_t at = 0; (at = text.find("*/", at)) != std::string::npos;) text.insert(at + 1, 1, ' ');
  return text;
}

// What a check says, without the value and its row, which are known only when it fails.
std::string without_place(std::string message) {
  for (const auto& [place, plain] :
       {std::pair(" {value} in row {row}", ""), {"{value}", "a value"}, {"{row}", "a row"}})
    for (std::size_t at = 0; (at = message.find(place)) != std::string::npos;)
      message.replace(at, std::string_view(place).size(), plain);
  return message;
}

}  // namespace

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string c_name(std::string text) {
  const auto may_stand = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (char& c : text)
    if (!may_stand(c)) c = '_';
  return std::isdigit(static_cast<unsigned char>(text[0])) ? "_" + text : text;
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

void add_parameters(std::vector<std::string>& parameters, const char* qualifier,
                    const std::vector<std::string>& names, std::span<const runtime::BufferDesc> arrays) {
  for (std::size_t i = 0; i < names.size(); i++)
    parameters.push_back(fmt::format("{}{} *{}", qualifier, c_type(arrays[i].dtype), names[i]));
}

std::string meaning_of_results(const std::string& first, const std::vector<std::string>& checks) {
  std::string text = " * " + first;
  for (std::size_t i = 0; i < checks.size(); i++)
    text += fmt::format(", or\n * {}: {}", i + 1, commented(without_place(checks[i])));
  return text + ".";
}

CHeader::CHeader(std::string prefix) : prefix_(std::move(prefix)), macro_(upper(prefix_)) {}

std::string CHeader::own_name(const std::string& name, const std::string& also) {
  std::string own = name;
  const auto has = [&](const std::string& text) {
    return std::find(std::begin(taken_names), std::end(taken_names), text) != std::end(taken_names) ||
           std::any_of(names_.begin(), names_.end(),
                       [&](const std::string& other) { return upper(other) == upper(text); });
  };
  for (int k = 1; has(own) || has(own + also); k++) own = fmt::format("{}_{}", name, k);
  names_.push_back(own);
  names_.push_back(own + also);
  return own;
}

std::string CHeader::name_of(const Layer& layer, const std::string& standard, const std::string& suffix,
                             const std::string& also) {
  return own_name(layer.impl().named_by_user() ? c_name(layer.name()) + suffix : standard, also);
}

void CHeader::describe(const Model& model, const codegen::ExportedCode& code, const std::string& batch,
                       const std::string& weights, const std::string& multiply_adds, bool trains) {
  const bool has_name = model.impl().named_by_user();
  line("/* {}: a model{} made by Kiln. Do not edit.\n *", prefix_,
       has_name ? fmt::format(", \"{}\",", commented(model.name())) : "");
  line(" * Target         {}{}{}", code.target, code.cpu.empty() ? "" : ", ", code.cpu);
  line(" * Batch          {}", batch);
  line(" * Parameters     {}", model.count_params());
  line(" * Weights        {}", weights);
  line(" * Multiply-adds  {}", multiply_adds);
  line(" * Code bytes     {}", code.code_bytes);
  line(" * Digest         {} (of graph, weights, target, threads)\n *", code.digest);
  for (const Layer& layer : model.layers()) {
    const std::vector<Shape>& shapes = layer.impl().output_shapes();
    const std::string name = layer.impl().named_by_user()
                                 ? fmt::format("{} ({})", commented(layer.name()), layer.class_name())
                                 : layer.class_name();
    const bool is_frozen = trains && layer.count_params() > 0 && layer.trainable_weights().empty();
    line(" * {:<28} {:<24} {}{}", name, shapes.empty() ? "" : shapes[0].to_string(), layer.count_params(),
         is_frozen ? ", frozen" : "");
  }
  line(" */");
}

void CHeader::begin() {
  line("#ifndef KILN_EXPORTED_{0}_H\n#define KILN_EXPORTED_{0}_H", prefix_);
  line("#include <stdint.h>\n");
}

void CHeader::describe(const std::string& kind, const std::string& name, const runtime::BufferDesc& buffer,
                       const std::string& suffix) {
  line("/* The {} {}: {} {}, row-major. */", kind, name, c_type(buffer.dtype), buffer.shape.to_string());
  line("#define {}_{}_ELEMENTS {}\n", macro_, upper(name + suffix), buffer.shape.elements());
}

void CHeader::describe(const std::string& kind, std::span<const std::string> names,
                       std::span<const runtime::BufferDesc> buffers) {
  for (std::size_t i = 0; i < names.size(); i++) describe(kind, names[i], buffers[i]);
}

void CHeader::describe_stack(const codegen::ExportedCode& code, bool has_team, std::int64_t bytes) {
  line("/* Of the stack a call takes at most so many bytes{}{}. */",
       has_team ? ", beside what libomp does, which the program links" : "",
       code.has_scalable_vectors ? ", beside vector registers that it saves" : "");
  line("#define {}_STACK_BYTES {}", macro_, bytes);
}

void CHeader::begin_functions() {
  line("#ifdef __cplusplus\nextern \"C\" {{\n#endif\n");
}

std::string CHeader::finish() {
  line("\n#ifdef __cplusplus\n}}\n#endif\n#endif");
  return std::move(text_);
}

}  // namespace kiln::internal
