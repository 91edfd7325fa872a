#include "codegen/reduction.h"

#include <algorithm>
#include <limits>

#include "codegen/cost.h"
#include "codegen/reduction_state.h"
#include "codegen/tiling.h"

namespace kiln::codegen {
namespace {

/// One kernel being built.
class ReductionKernel {
 public:
  ReductionKernel(Lowering& l, Reduction reduction) : l_(l), r_(std::move(reduction)) {}

  void build() {
    choose_loops();
    const double work = step_work();
    std::vector<std::int64_t> points = r_.kept;
    if (r_.vector_reduced) {
      l_.tiles(points, work, [&](const Indices& kept) {
        along_reduced(kept);
        l_.store_outputs(kept);
      });
      return;
    }
    const std::int64_t extent = product(inner_kept_);
    std::int64_t width = std::int64_t{tile_.vectors} * l_.lanes();
    if (reads_long_rows(extent, width)) {
      width = width_ = row_part(extent);
      for (DType dtype : r_.state) {
        sums_.push_back(l_.scratch_buffer(dtype, tile_.chains * width));
        if (has_partial_sums()) parts_.push_back(l_.scratch_buffer(dtype, tile_.chains * width));
      }
    }
    points.push_back((extent + width - 1) / width);
    l_.tiles(points, work * static_cast<double>(std::min(width, extent)), [&](const Indices& point) {
      l_.part(point.back(), extent, width, [&](const Index& start, std::int64_t count) {
        const Indices outer(point.begin(), point.end() - 1);
        if (sums_.empty())
          along_kept(outer, start, count);
        else
          along_rows(outer, start, count);
      });
    });
  }

  /// One result of a kernel whose vectors run along the reduced axes.
  void build_row(const Indices& kept) {
    choose_loops();
    along_reduced(kept);
  }

 private:
  void choose_loops() {
    merge_kept();
    merge_reduced();
    l_.narrow_lanes(r_.vector_reduced ? inner_reduced() : product(inner_kept_));
    const std::int64_t steps = r_.vector_reduced ? inner_reduced() / l_.lanes() : inner_reduced();
    const std::int64_t extent = r_.vector_reduced ? 1 : product(inner_kept_);
    const std::int64_t vectors = (extent + l_.lanes() - 1) / l_.lanes();
    tile_ =
        reduction_tile(steps, vectors, static_cast<int>(r_.state.size()), r_.join != nullptr, l_.target());
    small_ = product(r_.reduced) * product(inner_reduced_) <= most_unrolled;
  }

  /// So few steps are written out.
  static constexpr std::int64_t most_unrolled = 16;

  std::int64_t inner_reduced() const { return product(inner_reduced_); }

  Indices kept_index(Indices outer, const Index& inner) const {
    for (const Index& i : unflatten(inner, inner_kept_)) outer.push_back(i);
    return outer;
  }
  Indices reduced_index(Indices outer, const Index& inner) const {
    for (const Index& i : unflatten(inner, inner_reduced_)) outer.push_back(i);
    return outer;
  }

  /// What one step does, with variables for all loops; the last ones are given back.
  Block probe_step(Var& kept_var, Var& reduced_var) const {
    return l_.probe([&](Lowering& l) {
      Indices kept, reduced;
      for (std::int64_t extent : r_.kept) kept.emplace_back(l.fresh("i", extent));
      for (std::int64_t extent : r_.reduced) reduced.emplace_back(l.fresh("k", extent));
      kept_var = l.fresh("v", product(inner_kept_));
      reduced_var = l.fresh("k", inner_reduced());
      std::vector<Expr> state;
      for (std::size_t i = 0; i < r_.state.size(); i++) state.push_back(r_.initial(i, Index(0)));
      for (const Expr& e :
           r_.step(l, state, kept_index(kept, Index(kept_var)), reduced_index(reduced, Index(reduced_var))))
        l.let(e);
    });
  }

