#include <algorithm>
#include <limits>

#include "codegen/cost.h"
#include "codegen/lowering.h"
#include "codegen/tiling.h"
#include "kiln/runtime/philox.h"

/// Groups without a root: every element of the outputs is computed by itself. What there is to decide is how
/// many of the trailing axes run as one vector loop: all of them if every array is read in order, fewer if
/// some are broadcast or moved along the way. And where an array is read across (a transpose), squares of it
/// are turned in registers.
namespace kiln::codegen {
namespace {

/// Instructions for one element when the last `merged` axes are one vector loop.
double cost_of_merging(const Lowering& lowering, std::span<const std::int64_t> shape, std::size_t merged) {
  const std::size_t outer = shape.size() - merged;
  const std::int64_t extent = product(shape.subspan(outer));
  const int lanes = lowering.lanes();
  Var var;
  const Block body = lowering.probe([&](Lowering& l) {
    Indices index;
    for (std::size_t i = 0; i < outer; i++) index.emplace_back(l.fresh("i", shape[i]));
    var = l.fresh("v", extent);
    for (const Index& i : unflatten(Index(var), shape.subspan(outer))) index.push_back(i);
    l.store_outputs(index);
  });
  constexpr double loop_overhead = 3;
  const auto chunks = static_cast<double>((extent + lanes - 1) / lanes);
  return (vector_cost(body, var, lanes) * chunks + loop_overhead) / static_cast<double>(extent);
}

bool has_value(const Index& index) {
  return index->kind == IndexKind::value ||
         std::any_of(index->operands.begin(), index->operands.end(), has_value);
}

/// Calls `visit` for the loads of an expression, those in indices aside.
template <class Visit>
void each_load(const Expr& e, const Visit& visit) {
  if (e->kind == ExprKind::load) visit(e);
  for (const Expr& operand : e->operands) each_load(operand, visit);
}

/// An array that is read across the vector loop: its neighbours are along the last outer axes.
struct Across {
  std::size_t first = 0;    ///< those axes are [first, outer)
  std::int64_t extent = 1;  ///< of them together
  int buffer = 0;
  std::int64_t stride = 0;  ///< from lane to lane
  DType dtype = DType::f32;

  /// Is it a load of that array, whose neighbours go along `along`?
  bool reads(const ExprNode& e, const Var& along, const Var& across) const {
    std::int64_t one = 0, step = 0;
    return e.kind == ExprKind::load && e.buffer == buffer && !e.predicate && !has_value(e.index) &&
           affine_in(e.index, along, one) && affine_in(e.index, across, step) && one == 1 && step == stride;
  }
};

/// Lowers a map whose vectors go along `inner`, the axes behind `outer`.
class MapKernel {
 public:
  MapKernel(Lowering& l, std::span<const std::int64_t> outer, std::span<const std::int64_t> inner,
            double work)
      : l_(l), outer_(outer), inner_(inner), extent_(product(inner)), work_(work) {}

  void build() {
    if (find_across()) return in_squares();
    const int unit = makes_random_words() ? random_words : 1;
    const std::int64_t width = vector_part(extent_, work_, std::max<int>(l_.lanes(), unit), l_.target());
    std::vector<std::int64_t> points(outer_.begin(), outer_.end());
    points.push_back((extent_ + width - 1) / width);
    l_.tiles(points, work_ * static_cast<double>(width), [&](const Indices& point) {
      l_.part(point.back(), extent_, width, [&](const Index& start, std::int64_t count) {
        const Indices before(point.begin(), point.end() - 1);
        const auto elements = [&](const Index& first, const Index& v) {
          Block body = l_.scope([&] { l_.store_outputs(behind(before, first + v)); });
          read_ahead(body, v);
          for (Stmt& s : body) l_.add(std::move(s));
        };
        const std::int64_t whole = unit == 1 ? 0 : count / unit, rest = count - whole * unit;
        l_.serial("b", whole, [&](const Index& block) {
          l_.vector("v", random_counters, [&](const Index& v) {
            l_.unrolled("w", random_words / random_counters, [&](const Index& word) {
              elements(start + block * unit + word * random_counters, v);
            });
          });
        });
        l_.vector("v", rest, [&](const Index& v) { elements(start + whole * unit, v); });
      });
    });
  }

 private:
  /// Random words lie so that a vector of counters makes four vectors of them (random_bits_word). They are
  /// written together, if they are what the map makes, and blocks of them begin with its vectors.
  bool makes_random_words() const {
    const std::int64_t rows = product(outer_);
    if (l_.target().is_small || (rows > 1 && extent_ % random_words != 0)) return false;
    const std::vector<const Node*>& nodes = l_.group().nodes;
    return std::any_of(nodes.begin(), nodes.end(), [&](const Node* n) {
      return n->op == Op::random_bits && n->type().shape.elements() == rows * extent_;
    });
  }

  bool is_far(int buffer, DType dtype) const {
    return codegen::is_far(l_.buffer_elements(buffer) * static_cast<std::int64_t>(size_of(dtype)),
                           l_.target());
  }

