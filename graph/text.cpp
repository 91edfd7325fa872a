// Prints graphs; parser.cpp reads the same form back.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "graph/op_def.h"

namespace kiln::graph {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char ch : text) {
    const auto byte = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\')
      out += {'\\', ch};
    else if (ch == '\n')
      out += "\\n";
    else if (ch == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte == 0x7F)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += ch;
  }
  return out + '"';
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_';
  });
}

// A label stands bare to the end of its line unless that would lose something.
bool is_plain_label(std::string_view label) {
  return label.front() != ' ' && label.front() != '"' && label.back() != ' ' &&
         std::none_of(label.begin(), label.end(),
                      [](char ch) { return static_cast<unsigned char>(ch) < 0x20; });
}

// The shortest decimals that read back as the same number. A NaN that isn't the usual one shows its bits.
template <class T>
std::string number_text(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    const auto bits = std::bit_cast<Bits>(v);
    if (v != v && bits != std::bit_cast<Bits>(std::numeric_limits<T>::quiet_NaN()))
      return fmt::format("nan(0x{:x})", bits);
    return fmt::format("{}", v);
  } else {
    return fmt::format("{}", static_cast<std::int64_t>(v));
  }
}

std::string elements_text(const Tensor& t) {
  return kiln::visit(t.dtype(), [&](auto zero) -> std::string {
    using T = decltype(zero);
    const T* p = t.data<T>();
    if (t.rank() == 0) return number_text(*p);
    std::vector<std::string> items;
    for (std::int64_t i = 0; i < t.size(); i++) items.push_back(number_text(p[i]));
    if (items.size() > 1 &&
        std::all_of(items.begin(), items.end(), [&](const auto& s) { return s == items[0]; }))
      return items[0];  // one number: all elements
    return fmt::format("[{}]", fmt::join(items, ", "));
  });
}

struct AttributeText {
  std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
  std::string operator()(double v) const {
    std::string text = number_text(v);
    return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(const std::string& v) const { return quoted(v); }
  std::string operator()(const Ints& v) const { return fmt::format("[{}]", fmt::join(v, ", ")); }
  std::string operator()(DType v) const { return std::string(short_name(v)); }
  std::string operator()(const Tensor& v) const {
    return Type{v.dtype(), v.shape()}.to_string() + " " + elements_text(v.contiguous());
  }
};

std::string value_text(Value v) {
  return v.result == 0 ? fmt::format("%{}", v.node->id) : fmt::format("%{}#{}", v.node->id, v.result);
}

}  // namespace

std::string print(const Node& node) {
  std::string line = fmt::format("%{} = {}", node.id, op_name(node.op));
  if (node.op == Op::input || node.op == Op::state) {
    line += fmt::format(" {}", quoted(node.attributes.string("name")));  // the type says the other attributes
  } else {
    if (!node.operands.empty()) {
      std::vector<std::string> operands;
      for (Value v : node.operands) operands.push_back(value_text(v));
      line += fmt::format("({})", fmt::join(operands, ", "));
    }
    if (!node.attributes.empty()) {
      std::vector<std::string> attributes;
      for (const auto& [name, value] : node.attributes)
        attributes.push_back(name + "=" + std::visit(AttributeText{}, value));
      line += fmt::format(" {{{}}}", fmt::join(attributes, ", "));
    }
  }
  for (std::size_t i = 0; i < node.results.size(); i++)
    line += (i == 0 ? " : " : ", ") + node.results[i].to_string();
  if (!node.label.empty())
    line += fmt::format("  # {}", is_plain_label(node.label) ? node.label : quoted(node.label));
  return line;
}

std::string print(const Graph& graph) {
  std::string text = fmt::format("graph {} {{\n", is_word(graph.name) ? graph.name : quoted(graph.name));
  const auto out = std::back_inserter(text);
  for (const Node& node : graph.nodes()) fmt::format_to(out, "  {}\n", print(node));
  for (const StateSlot& slot : graph.states())
    if (slot.next) fmt::format_to(out, "  update {} = {}\n", value_text(slot.current), value_text(slot.next));
  for (const Output& o : graph.outputs())
    fmt::format_to(out, "  output {} = {}\n", quoted(o.name), value_text(o.value));
  return text + "}\n";
}

}  // namespace kiln::graph
