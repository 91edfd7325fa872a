// Reads what text.cpp prints.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <unordered_map>

#include "graph/op_def.h"

namespace kiln::graph {
namespace {

std::optional<Op> op_named(std::string_view name) {
  for (int i = 0; i < op_count; i++)
    if (op_name(static_cast<Op>(i)) == name) return static_cast<Op>(i);
  return std::nullopt;
}

std::optional<DType> dtype_named(std::string_view name) {
  for (DType t : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bool_})
    if (short_name(t) == name) return t;
  return std::nullopt;
}

bool is_word_char(char ch) {
  return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_';
}

/// Characters to tokens, with the line for errors. Blank space, line ends and `//` comments separate tokens.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[noreturn]] void fail(const std::string& reason) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    throw ValueError(fmt::format("graph text, line {}: {}", line, reason));
  }

  void skip_space() {
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "//")
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
        at_++;
      else
        break;
    }
  }
  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  /// Takes the token if it comes next; else stays before the space, on its line.
  bool accept(std::string_view token) {
    const std::size_t before = at_;
    skip_space();
    const bool found = text_.substr(at_, token.size()) == token;
    at_ = found ? at_ + token.size() : before;
    return found;
  }
  void expect(std::string_view token) {
    skip_space();
    if (!accept(token)) fail(fmt::format("expected '{}', found {}", token, upcoming()));
  }
  bool looking_at(char ch) {
    skip_space();
    return at_ < text_.size() && text_[at_] == ch;
  }

  std::string_view word() {
    skip_space();
    const std::size_t first = at_;
    while (at_ < text_.size() && is_word_char(text_[at_])) at_++;
    if (at_ == first) fail(fmt::format("expected a name, found {}", upcoming()));
    return text_.substr(first, at_ - first);
  }

  std::string quoted_string() {
    expect("\"");
    std::string out;
    while (true) {
      if (at_ >= text_.size() || text_[at_] == '\n') fail("a string doesn't end on its line");
      const char ch = text_[at_++];
      if (ch == '"') return out;
      out += ch == '\\' ? escaped() : ch;
    }
  }

  /// The label behind `#` at the end of a line, or nothing.
  std::string label() {
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
    if (at_ == text_.size() || text_[at_] != '#') return {};
    at_++;
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
    if (at_ < text_.size() && text_[at_] == '"') return quoted_string();
    const std::size_t first = at_;
    at_ = std::min(text_.find('\n', at_), text_.size());
    std::string_view line = text_.substr(first, at_ - first);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    return std::string(line);
  }

  std::int64_t integer() {
    const std::string token = number_token();
    char* end = nullptr;
    errno = 0;
    const long long v = std::strtoll(token.c_str(), &end, 10);
    if (token.empty() || *end != '\0' || errno != 0) fail(fmt::format("\"{}\" is not an integer", token));
    return v;
  }

  /// Decimal or hexadecimal, inf, nan, or nan(0xBITS).
  template <class T>
  T number() {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    if (accept("nan(")) {
      char* end = nullptr;
      const std::string digits(word());
      const unsigned long long bits = std::strtoull(digits.c_str(), &end, 16);
      expect(")");
      const bool whole = *end == '\0' && bits <= std::numeric_limits<Bits>::max();
      if (const T v = std::bit_cast<T>(static_cast<Bits>(bits)); whole && v != v) return v;
      fail("these are not the bits of a NaN");
    }
    // Not strtod: it reads "0.5" as 0 under a locale whose numbers have a comma.
    const std::string token = number_token();
    const char *first = token.data(), *last = first + token.size();
    const bool negative = first != last && *first == '-';
    if (first != last && (*first == '-' || *first == '+')) first++;
    const bool hexadecimal = token.compare(static_cast<std::size_t>(first - token.data()), 2, "0x") == 0;
    T v{};
    const auto [end, error] =
        std::from_chars(hexadecimal ? first + 2 : first, last, v,
                        hexadecimal ? std::chars_format::hex : std::chars_format::general);
    if (error == std::errc::invalid_argument || end != last)
      fail(fmt::format("\"{}\" is not a number", token));
    if (error == std::errc::result_out_of_range)
      fail(fmt::format("{} is larger or nearer to 0 than any {}; infinity is written inf", token,
                       short_name(dtype_of<T>)));
    return negative ? -v : v;
  }

 private:
  std::string upcoming() const {
    if (at_ >= text_.size()) return "the end of the text";
    const std::string_view rest = text_.substr(at_, 20);
    return fmt::format("'{}'", rest.substr(0, rest.find('\n')));
  }

  char escaped() {
    const char ch = at_ < text_.size() ? text_[at_++] : '\0';
    switch (ch) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case '"':
      case '\\':
        return ch;
      case 'x': {
        const std::string digits(text_.substr(at_, 2));
        char* end = nullptr;
        if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
          break;  // strtol takes signs
        const long v = std::strtol(digits.c_str(), &end, 16);
        if (end != digits.c_str() + 2) break;
        at_ += 2;
        return static_cast<char>(v);
      }
    }
    fail("a string holds an unknown escape; known are \\n \\t \\\" \\\\ \\xHH");
  }

  std::string number_token() {
    skip_space();
    const std::size_t first = at_;
    while (at_ < text_.size() &&
           (is_word_char(text_[at_]) || text_[at_] == '.' || text_[at_] == '+' || text_[at_] == '-'))
      at_++;
    return std::string(text_.substr(first, at_ - first));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : scan_(text) {}

  Graph run() {
    scan_.expect("graph");
    graph_.name = scan_.looking_at('"') ? scan_.quoted_string() : std::string(scan_.word());
    scan_.expect("{");
    while (!scan_.accept("}")) {
      if (scan_.looking_at('%'))
        node();
      else if (scan_.accept("update"))
        update();
      else if (scan_.accept("output"))
        output();
      else
        scan_.fail("expected a node (%id = ...), update, output or '}'");
    }
    if (!scan_.at_end()) scan_.fail("there is more text after the graph's end");
    graph_.label.clear();
    return std::move(graph_);
  }

 private:
  // The graph's own errors, with the line in front.
  template <class F>
  void with_line(F&& f) {
    try {
      f();
    } catch (const Error& e) {
      scan_.fail(e.what());
    }
  }

  void node() {
    scan_.expect("%");
    const std::int64_t id = scan_.integer();
    if (nodes_.count(id)) scan_.fail(fmt::format("%{} is defined twice", id));
    scan_.expect("=");
    const std::string_view name = scan_.word();
    const std::optional<Op> op = op_named(name);
    if (!op) scan_.fail(fmt::format("there is no op \"{}\"", name));

    std::vector<Value> operands;
    Attributes attributes;
    const bool named = *op == Op::input || *op == Op::state;
    if (named) {
      attributes.set("name", scan_.quoted_string());
    } else {
      if (scan_.accept("(")) list(")", [&] { operands.push_back(value()); });
      if (scan_.accept("{")) list("}", [&] { attribute(*op, attributes); });
    }
    std::vector<Type> types;
    if (scan_.accept(":")) {
      do types.push_back(type());
      while (scan_.accept(","));
    }
    if (named) {
      if (types.size() != 1) scan_.fail(fmt::format("the type of {} is missing", name));
      attributes.set("dtype", types[0].dtype);
      attributes.set("shape", types[0].shape.sizes());
    }
    graph_.label = scan_.label();
    with_line([&] {
      const Node& emitted = graph_.emit(*op, std::move(operands), std::move(attributes));
      if (emitted.results != types)
        throw ValueError(fmt::format("by the op's rule the node is: {}", print(emitted)));
      nodes_[id] = &emitted;
    });
  }

  void update() {
    const Value state = value();
    scan_.expect("=");
    const Value next = value();
    with_line([&] { graph_.update(state, next); });
  }

  void output() {
    std::string name = scan_.quoted_string();
    scan_.expect("=");
    const Value v = value();
    with_line([&] { graph_.output(std::move(name), v); });
  }

  template <class F>
  void list(std::string_view end, F&& item) {
    if (scan_.accept(end)) return;
    do item();
    while (scan_.accept(","));
    scan_.expect(end);
  }

  Value value() {
    scan_.expect("%");
    const std::int64_t id = scan_.integer();
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) scan_.fail(fmt::format("%{} is not defined above", id));
    const std::int64_t result = scan_.accept("#") ? scan_.integer() : 0;
    if (result < 0 || result >= static_cast<std::int64_t>(found->second->results.size()))
      scan_.fail(fmt::format("%{} has no result {}", id, result));
    return found->second->value(static_cast<int>(result));
  }

  DType dtype() {
    const std::string_view word = scan_.word();
    const std::optional<DType> t = dtype_named(word);
    if (!t) scan_.fail(fmt::format("\"{}\" is not an element type", word));
    return *t;
  }

  Ints ints() {
    Ints v;
    scan_.expect("[");
    list("]", [&] { v.push_back(scan_.integer()); });
    return v;
  }

  Type type() {
    const DType t = dtype();
    return {t, Shape(ints())};
  }

  void attribute(Op op, Attributes& attributes) {
    const std::string name(scan_.word());
    const auto& specs = definition(op).attributes;
    const auto spec =
        std::find_if(specs.begin(), specs.end(), [&](const AttrSpec& s) { return s.name == name; });
    if (spec == specs.end()) scan_.fail(fmt::format("{} has no attribute \"{}\"", op_name(op), name));
    scan_.expect("=");
    switch (spec->kind) {
      case AttrKind::integer:
        return attributes.set(name, scan_.integer());
      case AttrKind::number:
        return attributes.set(name, scan_.number<double>());
      case AttrKind::string:
        return attributes.set(name, scan_.quoted_string());
      case AttrKind::ints:
        return attributes.set(name, ints());
      case AttrKind::dtype:
        return attributes.set(name, dtype());
      case AttrKind::tensor:
        return attributes.set(name, tensor());
      case AttrKind::flag:
        break;
    }
    const bool on = scan_.accept("true");
    if (!on) scan_.expect("false");
    attributes.set(name, on);
  }

  Tensor tensor() {
    const Type t = type();
    Tensor result;
    with_line([&] { result = Tensor(t.shape, t.dtype); });
    kiln::visit(t.dtype, [&](auto zero) { fill(result.data<decltype(zero)>(), result.size()); });
    return result;
  }

  template <class T>
  T element() {
    if constexpr (std::is_floating_point_v<T>) {
      return scan_.number<T>();
    } else {
      const std::int64_t v = scan_.integer();
      if (static_cast<std::int64_t>(static_cast<T>(v)) != v)
        scan_.fail(fmt::format("{} doesn't fit {}", v, short_name(dtype_of<T>)));
      return static_cast<T>(v);
    }
  }

  // All elements in a list, or one number for all of them.
  template <class T>
  void fill(T* p, std::int64_t count) {
    if (!scan_.accept("[")) {
      std::fill(p, p + count, element<T>());
      return;
    }
    std::int64_t i = 0;
    list("]", [&] {
      const T v = element<T>();
      if (i < count) p[i] = v;
      i++;
    });
    if (i != count) scan_.fail(fmt::format("the tensor has {} elements but its shape needs {}", i, count));
  }

  Scanner scan_;
  Graph graph_;
  std::unordered_map<std::int64_t, const Node*> nodes_;
};

}  // namespace

Graph parse(std::string_view text) {
  return Parser(text).run();
}

}  // namespace kiln::graph
