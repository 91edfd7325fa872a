#include "codegen/reduction.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "codegen/cost.h"
#include "codegen/tiling.h"

namespace kiln::codegen {
namespace {

/// The registers of all chains: subscripts are the chain, and the vector loop's variable for tiles.
class State {
 public:
  State(Lowering& l, const Reduction& reduction, const char* name, int chains, std::int64_t extent)
      : reduction_(reduction), chains_(chains) {
    const RegisterKind kind = reduction.vector_reduced ? RegisterKind::lanes : RegisterKind::tile;
    for (DType dtype : reduction.state)
      parts_.push_back(l.make_register(name, dtype, kind, {chains}, reduction.vector_reduced ? 0 : extent));
  }

  int chains() const { return chains_; }
  const std::vector<Reg>& parts() const { return parts_; }

  std::vector<Expr> get(const Index& chain, const Index& v) const {
    std::vector<Expr> values;
    for (const Reg& part : parts_) values.push_back(read(part, subscripts(chain, v)));
    return values;
  }
  void set(Lowering& l, const Index& chain, const Index& v, std::vector<Expr> values) const {
    // All parts are computed before any changes.
    if (values.size() > 1)
      for (Expr& value : values) value = l.let(std::move(value));
    for (std::size_t i = 0; i < parts_.size(); i++)
      l.add(write(parts_[i], subscripts(chain, v), std::move(values[i])));
  }
  /// `first`: the number of the first step that is made into this chain.
  void start(Lowering& l, const Index& chain, const Index& v, const Index& first) const {
    std::vector<Expr> values;
    for (std::size_t i = 0; i < parts_.size(); i++) values.push_back(reduction_.initial(i, first));
    set(l, chain, v, std::move(values));
  }

 private:
  std::vector<Index> subscripts(const Index& chain, const Index& v) const {
    return reduction_.vector_reduced ? std::vector<Index>{chain} : std::vector<Index>{chain, v};
  }

  const Reduction& reduction_;
  int chains_;
  std::vector<Reg> parts_;
};

/// One kernel being built.
class ReductionKernel {
 public:
  ReductionKernel(Lowering& l, Reduction reduction) : l_(l), r_(std::move(reduction)) {}

  void build() {
    merge_kept();
    merge_reduced();
    l_.narrow_lanes(r_.vector_reduced ? inner_reduced() : product(inner_kept_));
    const std::int64_t steps = r_.vector_reduced ? inner_reduced() / l_.lanes() : inner_reduced();
    const std::int64_t extent = r_.vector_reduced ? 1 : product(inner_kept_);
    const std::int64_t vectors = (extent + l_.lanes() - 1) / l_.lanes();
    tile_ =
        reduction_tile(steps, vectors, static_cast<int>(r_.state.size()), r_.join != nullptr, l_.target());
    small_ = product(r_.reduced) * product(inner_reduced_) <= most_unrolled;
    const double work = step_work();

    std::vector<std::int64_t> points = r_.kept;
    if (r_.vector_reduced) {
      l_.tiles(points, work, [&](const Indices& kept) { along_reduced(kept); });
      return;
    }
    const std::int64_t width = std::int64_t{tile_.vectors} * l_.lanes();
    points.push_back((extent + width - 1) / width);
    l_.tiles(points, work * static_cast<double>(std::min(width, extent)), [&](const Indices& point) {
      l_.part(point.back(), extent, width, [&](const Index& start, std::int64_t count) {
        along_kept(Indices(point.begin(), point.end() - 1), start, count);
      });
    });
  }

 private:
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
    const State sum(l_, r_, "acc", tile_.chains, 0);
    const auto run = [&](const State& state, const std::function<void()>& flush) {
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
    accumulate(sum, each, run, chunks + (rest > 0 ? 1 : 0));
    for (int half = tile_.chains / 2; half >= 1; half /= 2)
      for (int c = 0; c < half; c++)
        l_.vector("v", lanes, [&](const Index& v) {
          sum.set(l_, Index(c), v, r_.join(l_, sum.get(Index(c), v), sum.get(Index(c + half), v)));
        });
    r_.bind(l_, r_.fold(l_, sum.parts()));
    l_.store_outputs(kept);
  }

  void along_kept(const Indices& outer_kept, const Index& start, std::int64_t count) {
    const auto each = [&](const std::function<void(const Index&, const Index&)>& body) {
      l_.unrolled("c", tile_.chains, [&](const Index& chain) {
        l_.vector("v", count, [&](const Index& v) { body(chain, v); }, true);
      });
    };
    const State sum(l_, r_, "acc", tile_.chains, count);
    const auto run = [&](const State& state, const std::function<void()>& flush) {
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
    accumulate(sum, each, run, inner_reduced());
    l_.vector(
        "v", count,
        [&](const Index& v) {
          std::vector<std::vector<Expr>> values;
          for (int c = 0; c < tile_.chains; c++) values.push_back(sum.get(Index(c), v));
          for (std::size_t half = values.size() / 2; half >= 1; half /= 2)
            for (std::size_t c = 0; c < half; c++) values[c] = r_.join(l_, values[c], values[c + half]);
          r_.bind(l_, values[0]);
          l_.store_outputs(kept_index(outer_kept, start + v));
        },
        true);
  }

  /// Starts `sum` and runs all steps into it, by way of partial sums if the chains are long. `each` visits
  /// all chains and vectors, `run` makes all steps and calls the flush it is given now and then.
  template <class Each, class Run>
  void accumulate(const State& sum, const Each& each, const Run& run, std::int64_t inner_steps) {
    const auto begin = [&](const State& state) {
      each([&](const Index& chain, const Index& v) {
        state.start(l_, chain, v, r_.vector_reduced ? v : Index(0));
      });
    };
    begin(sum);
    const std::int64_t length = inner_steps / tile_.chains * product(r_.reduced);
    if (!r_.partial_sums || length <= longest_chain) return run(sum, nullptr);
    const State partial(l_, r_, "part", sum.chains(), sum.parts()[0]->extent);
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
    const std::int64_t n = tile_.chains, rounds = steps / n, rest = steps % n;
    const auto some = [&](const Index& first, std::int64_t count) {
      const auto round = [&](const Index& i) {
        l_.unrolled("c", n, [&](const Index& chain) { step((first + i) * n + chain, chain); });
      };
      if (small_)
        l_.unrolled("k", count, round);
      else
        l_.serial("k", count, round);
    };
    std::int64_t done = 0;
    if (flush && rounds > partial_steps) {
      l_.serial("b", rounds / partial_steps, [&](const Index& block) {
        some(block * partial_steps, partial_steps);
        flush();
      });
      done = rounds / partial_steps * partial_steps;
    }
    some(Index(done), rounds - done);
    l_.unrolled("c", rest, [&](const Index& chain) { step(Index(rounds * n) + chain, chain); });
    if (flush && (rounds > done || rest > 0)) flush();
  }

  Lowering& l_;
  Reduction r_;
  std::vector<std::int64_t> inner_kept_, inner_reduced_;
  ReductionTile tile_;
  bool small_ = false;
};

}  // namespace

void lower_reduction(Lowering& lowering, Reduction reduction) {
  if (product(reduction.kept) == 0) return;
  ReductionKernel(lowering, std::move(reduction)).build();
}

}  // namespace kiln::codegen
