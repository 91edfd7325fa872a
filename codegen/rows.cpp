#include <algorithm>
#include <set>

#include "codegen/cost.h"
#include "codegen/reduction.h"
#include "codegen/reduction_state.h"
#include "codegen/tiling.h"
#include "graph/elemental.h"
#include "graph/rows.h"

// Groups that work row by row. A row is gone through in several loops: one for each level of reductions, and
// the last one for what is written of the row. What is expensive and needed by several loops is kept by the
// first: in the array if it is an output, else in registers (short rows) or the thread's scratch memory.
// Memory is read once and written once; every sum has the order that it has in a kernel of its own.
namespace kiln::codegen {
namespace {

class RowKernel {
 public:
  explicit RowKernel(Lowering& l)
      : l_(l), space_(l.group().space.sizes()), levels_(graph::row_levels(l.group().nodes)) {}

  void build() {
    make_loops();
    decide_what_is_kept();
    make_room();
    const std::span<const std::int64_t> outer = std::span(space_).first(space_.size() - 1);
    l_.tiles(outer, work(), [&](const Indices& row) { one_row(row); });
  }

 private:
  /// One walk along the row: reductions of one level and one width of vectors, or (without any) the last
  /// walk.
  struct Walk {
    int level = 0;
    int lanes = 1;
    std::vector<const Node*> reductions;
  };
  /// Where a value of the row is between the walk that computes it and the others.
  struct Kept {
    std::size_t first = 0;  ///< the walk that computes it
    std::set<std::size_t> later;
    int output = -1;  ///< its number among the outputs, if that array holds it
    int scratch = -1;
    Reg reg;
  };

  std::int64_t length() const { return space_.back(); }
  bool in_space(const Node& n) const { return n.type().shape == l_.group().space; }
  /// Rows that fill the nearest cache: there scratch memory is no nearer than an output's array, and what
  /// comes next is best asked for.
  bool is_long() const {
    const auto bytes = length() * static_cast<std::int64_t>(size_of(l_.group().root->operand(0).dtype()));
    return bytes > l_.target().l1_bytes / 2;
  }
  std::size_t last() const { return walks_.size() - 1; }

  /// The vectors that a reduction has in a kernel of its own: they decide the order of its sum.
  int lanes_of(const Node& reduction) const {
    const DType from = reduction.operand(0).dtype(), to = reduction.type().dtype;
    int lanes = std::min(l_.target().lanes(from), l_.target().lanes(to));
    while (lanes > 1 && lanes / 2 >= length()) lanes /= 2;
    return lanes;
  }

  void make_loops() {
    for (const Node* n : l_.group().nodes) {
      if (!graph::is_reduction(n->op)) continue;
      const int level = levels_.at(n), lanes = lanes_of(*n);
      auto at = std::find_if(walks_.begin(), walks_.end(),
                             [&](const Walk& w) { return w.level == level && w.lanes == lanes; });
      if (at == walks_.end()) {
        const auto next = std::upper_bound(walks_.begin(), walks_.end(), level,
                                           [](int l, const Walk& w) { return l < w.level; });
        at = walks_.insert(next, {level, lanes, {}});
      }
      at->reductions.push_back(n);
    }
    walks_.push_back({walks_.back().level + 1, walks_[0].lanes, {}});
    // LLVM computes vectors that are written out side by side: each needs registers for its function.
    const std::int64_t most_written_out = l_.target().is_small ? 1 : l_.target().vector_registers / 8;
    const int lanes = walks_[0].lanes;
    const bool alike =
        std::all_of(walks_.begin(), walks_.end(), [&](const Walk& w) { return w.lanes == lanes; });
    written_out_ = alike && (length() + lanes - 1) / lanes <= most_written_out;
  }

  // ---- what is kept ---------------------------------------------------------------------------------------

