// Sums and maxima over windows, and their transposes. Every element of a result is computed by one thread: a
// gradient asks which windows an element belongs to, it doesn't scatter.
#include <algorithm>
#include <limits>

#include "codegen/ops/register.h"
#include "codegen/reduction.h"

namespace kiln::codegen {
namespace {

/// How the windows lie on the input: tap k of window o is element o * stride + k - low.
struct Windows {
  Windows(const Node& node, const Shape& x, const Shape& y)
      : window(node.attributes.ints("window")),
        strides(node.attributes.ints("strides")),
        low(node.attributes.ints("low")),
        input(x.sizes()),
        output(y.sizes()) {}

  std::size_t rank() const { return window.size(); }
  /// The element under a tap, and whether it exists (null: it does).
  Indices element(const Indices& o, const Indices& tap, Expr& exists) const {
    Indices index;
    for (std::size_t i = 0; i < rank(); i++) {
      index.push_back(o[i] * strides[i] + tap[i] - low[i]);
      exists = both(std::move(exists), in_range(index[i], 0, input[i]));
    }
    return index;
  }
  /// At most this many windows along each axis share an element.
  std::vector<std::int64_t> sharing() const {
    std::vector<std::int64_t> counts;
    for (std::size_t i = 0; i < rank(); i++) counts.push_back((window[i] - 1) / strides[i] + 1);
    return counts;
  }
  /// Window number `nth` (by row-major order, of those that can hold it) around an element: where it is,
  /// which of its taps the element is, and whether there is such a window.
  Indices holder(const Indices& element, const Indices& nth, Indices& tap, Expr& exists) const {
    Indices o;
    const std::vector<std::int64_t> counts = sharing();
    for (std::size_t i = 0; i < rank(); i++) {
      const Index before = Index(counts[i] - 1) - nth[i];
      o.push_back(floor_div(element[i] + low[i], strides[i]) - before);
      tap.push_back(mod(element[i] + low[i], strides[i]) + before * strides[i]);
      exists = both(std::move(exists), in_range(o[i], 0, output[i]));
      exists = both(std::move(exists), in_range(tap[i], 0, window[i]));
    }
    return o;
  }
  bool overlap() const {
    for (std::size_t i = 0; i < rank(); i++)
      if (window[i] > strides[i]) return true;
    return false;
  }

  Ints window, strides, low;
  std::vector<std::int64_t> input, output;
};

Expr lowest(DType dtype) {
  return visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) return constant_expr(dtype, -Limits::infinity());
    return integer_expr(dtype, static_cast<std::int64_t>(Limits::lowest()));
  });
}

Expr either(Expr a, Expr b) {
  return apply(Op::bit_or, {std::move(a), std::move(b)});
}

/// Whether x, met later than `best`, takes its place: larger, or the first NaN.
Expr beats(const Expr& x, const Expr& best) {
  if (!is_float(x->dtype)) return compare_expr("gt", x, best);
  Expr not_smaller = apply(Op::logical_not, {compare_expr("le", x, best)});
  return apply(Op::bit_and, {std::move(not_smaller), compare_expr("eq", best, best)});
}

// ---- sums and maxima
// ----------------------------------------------------------------------------------------

Reduction one_value(const Node& node, Op combine) {
  const DType dtype = node.type().dtype;
  Reduction r;
  r.state = {dtype};
  r.initial = [=](std::size_t, const Index&) {
    return combine == Op::add ? constant_expr(dtype, 0) : lowest(dtype);
  };
  r.join = [=](Lowering&, const std::vector<Expr>& a, const std::vector<Expr>& b) {
    return std::vector<Expr>{apply(combine, {a[0], b[0]})};
  };
  r.partial_sums = combine == Op::add && is_float(dtype);
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[0]));
  };
  return r;
}