  /// Moves the trailing kept axes that are best walked as one into the vector loop (none if vectors run along
  /// the reduced axes).
  void merge_kept() {
    if (r_.vector_reduced || r_.kept.empty()) return;
    std::size_t best_count = 1;
    double best = std::numeric_limits<double>::infinity();
    const std::vector<std::int64_t> all = r_.kept;
    const auto choose = [&](std::size_t count) {
      r_.kept.assign(all.begin(), all.end() - static_cast<std::ptrdiff_t>(count));
      inner_kept_.assign(all.end() - static_cast<std::ptrdiff_t>(count), all.end());
    };
    for (std::size_t count = 1; count <= all.size(); count++) {
      choose(count);
      Var kept, reduced;
      const Block body = probe_step(kept, reduced);
      const std::int64_t extent = product(inner_kept_);
      const auto chunks = static_cast<double>((extent + l_.lanes() - 1) / l_.lanes());
      const double cost = vector_cost(body, kept, l_.lanes()) * chunks / static_cast<double>(extent);
      if (cost <= best) {
        best = cost;
        best_count = count;
      }
    }
    choose(best_count);
  }

  /// Moves the trailing reduced loops into the innermost one as far as addresses stay affine in it.
  void merge_reduced() {
    if (r_.reduced.empty()) return;
    const std::vector<std::int64_t> all = r_.reduced;
    const auto choose = [&](std::size_t count) {
      r_.reduced.assign(all.begin(), all.end() - static_cast<std::ptrdiff_t>(count));
      inner_reduced_.assign(all.end() - static_cast<std::ptrdiff_t>(count), all.end());
    };
    std::size_t count = 1;
    for (; count < all.size(); count++) {
      choose(count + 1);
      Var kept, reduced;
      const Block body = probe_step(kept, reduced);
      if (!all_affine(body, reduced)) break;
    }
    choose(count);
  }

  /// Scalar operations for one element of the result.
  double step_work() const {
    Var kept, reduced;
    const double steps = static_cast<double>(product(r_.reduced)) * static_cast<double>(inner_reduced());
    return scalar_work(probe_step(kept, reduced)) * std::max(steps, 1.0);
  }

  void along_reduced(const Indices& kept) {
    const std::int64_t lanes = l_.lanes(), chunks = inner_reduced() / lanes, rest = inner_reduced() % lanes;
    const auto each = [&](const std::function<void(const Index&, const Index&)>& body) {
      l_.unrolled("c", tile_.chains, [&](const Index& chain) {
        l_.vector("v", lanes, [&](const Index& v) { body(chain, v); });
      });
    };
    const ReductionState sum(l_, r_, "acc", tile_.chains, 0);
    const auto run = [&](const ReductionState& state, const std::function<void()>& flush) {
      l_.nest("k", r_.reduced, small_, [&](const Indices& outer) {
        const auto step = [&](const Index& chunk, const Index& chain, std::int64_t count) {
          l_.vector("v", count, [&](const Index& v) {
            state.set(l_, chain, v,
                      r_.step(l_, state.get(chain, v), kept, reduced_index(outer, chunk * lanes + v)));
          });
        };
        chains(chunks, [&](const Index& chunk, const Index& chain) { step(chunk, chain, lanes); }, flush);
        step(Index(chunks), Index(0), rest);
        if (flush && rest > 0) flush();
      });
    };
    const auto make_part = [&] { return ReductionState(l_, r_, "part", tile_.chains, 0); };
    accumulate(sum, make_part, each, run);
    for (int half = tile_.chains / 2; half >= 1; half /= 2)
      for (int c = 0; c < half; c++)
        l_.vector("v", lanes, [&](const Index& v) {
          sum.set(l_, Index(c), v, r_.join(l_, sum.get(Index(c), v), sum.get(Index(c + half), v)));
        });
    r_.bind(l_, r_.fold(l_, sum.registers()));
  }

  void along_kept(const Indices& outer_kept, const Index& start, std::int64_t count) {
    const auto each = [&](const std::function<void(const Index&, const Index&)>& body) {
      l_.unrolled("c", tile_.chains, [&](const Index& chain) {
        l_.vector("v", count, [&](const Index& v) { body(chain, v); }, true);
      });
    };
    const ReductionState sum(l_, r_, "acc", tile_.chains, count);
    const auto run = [&](const ReductionState& state, const std::function<void()>& flush) {
      l_.nest("k", r_.reduced, small_, [&](const Indices& outer) {
        chains(
            inner_reduced(),
            [&](const Index& k, const Index& chain) {
              l_.vector(
                  "v", count,
                  [&](const Index& v) {
                    state.set(l_, chain, v,
                              r_.step(l_, state.get(chain, v), kept_index(outer_kept, start + v),
                                      reduced_index(outer, k)));
                  },
                  true);
            },
            flush);
      });
    };
    const auto make_part = [&] { return ReductionState(l_, r_, "part", tile_.chains, count); };
    accumulate(sum, make_part, each, run);
    finish_along_kept(sum, outer_kept, start, count, true);
  }

