// Sums and maxima over windows, and their transposes. Every element of a result is computed by one thread: a
// gradient asks which windows an element belongs to, it doesn't scatter.
#include <algorithm>
#include <limits>

#include "codegen/ops/register.h"
#include "codegen/pooling.h"
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
  /// Along this axis (the channels) each element is a window: nothing is beyond the ends. Asked of an index,
  /// that isn't always seen, as where parts of an axis are not all of one length.
  bool is_apart(std::size_t i) const {
    return window[i] == 1 && strides[i] == 1 && low[i] == 0 && input[i] == output[i];
  }
  /// The element under a tap, and whether it exists (null: it does).
  Indices element(const Indices& o, const Indices& tap, Expr& exists) const {
    Indices index;
    for (std::size_t i = 0; i < rank(); i++) {
      index.push_back(o[i] * strides[i] + tap[i] - low[i]);
      if (!is_apart(i)) exists = both(std::move(exists), in_range(index[i], 0, input[i]));
    }
    return index;
  }
  /// The element that comes nearest to a tap. For a maximum it does instead: it is one of the window's, too,
  /// if any is, and row-major it is met no sooner than those before it.
  Indices nearest(Lowering& l, const Indices& o, const Indices& tap) const {
    Indices index;
    for (std::size_t i = 0; i < rank(); i++)
      index.push_back(is_apart(i) ? o[i] : clamped(l, o[i] * strides[i] + tap[i] - low[i], input[i]));
    return index;
  }
  /// The tap that an element of the window is, row-major.
  Index number(const Indices& o, const Indices& element) const {
    Indices tap;
    for (std::size_t i = 0; i < rank(); i++) tap.push_back(element[i] - o[i] * strides[i] + low[i]);
    return row_major(tap, window);
  }
  /// Whether the window covers an element, not padding only (null: it does).
  Expr covers(const Indices& o) const {
    Expr result;
    for (std::size_t i = 0; i < rank(); i++)
      if (input[i] == 0) return integer_expr(DType::bool_, 0);
    for (std::size_t i = 0; i < rank(); i++)
      if (!is_apart(i))
        result = both(std::move(result), in_range(o[i] * strides[i] - low[i], 1 - window[i], input[i]));
    return result;
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
      if (is_apart(i)) continue;
      exists = both(std::move(exists), in_range(o[i], 0, output[i]));
      exists = both(std::move(exists), in_range(tap[i], 0, window[i]));
    }
    return o;
  }

  static Index clamped(Lowering& l, const Index& index, std::int64_t size) {
    if (!in_range(index, 0, size)) return index;
    const DType dtype = l.address_type();
    Expr value = apply(Op::minimum, {index_expr(index, dtype), integer_expr(dtype, size - 1)});
    value = apply(Op::maximum, {std::move(value), integer_expr(dtype, 0)});
    return Index::from_value(l.let(std::move(value)), 0, std::max<std::int64_t>(size, 1));
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

void window_sum_kernel(Lowering& l) {
  const Node& node = l.root();
  const Windows w(node, node.operand(0).shape(), node.type().shape);
  Reduction r = one_value(node, Op::add);
  r.kept = w.output;
  r.reduced = w.window;
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& o, const Indices& tap) {
    Expr exists;
    const Indices index = w.element(o, tap, exists);
    Expr x = low.operand(node, 0, index, exists);
    x = select_expr(exists, x, constant_expr(x->dtype, 0));
    return std::vector<Expr>{apply(Op::add, {state[0], std::move(x)})};
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

/// The state is what was found: the last tap that is the named one.
void window_max_pick_kernel(Lowering& l) {
  const Node& node = l.root();
  const DType dtype = node.type().dtype;
  const Windows w(node, node.operand(1).shape(), node.type().shape);
  Reduction r;
  r.kept = w.output;
  r.reduced = w.window;
  r.state = {dtype};
  r.initial = [=](std::size_t, const Index&) { return constant_expr(dtype, 0); };
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& o, const Indices& tap) {
    Expr exists;
    const Indices index = w.element(o, tap, exists);
    const Expr place = convert_expr(low.operand(node, 0, o), DType::i32);
    Expr named = compare_expr("eq", place, index_expr(row_major(tap, w.window), DType::i32));
    named = both(std::move(named), exists);
    return std::vector<Expr>{select_expr(std::move(named), low.operand(node, 1, index, exists), state[0])};
  };
  r.bind = [&node](Lowering& low, const std::vector<Expr>& state) {
    low.bind(node.value(), low.let(state[0]));
  };
  lower_reduction(l, std::move(r));
}

// ---- maxima and where they lie
// ------------------------------------------------------------------------------

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

/// Calls `body` with all points of a box, in order: constants if they are few, else the variables of loops.
void for_each_tap(Lowering& l, const std::vector<std::int64_t>& box,
                  const std::function<void(const Indices&)>& body) {
  const std::int64_t volume = product(box);
  if (volume > most_unrolled) return l.nest("k", box, false, body);
  for (std::int64_t i = 0; i < volume; i++) body(unflatten(Index(i), box));
}

/// The largest element alone: for numbers the maximum is one instruction.
void window_max_kernel(Lowering& l) {
  const Node& node = l.root();
  const Windows w(node, node.operand(0).shape(), node.type().shape);
  Reduction r = one_value(node, Op::maximum);
  r.kept = w.output;
  r.reduced = w.window;
  r.step = [=, &node](Lowering& low, const std::vector<Expr>& state, const Indices& o, const Indices& tap) {
    const Expr covers = w.covers(o);
    Expr x = low.operand(node, 0, w.nearest(low, o, tap), covers);
    x = select_expr(covers, x, lowest(x->dtype));
    return std::vector<Expr>{apply(Op::maximum, {state[0], std::move(x)})};
  };
  lower_reduction(l, std::move(r));
}

/// Where the largest element is, and perhaps (`maximum`) what it is.
void window_argmax_kernel(Lowering& l, const Node& argmax, const Node* maximum) {
  const DType dtype = argmax.operand(0).dtype(), place_type = argmax.type().dtype;
  const Windows w(argmax, argmax.operand(0).shape(), argmax.type().shape);
  const std::int64_t volume = product(w.window);
  for_each_vector(
      l, without_trailing_ones(w.output), static_cast<double>(4 * volume),
      [&](const Indices& outer, const Index& start, std::int64_t count) {
        const Reg best = l.make_register("best", dtype, RegisterKind::tile, {}, count);
        const Reg place = l.make_register("place", DType::i32, RegisterKind::tile, {}, count);
        const auto each = [&](const std::function<void(const Index&, const Indices&)>& body) {
          l.vector(
              "v", count, [&](const Index& v) { body(v, full_index(outer, start + v, w.rank())); }, true);
        };
        const auto element = [&](const Indices& o, const Indices& tap, Expr& x) {
          const Indices index = w.nearest(l, o, tap);
          x = l.let(l.operand(argmax, 0, index, w.covers(o)));
          return index_expr(w.number(o, index), DType::i32);
        };
        const Indices first(w.rank(), Index(0));
        each([&](const Index& v, const Indices& o) {
          Expr x;
          l.add(write(place, {v}, element(o, first, x)));
          l.add(write(best, {v}, x));
        });
        for_each_tap(l, w.window, [&](const Indices& tap) {
          if (row_major(tap, w.window).is_constant(0)) return;
          each([&](const Index& v, const Indices& o) {
            Expr x;
            const Expr number = element(o, tap, x);
            const Expr takes = l.let(beats(x, read(best, {v})));
            l.add(write(best, {v}, select_expr(takes, x, read(best, {v}))));
            l.add(write(place, {v}, select_expr(takes, number, read(place, {v}))));
          });
        });
        each([&](const Index& v, const Indices& o) {
          const Expr covers = w.covers(o);
          const Expr number = select_expr(covers, read(place, {v}), integer_expr(DType::i32, volume));
          l.bind(argmax.value(), l.let(convert_expr(number, place_type)));
          if (maximum) l.bind(maximum->value(), l.let(select_expr(covers, read(best, {v}), lowest(dtype))));
          l.store_outputs(o);
        });
      });
}

void window_maxima_kernel(Lowering& l) {
  if (product(l.group().space.sizes()) == 0) return;
  std::vector<const Node*> roots{&l.root()};
  roots.insert(roots.end(), l.group().siblings.begin(), l.group().siblings.end());
  const Node *maximum = nullptr, *argmax = nullptr;
  for (const Node* root : roots) (root->op == Op::window_max ? maximum : argmax) = root;
  if (argmax == nullptr) return window_max_kernel(l);
  window_argmax_kernel(l, *argmax, maximum);
}

/// The dy of a window, and the number of the element that gets it.
struct Given {
  Expr place, dy;
  /// What `number` gets; `exists` may be null (true).
  Expr to(const Index& number, const Expr& exists) const {
    // A window that doesn't exist is one that names no element: a choice between numbers, not of lanes.
    const Expr name = select_expr(exists, index_expr(number, DType::i32), integer_expr(DType::i32, -1));
    return select_expr(compare_expr("eq", place, name), dy, constant_expr(dy->dtype, 0));
  }
};

/// Each element adds the dy of the windows that name it. Blocks of `strides` elements cover the input, also
/// where there is no window; the elements of a block share the few windows that they look at.
class MaxGradKernel {
 public:
  explicit MaxGradKernel(Lowering& l)
      : l_(l), w_(l.root(), l.root().type().shape, l.root().operand(1).shape()), sharing_(w_.sharing()) {
    // A stride may be much longer than the input: `block` is what of it can hold elements.
    for (std::size_t i = 0; i < w_.rank(); i++) {
      const std::int64_t covered = w_.input[i] + w_.low[i];
      blocks_.push_back((covered - 1) / w_.strides[i] + 1);
      block_.push_back(std::min(w_.strides[i], covered));
    }
  }

  void build() {
    const bool few = std::max(product(w_.window), product(block_)) <= most_unrolled;
    for_each_vector(l_, without_trailing_ones(blocks_), static_cast<double>(4 * product(w_.window)),
                    [&](const Indices& outer, const Index& start, std::int64_t count) {
                      const auto each = [&](const std::function<void(const Index&, const Indices&)>& body) {
                        l_.vector(
                            "v", count,
                            [&](const Index& v) { body(v, full_index(outer, start + v, w_.rank())); }, true);
                      };
                      if (few)
                        each([&](const Index&, const Indices& b) { written_out(b); });
                      else
                        in_loops(each, count);
                    });
  }

 private:
  Given look(const Indices& o) const {
    return {l_.let(convert_expr(l_.operand(l_.root(), 0, o), DType::i32)),
            l_.let(l_.operand(l_.root(), 1, o))};
  }
  /// The window that begins `before` strides before block b (or the nearest one, if it doesn't exist).
  Indices window(const Indices& b, const Indices& before, Expr& exists) const {
    Indices o;
    for (std::size_t i = 0; i < w_.rank(); i++) {
      const Index index = b[i] - before[i];
      if (!w_.is_apart(i)) exists = both(std::move(exists), in_range(index, 0, w_.output[i]));
      o.push_back(w_.is_apart(i) ? index : Windows::clamped(l_, index, w_.output[i]));
    }
    return o;
  }
  /// How many strides before its element's block window `nth`, row-major, begins.
  Indices before(const Indices& nth) const {
    Indices result;
    for (std::size_t i = 0; i < w_.rank(); i++) result.push_back(Index(sharing_[i] - 1) - nth[i]);
    return result;
  }
  Indices tap(const Indices& in_block, const Indices& before) const {
    Indices result;
    for (std::size_t i = 0; i < w_.rank(); i++) result.push_back(in_block[i] + before[i] * w_.strides[i]);
    return result;
  }
  void finish(const Indices& b, const Indices& in_block, Expr sum) const {
    Expr exists;
    const Indices index = w_.element(b, in_block, exists);
    l_.bind(l_.root().value(), l_.let(std::move(sum)));
    l_.store_outputs(index, exists);
  }

  void written_out(const Indices& b) const {
    std::vector<Given> given;
    std::vector<Indices> strides_before;
    std::vector<Expr> exist;
    for_each_tap(l_, sharing_, [&](const Indices& nth) {
      strides_before.push_back(before(nth));
      exist.emplace_back();
      given.push_back(look(window(b, strides_before.back(), exist.back())));
    });
    for_each_tap(l_, block_, [&](const Indices& in_block) {
      l_.isolated([&] {
        Expr sum;
        for (std::size_t i = 0; i < given.size(); i++) {
          const Indices at = tap(in_block, strides_before[i]);
          bool inside = true;
          for (std::size_t axis = 0; axis < w_.rank(); axis++)
            inside = inside && at[axis]->constant < w_.window[axis];
          if (!inside) continue;
          Expr term = given[i].to(row_major(at, w_.window), exist[i]);
          sum = sum ? apply(Op::add, {std::move(sum), std::move(term)}) : std::move(term);
        }
        finish(b, in_block, sum ? std::move(sum) : constant_expr(l_.root().type().dtype, 0));
      });
    });
  }

  template <class Each>
  void in_loops(const Each& each, std::int64_t count) const {
    const DType dtype = l_.root().type().dtype;
    const Reg sum = l_.make_register("sum", dtype, RegisterKind::tile, {}, count);
    l_.nest("k", block_, false, [&](const Indices& in_block) {
      each([&](const Index& v, const Indices&) { l_.add(write(sum, {v}, constant_expr(dtype, 0))); });
      l_.nest("n", sharing_, false, [&](const Indices& nth) {
        each([&](const Index& v, const Indices& b) {
          Expr exists;
          const Given given = look(window(b, before(nth), exists));
          const Indices at = tap(in_block, before(nth));
          for (std::size_t i = 0; i < w_.rank(); i++)
            exists = both(std::move(exists), in_range(at[i], 0, w_.window[i]));
          l_.add(
              write(sum, {v}, apply(Op::add, {read(sum, {v}), given.to(row_major(at, w_.window), exists)})));
        });
      });
      each([&](const Index& v, const Indices& b) { finish(b, in_block, read(sum, {v})); });
    });
  }

  Lowering& l_;
  Windows w_;
  std::vector<std::int64_t> sharing_, blocks_, block_;
};

void window_max_grad_kernel(Lowering& l) {
  if (l.root().type().shape.elements() > 0) MaxGradKernel(l).build();
}

/// One element by itself: of the only window that it can belong to (is_apart_gradient).
Expr window_max_grad_element(Lowering& l, const Node& node, const Indices& index, const Expr& predicate) {
  const Windows w(node, node.type().shape, node.operand(1).shape());
  Indices tap;
  Expr exists;
  const Indices o = w.holder(index, Indices(w.rank(), Index(0)), tap, exists);
  const Expr reads = both(predicate, exists);
  const Given given{convert_expr(l.operand(node, 0, o, reads), DType::i32), l.operand(node, 1, o, reads)};
  return given.to(row_major(tap, w.window), exists);
}

}  // namespace

void register_window_lowering(LoweringTable& table) {
  entry(table, Op::window_sum).root = window_sum_kernel;
  entry(table, Op::window_max).root = window_maxima_kernel;
  entry(table, Op::window_argmax).root = window_maxima_kernel;
  entry(table, Op::window_sum_grad).root = window_sum_grad_kernel;
  entry(table, Op::window_max_grad).root = window_max_grad_kernel;
  entry(table, Op::window_max_grad).element = window_max_grad_element;
  entry(table, Op::window_max_pick).root = window_max_pick_kernel;
}

}  // namespace kiln::codegen