void window_kernel(Lowering& l) {
  const Node& node = l.root();
  const Windows w(node, node.operand(0).shape(), node.type().shape);
  const Op combine = node.op == Op::window_sum ? Op::add : Op::maximum;
  Reduction r = one_value(node, combine);
  r.kept = w.output;
  r.reduced = w.window;
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& o, const Indices& tap) {
    Expr exists;
    const Indices index = w.element(o, tap, exists);
    Expr x = low.operand(node, 0, index, exists);
    const Expr neutral = combine == Op::add ? constant_expr(x->dtype, 0) : lowest(x->dtype);
    return std::vector<Expr>{apply(combine, {state[0], select_expr(exists, x, neutral)})};
  };
  lower_reduction(l, std::move(r));
}

void window_sum_grad_kernel(Lowering& l) {
  const Node& node = l.root();
  const Windows w(node, node.type().shape, node.operand(0).shape());
  Reduction r = one_value(node, Op::add);
  r.kept = w.input;
  r.reduced = w.sharing();
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& element,
                      const Indices& nth) {
    Expr exists;
    Indices tap;
    const Indices o = w.holder(element, nth, tap, exists);
    Expr dy = low.operand(node, 0, o, exists);
    dy = select_expr(exists, dy, constant_expr(dy->dtype, 0));
    return std::vector<Expr>{apply(Op::add, {state[0], std::move(dy)})};
  };
  lower_reduction(l, std::move(r));
}

/// The state is the maximum so far, v's element there, and whether there was an element at all.
void window_max_pick_kernel(Lowering& l) {
  const Node& node = l.root();
  const DType dtype = node.type().dtype;
  const Windows w(node, node.operand(0).shape(), node.type().shape);
  Reduction r;
  r.kept = w.output;
  r.reduced = w.window;
  r.state = {dtype, dtype, DType::bool_};
  r.initial = [=](std::size_t part, const Index&) {
    if (part == 2) return integer_expr(DType::bool_, 0);
    return part == 0 ? lowest(dtype) : constant_expr(dtype, 0);
  };
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& o, const Indices& tap) {
    Expr exists;
    const Indices index = w.element(o, tap, exists);
    const Expr x = low.let(low.operand(node, 0, index, exists));
    Expr takes = either(beats(x, state[0]), apply(Op::logical_not, {state[2]}));
    if (exists) takes = apply(Op::bit_and, {std::move(takes), exists});
    takes = low.let(std::move(takes));
    return std::vector<Expr>{select_expr(takes, x, state[0]),
                             select_expr(takes, low.operand(node, 1, index, exists), state[1]),
                             either(state[2], takes)};
  };
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[1]));
  };
  lower_reduction(l, std::move(r));
}

// ---- the gradient of the maximum
// ----------------------------------------------------------------------------

/// So many taps are written out.
constexpr std::int64_t most_unrolled = 16;

/// A loop over all points of `extents`: `body(outer, start, count)` handles `count` neighbours along the last
/// axis that is longer than 1 (`axis`), in vector loops.
void for_each_vector(
    Lowering& l, const std::vector<std::int64_t>& extents, double work,
    const std::function<void(const Indices& outer, const Index& start, std::int64_t count)>& body) {
  std::vector<std::int64_t> points = extents;
  const std::int64_t extent = points.back();
  l.narrow_lanes(extent);
  points.back() = (extent + l.lanes() - 1) / l.lanes();
  l.tiles(points, work * l.lanes(), [&](const Indices& point) {
    l.part(point.back(), extent, l.lanes(), [&](const Index& start, std::int64_t count) {
      body(Indices(point.begin(), point.end() - 1), start, count);
    });
  });
}

/// Axes that are 1 at the end are no place for vectors: `extents` without them, and indices with them again.
std::vector<std::int64_t> without_trailing_ones(std::vector<std::int64_t> extents) {
  while (extents.size() > 1 && extents.back() == 1) extents.pop_back();
  return extents;
}
Indices full_index(const Indices& outer, const Index& last, std::size_t rank) {
  Indices index = outer;
  index.push_back(last);
  index.resize(rank, Index(0));
  return index;
}