  void finish_along_kept(const ReductionState& sum, const Indices& outer_kept, const Index& start,
                         std::int64_t count, bool unroll) {
    l_.vector(
        "v", count,
        [&](const Index& v) {
          r_.bind(l_, sum.joined(l_, v));
          l_.store_outputs(kept_index(outer_kept, start + v));
        },
        unroll);
  }

  // ---- long rows ------------------------------------------------------------------------------------------

  /// Where rows (of the kept axis) are longer than the registers and all of them don't fit the cache, a
  /// register tile would visit each row for a few hundred bytes and be back after all other rows. Memory is
  /// read much faster in long pieces of few rows side by side; the sums wait in scratch memory meanwhile. The
  /// order of the sums is the same.
  bool reads_long_rows(std::int64_t extent, std::int64_t width) const {
    if (extent <= width || inner_reduced() < rows_side_by_side || tile_.chains > rows_side_by_side)
      return false;
    std::int64_t bytes = product(r_.kept) * extent * product(r_.reduced) * inner_reduced();
    bytes *= static_cast<std::int64_t>(size_of(r_.state[0]));
    return bytes > l_.target().l2_bytes;
  }
  static constexpr std::int64_t rows_side_by_side = 16;

  /// So long that all chains' sums stay in the nearest cache.
  std::int64_t row_part(std::int64_t extent) const {
    constexpr std::int64_t most_bytes = 4096;
    const std::int64_t most = most_bytes / static_cast<std::int64_t>(size_of(r_.state[0]));
    const std::int64_t parts = (extent + most - 1) / most, lanes = l_.lanes();
    return ((extent + parts - 1) / parts + lanes - 1) / lanes * lanes;
  }

  void along_rows(const Indices& outer_kept, const Index& start, std::int64_t count) {
    const auto each = [&](const std::function<void(const Index&, const Index&)>& body) {
      l_.unrolled("c", tile_.chains, [&](const Index& chain) {
        l_.vector("v", count, [&](const Index& v) { body(chain, v); });
      });
    };
    const ReductionState sum(r_, tile_.chains, width_, sums_);
    const auto run = [&](const ReductionState& state, const std::function<void()>& flush) {
      l_.nest("k", r_.reduced, false, [&](const Indices& outer) {
        // Steps `first` to `first` + `count` - 1, the first one into chain 0.
        const auto steps = [&](const Index& first, std::int64_t steps_here) {
          l_.vector("v", count, [&](const Index& v) {
            std::vector<std::vector<Expr>> values;
            const std::int64_t chains_here = std::min<std::int64_t>(tile_.chains, steps_here);
            for (std::int64_t c = 0; c < chains_here; c++) values.push_back(state.get(Index(c), v));
            for (std::int64_t k = 0; k < steps_here; k++) {
              std::vector<Expr>& chain = values[static_cast<std::size_t>(k % chains_here)];
              chain = r_.step(l_, chain, kept_index(outer_kept, start + v), reduced_index(outer, first + k));
              for (Expr& part : chain) part = l_.let(std::move(part));
            }
            for (std::int64_t c = 0; c < chains_here; c++)
              state.set(l_, Index(c), v, values[static_cast<std::size_t>(c)]);
          });
        };
        const auto rounds = [&](const Index& first, std::int64_t rounds_here) {
          const std::int64_t some = rows_side_by_side / tile_.chains;
          l_.serial("k", rounds_here / some,
                    [&](const Index& k) { steps((first + k * some) * tile_.chains, rows_side_by_side); });
          l_.unrolled("k", rounds_here % some, [&](const Index& k) {
            steps((first + rounds_here / some * some + k) * tile_.chains, tile_.chains);
          });
        };
        const auto rest = [&](const Index& first, std::int64_t steps_here) {
          if (steps_here > 0) steps(first, steps_here);
        };
        chains_in_parts(inner_reduced(), rounds, rest, flush);
      });
    };
    const auto make_part = [&] { return ReductionState(r_, tile_.chains, width_, parts_); };
    accumulate(sum, make_part, each, run);
    finish_along_kept(sum, outer_kept, start, count, false);
  }

