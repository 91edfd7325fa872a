#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "codegen/loop.h"
#include "codegen/weight_pairs.h"

namespace kiln::codegen {
namespace {

bool is_unary(graph::Op op) {
  return op >= graph::Op::neg && op <= graph::Op::convert;
}
bool is_binary(graph::Op op) {
  return op >= graph::Op::add && op <= graph::Op::shift_right;
}

class Verifier {
 public:
  explicit Verifier(const Kernel& kernel) : kernel_(kernel) {}

  void run() {
    const auto parallel =
        std::count_if(kernel_.body.begin(), kernel_.body.end(), [](const Stmt& s) { return is_parallel(s); });
    if (parallel > 1) fail("more than one parallel loop");
    for (const Stmt& s : kernel_.body) {
      const bool private_statement = s.kind == StmtKind::let || s.kind == StmtKind::write;
      if (parallel == 1 && !is_parallel(s) && !private_statement) {
        fail("beside a parallel loop there may be lets and register writes only");
      }
    }
    for (const BufferParam& b : kernel_.buffers) {
      const std::int64_t bytes = b.elements * static_cast<std::int64_t>(size_of(b.dtype));
      if (b.storage != Storage::whole && (b.dtype != DType::f32 || b.written))
        fail("only f32 that is read alone lies in two bytes an element");
      if (b.pair_lanes > 0 && (b.storage != Storage::bfloat16 || b.elements % (2 * b.pair_lanes) != 0))
        fail(fmt::format("{} elements in pairs of vectors of {}", b.elements, b.pair_lanes));
      if (b.scratch >= 0 && b.scratch + bytes > kernel_.scratch_stride)
        fail(fmt::format("scratch of {} bytes at {} of {}", bytes, b.scratch, kernel_.scratch_stride));
    }
    block(kernel_.body, true);
  }

 private:
  static bool is_parallel(const Stmt& s) { return s.kind == StmtKind::loop && s.loop == LoopKind::parallel; }

  void block(const Block& statements, bool top = false) {
    const std::size_t temporaries = temporaries_.size();
    for (const Stmt& s : statements) {
      if (is_parallel(s) && !top) fail("a parallel loop inside another statement");
      statement(s);
    }
    temporaries_.resize(temporaries);
  }

  void statement(const Stmt& s) {
    switch (s.kind) {
      case StmtKind::loop:
        loop(s);
        break;
      case StmtKind::let:
        expr(s.value);
        if (s.temporary < 0 || s.temporary >= kernel_.temporaries || !defined_.insert(s.temporary).second) {
          fail(fmt::format("temporary {} is unknown or defined twice", s.temporary));
        }
        temporaries_.push_back({s.temporary, s.value->dtype});
        break;
      case StmtKind::store:
        access(s.buffer, s.index, s.value->dtype, s.predicate);
        if (!kernel_.buffers[static_cast<std::size_t>(s.buffer)].written) {
          fail(fmt::format("store to b{}, which isn't marked as written", s.buffer));
        }
        expr(s.value);
        break;
      case StmtKind::write:
        element(s.reg, s.subscripts);
        expr(s.value);
        if (s.value->dtype != s.reg->dtype) {
          fail(fmt::format("{} written to register {} of {}", short_name(s.value->dtype), s.reg->name,
                           short_name(s.reg->dtype)));
        }
        break;
      case StmtKind::branch:
        expr(s.value);
        if (s.value->dtype != DType::bool_) fail("a branch on something other than a bool");
        ++branches_;
        block(s.body);
        block(s.otherwise);
        --branches_;
        break;
      case StmtKind::prefetch:
        parameter(s.buffer);
        index(s.index);
        break;
      case StmtKind::turn: {
        const Register& r = *s.reg;
        if (vector_ != nullptr) fail(fmt::format("register {} is turned inside a vector loop", r.name));
        const auto is_power_of_two = [](std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; };
        if (r.kind != RegisterKind::tile || r.dims.size() != 1 || r.extent != r.lane_count ||
            !is_power_of_two(r.lane_count) || !is_power_of_two(r.dims[0]) || !is_power_of_two(s.unit) ||
            r.dims[0] * s.unit > r.lane_count)
          fail(fmt::format("register {} can't be turned by {}", r.name, s.unit));
        break;
      }
    }
  }