/// Windows that don't share elements: each is searched once, and hands out its dy.
void max_grad_apart(Lowering& l, const Windows& w) {
  const Node& node = l.root();
  const DType dtype = node.type().dtype;
  // Blocks of `strides` elements cover the input, also where there is no window. A stride may be much longer
  // than the input: `block` is what of it can hold elements.
  std::vector<std::int64_t> blocks, block;
  for (std::size_t i = 0; i < w.rank(); i++) {
    const std::int64_t covered = w.input[i] + w.low[i];
    blocks.push_back((covered - 1) / w.strides[i] + 1);
    block.push_back(std::min(w.strides[i], covered));
  }
  const std::int64_t volume = product(w.window);
  const bool unroll = std::max(volume, product(block)) <= most_unrolled;
  // With padding, or windows beyond the input's end, the first tap may not exist.
  bool padded = false;
  for (std::size_t i = 0; i < w.rank(); i++)
    padded = padded || w.low[i] > 0 || (blocks[i] - 1) * w.strides[i] + w.window[i] > w.input[i];
  for_each_vector(
      l, without_trailing_ones(blocks), static_cast<double>(4 * volume),
      [&](const Indices& outer, const Index& start, std::int64_t count) {
        const Reg best = l.make_register("best", dtype, RegisterKind::tile, {}, count);
        const Reg place = l.make_register("place", DType::i32, RegisterKind::tile, {}, count);
        const auto each = [&](const std::function<void(const Index&, const Indices&)>& body) {
          l.vector(
              "v", count, [&](const Index& v) { body(v, full_index(outer, start + v, w.rank())); }, true);
        };
        each([&](const Index& v, const Indices&) {
          l.add(write(best, {v}, lowest(dtype)));
          l.add(write(place, {v}, integer_expr(DType::i32, padded ? -1 : 0)));
        });
        l.nest("k", w.window, unroll, [&](const Indices& tap) {
          each([&](const Index& v, const Indices& o) {
            Expr exists;
            const Indices index = w.element(o, tap, exists);
            const Expr x = l.let(l.operand(node, 0, index, exists));
            Expr takes = beats(x, read(best, {v}));
            if (padded)
              takes =
                  either(std::move(takes), compare_expr("lt", read(place, {v}), integer_expr(DType::i32, 0)));
            if (exists) takes = apply(Op::bit_and, {std::move(takes), exists});
            takes = l.let(std::move(takes));
            l.add(write(best, {v}, select_expr(takes, x, read(best, {v}))));
            l.add(write(
                place, {v},
                select_expr(takes, index_expr(row_major(tap, w.window), DType::i32), read(place, {v}))));
          });
        });
        l.nest("k", block, unroll, [&](const Indices& tap) {
          each([&](const Index& v, const Indices& o) {
            Expr holds, exists;
            for (std::size_t i = 0; i < w.rank(); i++) {
              holds = both(std::move(holds), in_range(o[i], 0, w.output[i]));
              holds = both(std::move(holds), in_range(tap[i], 0, w.window[i]));
            }
            const Indices index = w.element(o, tap, exists);
            Expr dy = l.operand(node, 1, o, holds);
            Expr wins =
                compare_expr("eq", read(place, {v}), index_expr(row_major(tap, w.window), DType::i32));
            wins = both(std::move(wins), holds);
            l.bind(node.value(), l.let(select_expr(std::move(wins), std::move(dy), constant_expr(dtype, 0))));
            l.store_outputs(index, exists);
          });
        });
      });
}

