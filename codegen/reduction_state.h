#pragma once
#include <utility>

#include "codegen/reduction.h"

namespace kiln::codegen {

/// The state of all chains: in registers, or in the thread's scratch memory if there are too many. Subscripts
/// are the chain, and the vector loop's variable unless vectors run along the reduced axes.
class ReductionState {
 public:
  ReductionState(Lowering& l, const Reduction& reduction, const char* name, int chains, std::int64_t extent)
      : reduction_(reduction), chains_(chains) {
    const RegisterKind kind = reduction.vector_reduced ? RegisterKind::lanes : RegisterKind::tile;
    for (DType dtype : reduction.state)
      registers_.push_back(
          l.make_register(name, dtype, kind, {chains}, reduction.vector_reduced ? 0 : extent));
  }
  /// `width` elements a chain in each of the buffers, one a part of the state.
  ReductionState(const Reduction& reduction, int chains, std::int64_t width, std::vector<int> buffers)
      : reduction_(reduction), chains_(chains), width_(width), buffers_(std::move(buffers)) {}

  const std::vector<Reg>& registers() const { return registers_; }

  std::vector<Expr> get(const Index& chain, const Index& v) const {
    std::vector<Expr> values;
    for (const Reg& part : registers_) values.push_back(read(part, subscripts(chain, v)));
    for (std::size_t i = 0; i < buffers_.size(); i++)
      values.push_back(load(buffers_[i], reduction_.state[i], chain * width_ + v));
    return values;
  }
  void set(Lowering& l, const Index& chain, const Index& v, std::vector<Expr> values) const {
    // All parts are computed before any changes.
    if (values.size() > 1)
      for (Expr& value : values) value = l.let(std::move(value));
    for (std::size_t i = 0; i < registers_.size(); i++)
      l.add(write(registers_[i], subscripts(chain, v), std::move(values[i])));
    for (std::size_t i = 0; i < buffers_.size(); i++)
      l.add(store(buffers_[i], chain * width_ + v, std::move(values[i])));
  }
  /// `first`: the number of the first step that is made into this chain.
  void start(Lowering& l, const Index& chain, const Index& v, const Index& first) const {
    std::vector<Expr> values;
    for (std::size_t i = 0; i < reduction_.state.size(); i++) values.push_back(reduction_.initial(i, first));
    set(l, chain, v, std::move(values));
  }
  /// The chains' states together, by halves.
  std::vector<Expr> joined(Lowering& l, const Index& v) const {
    std::vector<std::vector<Expr>> values;
    for (int c = 0; c < chains_; c++) values.push_back(get(Index(c), v));
    for (std::size_t half = values.size() / 2; half >= 1; half /= 2)
      for (std::size_t c = 0; c < half; c++) values[c] = reduction_.join(l, values[c], values[c + half]);
    return values[0];
  }

 private:
  std::vector<Index> subscripts(const Index& chain, const Index& v) const {
    return reduction_.vector_reduced ? std::vector<Index>{chain} : std::vector<Index>{chain, v};
  }

  const Reduction& reduction_;
  int chains_;
  std::int64_t width_ = 0;
  std::vector<Reg> registers_;
  std::vector<int> buffers_;
};

}  // namespace kiln::codegen