  /// Asks for what large arrays will be read for a page later: the machine's own prefetching stops at the end
  /// of each page, and memory is waited for at the beginning of the next.
  void read_ahead(const Block& body, const Index& v) {
    std::vector<Expr> seen;
    for (const Stmt& s : body)
      each_load(s.value, [&](const Expr& e) {
        std::int64_t stride = 0;
        const bool in_order =
            !e->predicate && !has_value(e->index) && affine_in(e->index, v->variable, stride) && stride == 1;
        if (!in_order || !is_far(e->buffer, e->dtype)) return;
        if (std::any_of(seen.begin(), seen.end(), [&](const Expr& other) {
              return other->buffer == e->buffer && same(other->index, e->index);
            }))
          return;
        seen.push_back(e);
        l_.add(prefetch(e->buffer, e->index + page_bytes / static_cast<std::int64_t>(size_of(e->dtype))));
      });
  }

  /// Indices of the element at `v` of the inner axes.
  Indices behind(Indices before, const Index& v) const {
    append(before, v, inner_);
    return before;
  }
  /// The same, at `along` of the axes that neighbours of the array are along.
  Indices element(Indices before, const Index& along, const Index& v) const {
    append(before, along, outer_.subspan(across_.first));
    return behind(std::move(before), v);
  }
  /// Leading axes of size 1 are left out of the account: then the first of the others takes what is left, as
  /// it is, though in a part that is cut short it seems to be too much.
  static void append(Indices& index, const Index& position, std::span<const std::int64_t> shape) {
    while (shape.size() > 1 && shape[0] == 1) {
      index.emplace_back(0);
      shape = shape.subspan(1);
    }
    for (const Index& i : unflatten(position, shape)) index.push_back(i);
  }

  /// Squares pay for arrays of some size, read without conditions.
  bool find_across() {
    constexpr std::int64_t fewest_elements = 1 << 14, fewest_lanes = 4;
    const int lanes = l_.lanes();
    if (lanes < fewest_lanes || extent_ < lanes || product(outer_) * extent_ < fewest_elements) return false;
    for (std::size_t first = 0; first < outer_.size(); first++) {
      across_.first = first;
      across_.extent = product(outer_.subspan(first));
      if (across_.extent < lanes) return false;
      const Var row = make_var("r", lanes), column = make_var("c", lanes);
      const Block body = l_.probe([&](Lowering& l) {
        const auto start = [&](std::int64_t extent) { return Index(l.fresh("s", extent / lanes)) * lanes; };
        Indices before;
        for (std::size_t i = 0; i < first; i++) before.emplace_back(l.fresh("i", outer_[i]));
        l.store_outputs(element(before, start(across_.extent) + row, start(extent_) + column));
      });
      if (find_across(body, row, column)) return true;
    }
    return false;
  }
  /// Of the arrays read across, the first; all that is read of it has to be at one place.
  bool find_across(const Block& body, const Var& row, const Var& column) {
    Expr found;
    bool elsewhere = false;
    for (const Stmt& s : body)
      each_load(s.value, [&](const Expr& e) {
        std::int64_t stride = 0;
        if (found) {
          elsewhere = elsewhere || (across_.reads(*e, row, column) && !same(e->index, found->index));
          return;
        }
        if (e->dtype == DType::bool_ || !affine_in(e->index, column, stride) || stride <= 1) return;
        across_.buffer = e->buffer;
        across_.stride = stride;
        across_.dtype = e->dtype;
        if (across_.reads(*e, row, column)) found = e;
      });
    return found && !elsewhere;
  }

  void in_squares() {
    const std::int64_t side = l_.lanes();
    // The arrays have to be the parameters that they were in the probe: these first, then the scratch.
    l_.scope([&] { l_.store_outputs(Indices(outer_.size() + inner_.size(), Index(0))); });
    turned_ = l_.scratch_buffer(across_.dtype, side * side);
    const auto parts = [&](std::int64_t n) { return (n + side - 1) / side; };
    std::vector<std::int64_t> points(outer_.begin(),
                                     outer_.begin() + static_cast<std::ptrdiff_t>(across_.first));
    points.insert(points.end(), {parts(across_.extent), parts(extent_)});
    l_.tiles(points, work_ * static_cast<double>(side * side), [&](const Indices& point) {
      const Indices before(point.begin(), point.end() - 2);
      l_.part(point.end()[-2], across_.extent, side, [&](const Index& along, std::int64_t rows) {
        l_.part(point.back(), extent_, side, [&](const Index& v, std::int64_t columns) {
          if (rows == side && columns == side)
            if (const Expr corner = corner_of_array(before, along, v))
              return square(before, along, v, corner);
          l_.serial("j", rows, [&](const Index& j) {
            l_.vector("v", columns,
                      [&](const Index& c) { l_.store_outputs(element(before, along + j, v + c)); });
          });
        });
      });
    });
  }