/// Windows that share elements: a thread owns whole planes (all elements that can share a window), clears
/// them and lets one window after the other add its dy, in row-major order. Stands alone in its group, so
/// that the sums can grow in the output.
void max_grad_shared(Lowering& l, const Windows& w) {
  const Node& node = l.root();
  const DType dtype = node.type().dtype;
  // Axes along which windows don't overlap are divided among threads, the last of them also among lanes.
  std::vector<std::size_t> apart, plane;
  for (std::size_t i = 0; i < w.rank(); i++)
    (w.window[i] == 1 && w.strides[i] == 1 && w.low[i] == 0 ? apart : plane).push_back(i);
  const bool lanes_apart = !apart.empty() && apart.back() == w.rank() - 1;
  std::vector<std::int64_t> extents;
  for (std::size_t i : apart) extents.push_back(w.input[i]);
  if (!lanes_apart) extents.push_back(1);
  std::vector<std::int64_t> elements, windows, taps;
  for (std::size_t i : plane) {
    elements.push_back(w.input[i]);
    windows.push_back(w.output[i]);
    taps.push_back(w.window[i]);
  }
  const bool unroll = product(taps) <= most_unrolled;
  const double work = static_cast<double>(product(elements) + 6 * product(windows) * product(taps));
  const int buffer = l.output_buffer(0);

  for_each_vector(l, extents, work, [&](const Indices& outer, const Index& start, std::int64_t count) {
    /// The full index from the loops' for the two kinds of axes.
    const auto full = [&](const Index& v, const Indices& in_plane) {
      Indices index(w.rank(), Index(0));
      for (std::size_t i = 0; i < apart.size(); i++)
        index[apart[i]] = i < outer.size() ? outer[i] : start + v;
      for (std::size_t i = 0; i < plane.size(); i++) index[plane[i]] = in_plane[i];
      return index;
    };
    const auto each = [&](const std::function<void(const Index&)>& body) {
      l.vector("v", count, body, true);
    };
    l.nest("i", elements, false, [&](const Indices& element) {
      each([&](const Index& v) {
        l.add(store(buffer, row_major(full(v, element), w.input), constant_expr(dtype, 0)));
      });
    });
    const Reg best = l.make_register("best", dtype, RegisterKind::tile, {}, count);
    const Reg place = l.make_register("place", DType::i32, RegisterKind::tile, {}, count);
    const auto tap_index = [&](const Indices& tap) {
      Indices index(w.rank(), Index(0));
      for (std::size_t i = 0; i < plane.size(); i++) index[plane[i]] = tap[i];
      return index;
    };
    l.nest("o", windows, false, [&](const Indices& o) {
      each([&](const Index& v) {
        l.add(write(best, {v}, lowest(dtype)));
        l.add(write(place, {v}, integer_expr(DType::i32, -1)));
      });
      l.nest("k", taps, unroll, [&](const Indices& tap) {
        each([&](const Index& v) {
          Expr exists;
          const Indices index = w.element(full(v, o), tap_index(tap), exists);
          const Expr x = l.let(l.operand(node, 0, index, exists));
          Expr takes = either(beats(x, read(best, {v})),
                              compare_expr("lt", read(place, {v}), integer_expr(DType::i32, 0)));
          if (exists) takes = apply(Op::bit_and, {std::move(takes), exists});
          takes = l.let(std::move(takes));
          l.add(write(best, {v}, select_expr(takes, x, read(best, {v}))));
          l.add(write(place, {v},
                      select_expr(takes, index_expr(row_major(tap, taps), DType::i32), read(place, {v}))));
        });
      });
      l.nest("k", taps, unroll, [&](const Indices& tap) {
        each([&](const Index& v) {
          Expr exists;
          const Indices index = w.element(full(v, o), tap_index(tap), exists);
          const Index at = row_major(index, w.input);
          const Expr wins =
              compare_expr("eq", read(place, {v}), index_expr(row_major(tap, taps), DType::i32));
          Expr dy = select_expr(wins, l.operand(node, 1, full(v, o)), constant_expr(dtype, 0));
          l.add(store(buffer, at, apply(Op::add, {load(buffer, dtype, at, exists), std::move(dy)}), exists));
        });
      });
    });
  });
}

void window_max_grad_kernel(Lowering& l) {
  const Node& node = l.root();
  const Windows w(node, node.operand(0).shape(), node.operand(1).shape());
  if (product(w.input) == 0) return;
  if (w.overlap()) return max_grad_shared(l, w);
  max_grad_apart(l, w);
}

}  // namespace

void register_window_lowering(LoweringTable& table) {
  entry(table, Op::window_sum).root = window_kernel;
  entry(table, Op::window_max).root = window_kernel;
  entry(table, Op::window_sum_grad).root = window_sum_grad_kernel;
  entry(table, Op::window_max_grad).root = window_max_grad_kernel;
  entry(table, Op::window_max_pick).root = window_max_pick_kernel;
}

}  // namespace kiln::codegen
