#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "codegen/loop.h"

namespace kiln::codegen {
namespace {

std::string as_stored(const BufferParam& b) {
  if (b.storage == Storage::whole) return "";
  if (b.storage == Storage::float16) return " as f16";
  return b.pair_lanes == 0 ? " as bf16" : fmt::format(" as bf16 in pairs of {}", b.pair_lanes);
}

/// Prints with names given in print order. For readers, variables and registers keep the names that lowering
/// chose (numbered where two share one); for comparing, all names are canonical, so that kernels that differ
/// in names only have equal texts.
class Printer {
 public:
  Printer(const Kernel& kernel, bool canonical) : kernel_(kernel), canonical_(canonical) {}

  std::string run() {
    out_ = canonical_ ? "kernel(" : fmt::format("kernel {}(", kernel_.name);
    for (std::size_t i = 0; i < kernel_.buffers.size(); ++i) {
      const BufferParam& b = kernel_.buffers[i];
      out_ += fmt::format("{}b{}: {}[{}]{}{}", i == 0 ? "" : ", ", i, short_name(b.dtype), b.elements,
                          b.written ? " written" : "", b.may_alias ? " may_alias" : "");
      out_ += as_stored(b);
      if (b.scratch >= 0) out_ += fmt::format(" scratch at {} of {}", b.scratch, kernel_.scratch_stride);
    }
    out_ += ") {\n";
    block(kernel_.body, 1);
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  void block(const Block& statements, int depth) {
    for (const Stmt& s : statements) statement(s, depth);
  }

  void statement(const Stmt& s, int depth) {
    const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
    std::string line;
    switch (s.kind) {
      case StmtKind::loop:
        line = fmt::format("{} {} in 0..{} {{", loop_head(s), variable(s.variable), s.variable->extent);
        break;
      case StmtKind::let:
        line = fmt::format("let {} = {}", temporary(s.temporary), expr(s.value));
        break;
      case StmtKind::store:
        line = fmt::format("store b{}[{}] = {}", s.buffer, index(s.index), expr(s.value));
        if (s.predicate) line += fmt::format(" where {}", expr(s.predicate));
        break;
      case StmtKind::write:
        line = fmt::format("{} = {}", element(s.reg, s.subscripts), expr(s.value));
        break;
      case StmtKind::branch:
        line = fmt::format("if {} {{", expr(s.value));
        break;
      case StmtKind::prefetch:
        line = fmt::format("prefetch b{}[{}]{}", s.buffer, index(s.index),
                           s.into == CacheLevel::second ? " into the second cache" : "");
        break;
      case StmtKind::turn:
        line = fmt::format("turn {} by {}", element(s.reg, {}), s.unit);
        break;
    }
    out_ += indent + line + "\n";
    if (s.kind != StmtKind::loop && s.kind != StmtKind::branch) return;
    block(s.body, depth + 1);
    if (!s.otherwise.empty()) {
      out_ += indent + "} else {\n";
      block(s.otherwise, depth + 1);
    }
    out_ += indent + "}\n";
  }

  static std::string loop_head(const Stmt& s) {
    switch (s.loop) {
      case LoopKind::parallel:
        return "parallel";
      case LoopKind::vector:
        return fmt::format("vector({}){}", s.lanes, s.unroll ? " unrolled" : "");
      case LoopKind::unrolled:
        return "unrolled";
      case LoopKind::serial:
        break;
    }
    return "for";
  }

  std::string index(const Index& i) {
    switch (i->kind) {
      case IndexKind::constant:
        return fmt::format("{}", i->constant);
      case IndexKind::variable:
        return variable(i->variable);
      case IndexKind::mul:
        return fmt::format("{}*{}", atom(i->operands[0]), i->constant);
      case IndexKind::floor_div:
        return fmt::format("{}/{}", atom(i->operands[0]), i->constant);
      case IndexKind::mod:
        return fmt::format("{}%{}", atom(i->operands[0]), i->constant);
      case IndexKind::value:
        return fmt::format("[{}]", expr(i->value));
      case IndexKind::add:
        break;
    }
    std::string text;
    for (const Index& operand : i->operands) {
      std::string part = index(operand);
      if (text.empty()) {
        text = std::move(part);
      } else if (part.front() == '-') {
        text += " - " + part.substr(1);
      } else {
        text += " + " + part;
      }
    }
    return text;
  }
  std::string atom(const Index& i) {
    const bool simple = i->kind == IndexKind::variable || i->kind == IndexKind::value;
    return simple ? index(i) : fmt::format("({})", index(i));
  }

  std::string expr(const Expr& e) {
    switch (e->kind) {
      case ExprKind::constant:
        return constant(*e);
      case ExprKind::load:
        return e->predicate ? fmt::format("b{}[{} where {}]", e->buffer, index(e->index), expr(e->predicate))
                            : fmt::format("b{}[{}]", e->buffer, index(e->index));
      case ExprKind::read:
        return element(e->reg, e->subscripts);
      case ExprKind::temporary:
        return temporary(e->temporary);
      case ExprKind::index:
        return fmt::format("{}({})", short_name(e->dtype), index(e->index));
      case ExprKind::less:
        return fmt::format("({} < {})", index(e->index), index(e->other));
      case ExprKind::fma:
        return call("fma", e->operands);
      case ExprKind::fold_lanes:
        return fmt::format("fold_{}({})", graph::op_name(e->op), element(e->reg, e->subscripts));
      case ExprKind::apply:
        break;
    }
    if (e->op == graph::Op::convert) return call(short_name(e->dtype), e->operands);
    if (e->op == graph::Op::compare) return call(e->direction, e->operands);
    return call(graph::op_name(e->op), e->operands);
  }

  std::string call(std::string_view name, const std::vector<Expr>& operands) {
    std::string text(name);
    for (std::size_t i = 0; i < operands.size(); ++i) text += (i == 0 ? "(" : ", ") + expr(operands[i]);
    return text + ")";
  }

  /// Exact (hexadecimal) unless a short decimal says the same; floats print with their type where it isn't
  /// f32.
  static std::string constant(const ExprNode& e) {
    std::string text;
    if (is_float(e.dtype)) {
      const double value =
          e.dtype == DType::f32 ? static_cast<double>(static_cast<float>(e.number)) : e.number;
      text = fmt::format("{}", value);
      if (text.size() > 8) text = fmt::format("{:a}", value);
    } else {
      text = fmt::format("{}", e.integer);
    }
    return e.dtype == DType::f32 ? text : text + std::string(short_name(e.dtype));
  }

  std::string element(const Reg& reg, const std::vector<Index>& subscripts) {
    std::string text = name_of(registers_, reg.get(), reg->name, 'r');
    if (declared_.insert(reg.get()).second) text += declaration(*reg);
    if (subscripts.empty()) return text;
    text += '[';
    for (std::size_t i = 0; i < subscripts.size(); ++i) text += (i == 0 ? "" : ", ") + index(subscripts[i]);
    return text + "]";
  }

  /// Where a register is first named, its shape stands behind it: `acc<tile f32 8 x 48 by 16>`.
  static std::string declaration(const Register& reg) {
    std::string text = "<";
    text += reg.kind == RegisterKind::tile ? "tile " : reg.kind == RegisterKind::lanes ? "lanes " : "";
    text += short_name(reg.dtype);
    for (std::int64_t d : reg.dims) text += fmt::format(" {}", d);
    if (reg.kind == RegisterKind::tile) text += fmt::format(" x {}", reg.extent);
    if (reg.kind != RegisterKind::scalar) text += fmt::format(" by {}", reg.lane_count);
    return text + ">";
  }

  std::string variable(const Var& v) { return name_of(variables_, v.get(), v->name, 'i'); }

  std::string temporary(int number) {
    const auto [it, fresh] = temporaries_.try_emplace(number, static_cast<int>(temporaries_.size()));
    return fmt::format("t{}", it->second);
  }

  using Names = std::unordered_map<const void*, std::string>;
  std::string name_of(Names& names, const void* key, const std::string& wish, char prefix) {
    const auto found = names.find(key);
    if (found != names.end()) return found->second;
    std::string name;
    if (canonical_) {
      name = fmt::format("{}{}", prefix, names.size());
    } else {
      int& uses = uses_[wish];
      name = uses == 0 ? wish : fmt::format("{}_{}", wish, uses);
      ++uses;
    }
    names.emplace(key, name);
    return name;
  }

  const Kernel& kernel_;
  bool canonical_;
  std::string out_;
  Names variables_, registers_;
  std::unordered_set<const void*> declared_;
  std::unordered_map<int, int> temporaries_;
  std::unordered_map<std::string, int> uses_;
};

}  // namespace

std::string print(const Kernel& kernel, bool with_name) {
  return Printer(kernel, !with_name).run();
}

}  // namespace kiln::codegen