  void loop(const Stmt& s) {
    if (s.variable->extent < 0)
      fail(fmt::format("loop {} of {} iterations", s.variable->name, s.variable->extent));
    for (const Stmt* outer : loops_) {
      if (outer->variable == s.variable) fail(fmt::format("two loops over {}", s.variable->name));
    }
    if (s.loop == LoopKind::vector) {
      if (vector_ != nullptr)
        fail(fmt::format("vector loop {} inside {}", s.variable->name, vector_->variable->name));
      if (s.lanes < 1) fail(fmt::format("vector loop {} of {} lanes", s.variable->name, s.lanes));
      vector_ = &s;
    }
    loops_.push_back(&s);
    block(s.body);
    loops_.pop_back();
    if (s.loop == LoopKind::vector) vector_ = nullptr;
  }

  const BufferParam& parameter(int buffer) const {
    if (buffer < 0 || static_cast<std::size_t>(buffer) >= kernel_.buffers.size())
      fail(fmt::format("b{} of {} buffers", buffer, kernel_.buffers.size()));
    return kernel_.buffers[static_cast<std::size_t>(buffer)];
  }

  void access(int buffer, const Index& where, DType dtype, const Expr& predicate) {
    const BufferParam& param = parameter(buffer);
    if (dtype != param.dtype) {
      fail(fmt::format("{} in b{} of {}", short_name(dtype), buffer, short_name(param.dtype)));
    }
    index(where);
    if (predicate) {
      expr(predicate);
      if (predicate->dtype != DType::bool_) fail(fmt::format("predicate of b{} isn't a bool", buffer));
    } else if (branches_ == 0 && (where->low < 0 || where->high > param.elements)) {
      fail(fmt::format("b{} of {} elements is accessed in [{}, {}) without a predicate", buffer,
                       param.elements, where->low, where->high));
    }
  }

  void index(const Index& i) {
    if (i->kind == IndexKind::variable && !in_scope(i->variable)) {
      fail(fmt::format("variable {} outside its loop", i->variable->name));
    }
    if (i->kind == IndexKind::value) {
      expr(i->value);
      if (!is_integer(i->value->dtype)) fail("an index from a value that isn't an integer");
    }
    for (const Index& operand : i->operands) index(operand);
  }

  bool in_scope(const Var& v) const {
    return std::any_of(loops_.begin(), loops_.end(), [&](const Stmt* s) { return s->variable == v; });
  }

  void element(const Reg& reg, const std::vector<Index>& subscripts) {
    const bool tile = reg->kind == RegisterKind::tile;
    if (subscripts.size() != reg->dims.size() + (tile ? 1 : 0)) {
      fail(fmt::format("register {} with {} subscripts", reg->name, subscripts.size()));
    }
    for (std::size_t i = 0; i < reg->dims.size(); ++i) {
      unrolled_only(subscripts[i], reg->name);
      if (subscripts[i]->low < 0 || subscripts[i]->high > reg->dims[i]) {
        fail(fmt::format("register {}: subscript {} in [{}, {}) of {}", reg->name, i, subscripts[i]->low,
                         subscripts[i]->high, reg->dims[i]));
      }
    }
    if (vector_ != nullptr && reg->kind != RegisterKind::scalar && vector_->lanes != reg->lane_count) {
      fail(fmt::format("register {} of {} lanes in a vector loop of {}", reg->name, reg->lane_count,
                       vector_->lanes));
    }
    if (!tile) return;
    const auto is_over = [&](std::int64_t extent) {
      const std::int64_t lanes = vector_->lanes, whole_vectors = (reg->extent + lanes - 1) / lanes * lanes;
      return extent == reg->extent || extent == whole_vectors;
    };
    if (vector_ == nullptr || !vector_->unroll || !is_over(vector_->variable->extent)) {
      fail(fmt::format("tile register {} outside an unrolled vector loop of extent {}, or of whole vectors",
                       reg->name, reg->extent));
    }
    const Index& last = subscripts.back();
    const bool is_variable = last->kind == IndexKind::variable && last->variable == vector_->variable;
    if (!is_variable && !(reg->extent == 1 && last.is_constant(0))) {
      fail(fmt::format("tile register {}: the last subscript isn't the vector loop's variable", reg->name));
    }
  }