  void decide_what_is_kept() {
    const std::vector<const Node*>& nodes = l_.group().nodes;
    std::map<const Node*, double> cost;
    for (const Node* n : nodes) {
      if (!in_space(*n) || !is_elementwise(*n)) continue;
      double all = graph::is_expensive(*n) ? expensive : 1;
      for (const Value& v : n->operands)
        if (const auto at = cost.find(v.node); at != cost.end()) all += at->second;
      cost[n] = all;
    }
    // Users first: the walks in which each value is computed or read.
    std::map<const Node*, std::set<std::size_t>> walks;
    for (std::size_t w = 0; w < walks_.size(); w++)
      for (const Node* n : walks_[w].reductions) walks[n].insert(w);
    for (std::size_t k = nodes.size(); k-- > 0;) {
      const Node* n = nodes[k];
      std::set<std::size_t>& needed = walks[n];
      const int output = in_space(*n) ? output_number(*n) : -1;
      if (in_space(*n) && is_elementwise(*n)) {
        const bool holds = output >= 0 && l_.is_private_output(output);
        if (output >= 0 && (!holds || needed.empty())) needed.insert(last());
        if (needed.size() > 1 && (holds || cost.at(n) >= expensive))
          kept_[n] = {
              *needed.begin(), {std::next(needed.begin()), needed.end()}, holds ? output : -1, -1, {}};
        if (holds) written_[static_cast<std::size_t>(output)] = *needed.begin();
        if (kept_.count(n)) needed = {*needed.begin()};
      } else if (output >= 0) {
        needed.insert(last());
      }
      for (const Value& v : n->operands)
        if (!graph::is_reduction(v.node->op)) walks[v.node].insert(needed.begin(), needed.end());
    }
  }
  static constexpr double expensive = 16;

  static bool is_elementwise(const Node& n) {
    return graph::definition(n.op).op_class == graph::OpClass::elementwise;
  }
  int output_number(const Node& n) const {
    const std::vector<Value>& outputs = l_.group().outputs;
    const auto at = std::find(outputs.begin(), outputs.end(), n.value());
    return at == outputs.end() ? -1 : static_cast<int>(at - outputs.begin());
  }
  /// The walk that writes an output of the rows' shape.
  std::size_t written(int output) const {
    const auto at = written_.find(static_cast<std::size_t>(output));
    return at == written_.end() ? last() : at->second;
  }

  /// Registers; an output's array that is written only in the last walk; else scratch memory.
  void make_room() {
    l_.set_lanes(walks_[0].lanes);
    std::set<int> taken;
    for (auto& [node, kept] : kept_) {
      if (kept.output >= 0) continue;
      if (is_long()) kept.output = free_output(*node, taken);
      if (kept.output >= 0) continue;
      if (written_out_)
        kept.reg = l_.make_register("row", node->type().dtype, RegisterKind::tile, {}, length());
      else
        kept.scratch = l_.scratch_buffer(node->type().dtype, length());
    }
  }

  int free_output(const Node& node, std::set<int>& taken) const {
    const std::vector<Value>& outputs = l_.group().outputs;
    for (int i = 0; i < static_cast<int>(outputs.size()); i++)
      if (outputs[static_cast<std::size_t>(i)].type() == node.type() && l_.is_private_output(i) &&
          written(i) == last() && taken.insert(i).second)
        return i;
    return -1;
  }

  double work() const {
    double operations = 0;
    for (const Node* n : l_.group().nodes)
      if (in_space(*n) || graph::is_reduction(n->op)) operations += graph::is_expensive(*n) ? expensive : 1;
    return operations * static_cast<double>(length());
  }

  // ---- a row ----------------------------------------------------------------------------------------------

  void one_row(const Indices& row) {
    bind_row_values(row, 0);
    for (std::size_t w = 0; w < walks_.size(); w++) {
      const Walk& walk = walks_[w];
      l_.set_lanes(walk.lanes);
      if (walk.reductions.empty()) {
        l_.vector("v", length(), [&](const Index& v) { write_elements(w, row, v); }, written_out_);
      } else {
        reduce(w, row);
      }
      if (w + 1 == walks_.size() || walks_[w + 1].level > walk.level) bind_row_values(row, walk.level);
    }
    for (std::size_t i = 0; i < l_.group().outputs.size(); i++) {
      const Value v = l_.group().outputs[i];
      if (v.shape() == l_.group().space) continue;
      const int output = static_cast<int>(i);
      const Indices index = unflatten(row_number(row), v.shape().sizes());
      l_.add(store(l_.output_buffer(output), l_.output_position(output, index), l_.at(v, index)));
    }
  }

  Index row_number(const Indices& row) const {
    return row_major(row, std::span(space_).first(space_.size() - 1));
  }

  /// What is made of the reductions of this level for the row as a whole is computed once.
  void bind_row_values(const Indices& row, int level) {
    if (level == 0) return;
    for (const Node* n : l_.group().nodes) {
      if (levels_.at(n) != level || graph::is_reduction(n->op) || in_space(*n)) continue;
      const Value v = n->value();
      l_.bind(v, l_.let(l_.at(v, unflatten(row_number(row), v.shape().sizes()))));
    }
  }