  /// The load of the array at `along` and `v`, from where rows and neighbours go on; null if the indices in
  /// the square there don't show them to do so.
  Expr corner_of_array(const Indices& before, const Index& along, const Index& v) const {
    const Index c = make_var("c", l_.lanes()), r = make_var("r", l_.lanes());
    const Block reads = l_.probe([&](Lowering& l) { l.store_outputs(element(before, along + c, v + r)); });
    Expr row;
    bool elsewhere = false;
    for (const Stmt& s : reads)
      each_load(s.value, [&](const Expr& e) {
        if (!across_.reads(*e, c->variable, r->variable)) return;
        elsewhere = elsewhere || (row && !same(row->index, e->index));
        row = e;
      });
    return row && !elsewhere ? load(row->buffer, row->dtype, row->index - c - r * across_.stride) : nullptr;
  }

  /// Turns rows of the array as it lies; then, row by row of the result, what is computed of them. In between
  /// they are in scratch memory, and long vectors are turned in rounds (the low bits of rows and lanes change
  /// places, then the high ones): a square written out at once takes long to compile.
  void square(const Indices& before, const Index& along, const Index& v, const Expr& corner) {
    const std::int64_t side = l_.lanes(), most = side > 8 ? 4 : side;
    std::int64_t group = 0;
    // Rows of a square are pieces too short for the machine's own prefetching. Rows whole pages apart meet in
    // few sets of the second cache (16 KiB apart, one of 1 MiB holds four squares).
    const std::int64_t row_bytes = across_.stride * static_cast<std::int64_t>(size_of(across_.dtype)),
                       squares_ahead = row_bytes % page_bytes == 0 ? 2 : 4;
    const bool asks = is_far(corner->buffer, corner->dtype);
    const auto scratch = [&](const Index& r, const Index& c) { return r * side + c; };
    for (std::int64_t unit = 1; unit < side; unit *= group) {
      group = std::min(most, side / unit);
      const Reg rows = l_.make_register("rows", across_.dtype, RegisterKind::tile, {group}, side);
      l_.serial("g", side / group, [&](const Index& g) {
        const auto each = [&](const auto& body) {
          l_.unrolled("r", group, [&](const Index& r) {
            l_.vector("c", side, [&](const Index& c) { body(r, c); }, true);
          });
        };
        // Rows whose numbers differ in the bits that are this round's.
        const Index first = floor_div(g, unit) * (unit * group) + mod(g, unit);
        if (asks && unit == 1)
          l_.unrolled("r", group, [&](const Index& r) {
            const Index row = first + r + squares_ahead * side;
            l_.add(prefetch(corner->buffer, corner->index + row * across_.stride, CacheLevel::second));
          });
        each([&](const Index& r, const Index& c) {
          l_.add(write(rows, {r, c},
                       unit == 1 ? load(corner->buffer, across_.dtype,
                                        corner->index + (first + r) * across_.stride + c)
                                 : load(turned_, across_.dtype, scratch(first + r * unit, c))));
        });
        l_.add(turn(rows, static_cast<int>(unit)));
        each([&](const Index& r, const Index& c) {
          l_.add(store(turned_, scratch(first + r * unit, c), read(rows, {r, c})));
        });
      });
    }
    l_.serial("r", side, [&](const Index& r) {
      l_.vector("c", side, [&](const Index& c) {
        Block body = l_.scope([&] { l_.store_outputs(element(before, along + r, v + c)); });
        const Expr turned = load(turned_, across_.dtype, scratch(r, c));
        for (Stmt& s : body) {
          s.value = with_turned(s.value, turned, r, c);
          l_.add(std::move(s));
        }
      });
    });
  }
  /// The expression, with `turned` instead of loads of the array.
  Expr with_turned(const Expr& e, const Expr& turned, const Index& r, const Index& c) const {
    if (across_.reads(*e, r->variable, c->variable)) return turned;
    ExprNode node = *e;
    for (Expr& operand : node.operands) operand = with_turned(operand, turned, r, c);
    return std::make_shared<const ExprNode>(std::move(node));
  }

  Lowering& l_;
  std::span<const std::int64_t> outer_, inner_;
  std::int64_t extent_;
  double work_;  ///< of an element
  Across across_;
  int turned_ = -1;  ///< parameter where a turned square lies
};

}  // namespace

void lower_map(Lowering& l) {
  const std::vector<std::int64_t>& shape = l.group().space.sizes();
  if (product(shape) == 0) return;

  std::size_t merged = std::min<std::size_t>(1, shape.size());
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t m = merged; m <= shape.size(); m++) {
    const double cost = cost_of_merging(l, shape, m);
    if (cost <= best) {
      best = cost;
      merged = m;
    }
  }

  const std::span<const std::int64_t> all(shape);
  const auto outer = all.first(shape.size() - merged), inner = all.last(merged);
  l.narrow_lanes(product(inner));
  MapKernel(l, outer, inner, best * l.lanes()).build();
}

}  // namespace kiln::codegen