  // ---- chains ---------------------------------------------------------------------------------------------

  /// Steps of a chain, of all loops.
  std::int64_t chain_length() const {
    const std::int64_t lanes = r_.vector_reduced ? l_.lanes() : 1;
    return (inner_reduced() + lanes - 1) / lanes / tile_.chains * product(r_.reduced);
  }
  bool has_partial_sums() const { return r_.partial_sums && chain_length() > longest_chain; }

  /// Starts `sum` and runs all steps into it, by way of partial sums if the chains are long. `each` visits
  /// all chains and vectors, `run` makes all steps and calls the flush it is given now and then.
  template <class MakePart, class Each, class Run>
  void accumulate(const ReductionState& sum, const MakePart& make_part, const Each& each, const Run& run) {
    const auto begin = [&](const ReductionState& state) {
      each([&](const Index& chain, const Index& v) {
        state.start(l_, chain, v, r_.vector_reduced ? v : Index(0));
      });
    };
    begin(sum);
    if (!has_partial_sums()) return run(sum, nullptr);
    const ReductionState partial = make_part();
    begin(partial);
    run(partial, [&] {
      each([&](const Index& chain, const Index& v) {
        sum.set(l_, chain, v, r_.join(l_, sum.get(chain, v), partial.get(chain, v)));
        partial.start(l_, chain, v, Index(0));
      });
    });
  }

  /// Steps 0 .. steps - 1 dealt to the chains in turn; `flush`, if given, after every partial_steps of a
  /// chain and at the end.
  void chains(std::int64_t steps, const std::function<void(const Index&, const Index&)>& step,
              const std::function<void()>& flush) {
    const auto some = [&](const Index& first, std::int64_t count) {
      const auto round = [&](const Index& i) {
        l_.unrolled("c", tile_.chains,
                    [&](const Index& chain) { step((first + i) * tile_.chains + chain, chain); });
      };
      if (small_)
        l_.unrolled("k", count, round);
      else
        l_.serial("k", count, round);
    };
    const auto rest = [&](const Index& first, std::int64_t count) {
      l_.unrolled("c", count, [&](const Index& chain) { step(first + chain, chain); });
    };
    chains_in_parts(steps, some, rest, flush);
  }

  /// The same, where `some(first, count)` makes `count` rounds through all chains, and `rest(first, count)`
  /// the last steps, fewer than there are chains.
  template <class Some, class Rest>
  void chains_in_parts(std::int64_t steps, const Some& some, const Rest& rest,
                       const std::function<void()>& flush) {
    const std::int64_t rounds = steps / tile_.chains, last = steps % tile_.chains;
    std::int64_t done = 0;
    if (flush && rounds > partial_steps) {
      l_.serial("b", rounds / partial_steps, [&](const Index& block) {
        some(block * partial_steps, partial_steps);
        flush();
      });
      done = rounds / partial_steps * partial_steps;
    }
    some(Index(done), rounds - done);
    rest(Index(rounds * tile_.chains), last);
    if (flush && (rounds > done || last > 0)) flush();
  }

  Lowering& l_;
  Reduction r_;
  std::vector<std::int64_t> inner_kept_, inner_reduced_;
  ReductionTile tile_;
  bool small_ = false;
  // Long rows: scratch memory for the sums and for partial sums, `width_` elements a chain.
  std::int64_t width_ = 0;
  std::vector<int> sums_, parts_;
};

}  // namespace

void lower_reduction(Lowering& lowering, Reduction reduction) {
  if (product(reduction.kept) == 0) return;
  ReductionKernel(lowering, std::move(reduction)).build();
}

void reduce_row(Lowering& lowering, Reduction reduction, const Indices& kept) {
  ReductionKernel(lowering, std::move(reduction)).build_row(kept);
}

}  // namespace kiln::codegen
