#include "codegen/weight_pairs.h"

#include <algorithm>

namespace kiln::codegen {
namespace {

/// Goes through a kernel's loads of one parameter.
class PairedLoads {
 public:
  explicit PairedLoads(int buffer) : buffer_(buffer) {}

  void block(const Block& statements, const Stmt* vector_loop) {
    for (const Stmt& s : statements) {
      const bool is_vector = s.kind == StmtKind::loop && s.loop == LoopKind::vector;
      expr(s.value, vector_loop);
      expr(s.predicate, vector_loop);
      index(s.index, vector_loop);
      for (const Index& i : s.subscripts) index(i, vector_loop);
      block(s.body, is_vector ? &s : vector_loop);
      block(s.otherwise, vector_loop);
    }
  }
  /// 0: there is none, or they differ, or one isn't of a pair.
  int lanes() const { return all_ ? lanes_ : 0; }

 private:
  void index(const Index& i, const Stmt* vector_loop) {
    if (i->value) expr(i->value, vector_loop);
    for (const Index& operand : i->operands) index(operand, vector_loop);
  }
  void expr(const Expr& e, const Stmt* vector_loop) {
    if (!e) return;
    if (e->kind == ExprKind::load && e->buffer == buffer_) {
      all_ = all_ && vector_loop != nullptr && reads_of_a_pair(*e, *vector_loop) &&
             (lanes_ == 0 || lanes_ == vector_loop->lanes);
      if (vector_loop != nullptr) lanes_ = vector_loop->lanes;
    }
    index(e->index, vector_loop);
    index(e->other, vector_loop);
    expr(e->predicate, vector_loop);
    for (const Index& i : e->subscripts) index(i, vector_loop);
    for (const Expr& operand : e->operands) expr(operand, vector_loop);
  }

  int buffer_, lanes_ = 0;
  bool all_ = true;
};

}  // namespace

std::optional<std::int64_t> place_in_pair(const Index& index, const Var& variable, int lanes) {
  const Index start = index - Index(variable), place = mod(start, 2 * lanes);
  if (depends_on(start, variable) || !place.is_constant() || place->constant % lanes != 0)
    return std::nullopt;
  return place->constant;
}

bool reads_of_a_pair(const ExprNode& load, const Stmt& vector_loop) {
  const std::int64_t extent = vector_loop.variable->extent;
  const int lanes = vector_loop.lanes;
  return lanes > 1 && extent % lanes == 0 && !load.predicate && (vector_loop.unroll || extent == lanes) &&
         place_in_pair(load.index, vector_loop.variable, lanes).has_value();
}

int pair_lanes(const Kernel& kernel, int buffer) {
  PairedLoads loads(buffer);
  loads.block(kernel.body, nullptr);
  const int lanes = loads.lanes();
  return lanes > 0 && kernel.buffers[static_cast<std::size_t>(buffer)].elements % (2 * lanes) == 0 ? lanes
                                                                                                   : 0;
}

std::string in_pairs(const std::string& halves, int lanes) {
  constexpr std::size_t half = 2;
  const std::size_t vector = half * static_cast<std::size_t>(lanes);
  std::string result(halves.size(), '\0');
  for (std::size_t pair = 0; pair < halves.size(); pair += 2 * vector)
    for (std::size_t byte = 0; byte < vector; byte += half)
      for (const std::size_t second : {0, 1}) {
        const auto from = halves.begin() + static_cast<std::ptrdiff_t>(pair + second * vector + byte);
        std::copy_n(from, half,
                    result.begin() + static_cast<std::ptrdiff_t>(pair + 2 * byte + second * half));
      }
  return result;
}

}  // namespace kiln::codegen