  void unrolled_only(const Index& i, const std::string& name) {
    index(i);
    for (const Stmt* s : loops_) {
      if (s->loop != LoopKind::unrolled && depends_on(i, s->variable)) {
        fail(fmt::format("register {} subscripted by {}, which isn't unrolled", name, s->variable->name));
      }
    }
  }

  void expr(const Expr& e) {
    if (!e) fail("a missing value");
    switch (e->kind) {
      case ExprKind::constant:
        break;
      case ExprKind::load:
        access(e->buffer, e->index, e->dtype, e->predicate);
        if (const int lanes = parameter(e->buffer).pair_lanes;
            lanes > 0 && (vector_ == nullptr || vector_->lanes != lanes || !reads_of_a_pair(*e, *vector_)))
          fail(fmt::format("b{} lies in pairs of vectors, and a load isn't of one", e->buffer));
        break;
      case ExprKind::read:
        element(e->reg, e->subscripts);
        if (e->reg->kind == RegisterKind::lanes && vector_ == nullptr) {
          fail(fmt::format("lanes register {} read outside a vector loop", e->reg->name));
        }
        break;
      case ExprKind::temporary:
        temporary(*e);
        break;
      case ExprKind::index:
        index(e->index);
        if (e->dtype != DType::i64 && e->dtype != DType::i32)
          fail("an index as something other than i32 or i64");
        break;
      case ExprKind::less:
        index(e->index);
        index(e->other);
        break;
      case ExprKind::fold_lanes:
        if (e->reg->kind != RegisterKind::lanes)
          fail(fmt::format("fold of register {}, not lanes", e->reg->name));
        if (e->op != graph::Op::add && e->op != graph::Op::mul && e->op != graph::Op::maximum &&
            e->op != graph::Op::minimum) {
          fail(fmt::format("fold by {}", graph::op_name(e->op)));
        }
        for (const Index& i : e->subscripts) unrolled_only(i, e->reg->name);
        break;
      case ExprKind::apply:
        operation(*e);
        break;
      case ExprKind::fma:
        break;
    }
    for (const Expr& operand : e->operands) expr(operand);
  }

  void operation(const ExprNode& e) {
    const std::size_t expected = is_unary(e.op)                                  ? 1
                                 : is_binary(e.op) || e.op == graph::Op::compare ? 2
                                 : e.op == graph::Op::select                     ? 3
                                                                                 : 0;
    if (e.operands.size() != expected || expected == 0) {
      fail(fmt::format("{} with {} operands", graph::op_name(e.op), e.operands.size()));
    }
    if (e.op != graph::Op::compare) return;
    for (std::string_view known : {"eq", "ne", "lt", "le", "gt", "ge"}) {
      if (e.direction == known) return;
    }
    fail(fmt::format("compare by \"{}\"", e.direction));
  }

  void temporary(const ExprNode& e) {
    for (const Temporary& t : temporaries_) {
      if (t.number != e.temporary) continue;
      if (t.dtype != e.dtype) fail(fmt::format("temporary {} read with another type", e.temporary));
      return;
    }
    fail(fmt::format("temporary {} is read outside the block that defines it", e.temporary));
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw InternalError(fmt::format("broken kernel {}: {}\n{}", kernel_.name, reason, print(kernel_)));
  }

  struct Temporary {
    int number;
    DType dtype;
  };
  const Kernel& kernel_;
  std::vector<const Stmt*> loops_;
  std::vector<Temporary> temporaries_;
  std::unordered_set<int> defined_;
  const Stmt* vector_ = nullptr;
  int branches_ = 0;
};

}  // namespace

void verify(const Kernel& kernel) {
  Verifier(kernel).run();
}

}  // namespace kiln::codegen