  void reduce(std::size_t w, const Indices& row) {
    Reduction r = reduction_of(walks_[w].reductions, l_);
    r.step = [this, w, step = r.step](Lowering& low, const std::vector<Expr>& state, const Indices& kept,
                                      const Indices& reduced) {
      prepare_elements(low, w, kept, reduced.back());
      return step(low, state, kept, reduced);
    };
    if (!written_out_) return reduce_row(l_, r, row);
    const ReductionState sum(l_, r, "acc", 1, 0);
    l_.vector("v", l_.lanes(), [&](const Index& v) { sum.start(l_, Index(0), v, v); });
    l_.vector(
        "v", length(),
        [&](const Index& v) { sum.set(l_, Index(0), v, r.step(l_, sum.get(Index(0), v), row, {v})); }, true);
    r.bind(l_, r.fold(l_, sum.registers()));
  }

  /// At the beginning of a walk's body: the next row is asked for, while this one is worked on; what earlier
  /// walks have kept is read, and what this one is to keep is computed and kept.
  void prepare_elements(Lowering& low, std::size_t w, const Indices& row, const Index& v) const {
    Indices index = row;
    index.push_back(v);
    if (w == 1 && is_long()) ask_for_next_row(low, index);
    for (const auto& [node, kept] : kept_)
      if (kept.later.count(w)) low.know(node->value(), index, low.let(read_kept(low, *node, kept, index)));
    for (const Node* n : l_.group().nodes) {
      const int output = in_space(*n) ? output_number(*n) : -1;
      const auto at = kept_.find(n);
      const bool writes = output >= 0 && w < last() && written(output) == w;
      const bool keeps = at != kept_.end() && at->second.first == w;
      if (!writes && !keeps) continue;
      const Expr element = low.let(low.at(n->value(), index));
      if (writes) low.add(store(low.output_buffer(output), low.output_position(output, index), element));
      if (!keeps) continue;
      const Kept& kept = at->second;
      if (!writes && kept.output >= 0)
        low.add(store(low.output_buffer(kept.output), low.output_position(kept.output, index), element));
      if (kept.reg) low.add(codegen::write(kept.reg, {v}, element));
      if (kept.scratch >= 0) low.add(store(kept.scratch, v, element));
    }
  }
  void ask_for_next_row(Lowering& low, Indices index) const {
    index.end()[-2] = index.end()[-2] + 1;
    for (const Value& input : l_.group().inputs) {
      if (input.shape() != l_.group().space) continue;
      const Expr there = low.load_array(input, index);
      low.add(prefetch(there->buffer, there->index));
    }
  }
  static Expr read_kept(Lowering& low, const Node& node, const Kept& kept, const Indices& index) {
    if (kept.reg) return read(kept.reg, {index.back()});
    if (kept.output < 0) return load(kept.scratch, node.type().dtype, index.back());
    return load(low.output_buffer(kept.output), node.type().dtype, low.output_position(kept.output, index));
  }

  /// The last walk. All outputs at an element are computed before any is stored, which may be over an input.
  void write_elements(std::size_t w, const Indices& row, const Index& v) {
    prepare_elements(l_, w, row, v);
    Indices index = row;
    index.push_back(v);
    std::vector<std::pair<int, Expr>> elements;
    for (std::size_t i = 0; i < l_.group().outputs.size(); i++) {
      const Value output = l_.group().outputs[i];
      if (output.shape() == l_.group().space && written(static_cast<int>(i)) == w)
        elements.emplace_back(static_cast<int>(i), l_.let(l_.at(output, index)));
    }
    for (auto& [i, element] : elements)
      l_.add(store(l_.output_buffer(i), l_.output_position(i, index), std::move(element)));
  }

  Lowering& l_;
  const std::vector<std::int64_t>& space_;
  graph::RowLevels levels_;
  std::vector<Walk> walks_;
  bool written_out_ = false;  ///< all of a row's vectors, one after the other, and what is kept in registers
  std::map<const Node*, Kept> kept_;
  std::map<std::size_t, std::size_t> written_;  ///< by output: the walk that writes it, if not the last
};

}  // namespace

void lower_rows(Lowering& lowering) {
  RowKernel(lowering).build();
}

}  // namespace kiln::codegen
