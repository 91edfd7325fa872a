#include "tests/support/random_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <set>

#include "kiln/graph/gradient.h"
#include "kiln/graph/ops.h"
#include "tests/support/random_graph_ops.h"

namespace kiln::graph {

// ---- the pool ---------------------------------------------------------------------------------------------

RandomGraphBuilder::RandomGraphBuilder(std::int64_t seed, const RandomProgramOptions& options)
    : random(seed),
      options_(options),
      graph_(std::make_unique<Graph>(fmt::format("random_{}", seed))),
      bound_(std::make_unique<ErrorBound>(*graph_)) {}

Shape RandomGraphBuilder::shape(int min_rank, int max_rank, std::int64_t max_elements) {
  // Sizes around vector widths, primes, 1, and more than a tile.
  static constexpr std::int64_t sizes[] = {1,  2,  3,  4,  5,  7,  8,   13,  15,
                                           16, 17, 31, 33, 64, 67, 130, 257, 1031};
  const int rank = min_rank + static_cast<int>(random.below(max_rank - min_rank + 1));
  Shape s;
  std::int64_t left = random.chance(0.1) ? max_elements * 8 : max_elements;
  for (int i = 0; i < rank; i++) {
    std::int64_t n = random.pick(sizes);
    while (n > left)
      n = sizes[random.below(static_cast<std::int64_t>(std::size(sizes)) / 2)], left = std::max(left, n);
    s.push_back(n);
    left = std::max<std::int64_t>(left / n, 1);
  }
  if (options_.corners && rank > 0 && random.chance(0.06))
    s[static_cast<std::size_t>(random.below(rank))] = 0;
  return s;
}

DType RandomGraphBuilder::number_type() {
  static constexpr DType types[] = {DType::f32, DType::f32, DType::f32, DType::f64,
                                    DType::i32, DType::i64, DType::u8};
  return random.pick(types);
}
DType RandomGraphBuilder::float_type() {
  return random.chance(0.85) ? DType::f32 : DType::f64;
}

Tensor RandomGraphBuilder::data(const Type& type) {
  if (type.dtype == DType::bool_) return random.tensor(type.shape, 0, 2, type.dtype);
  if (type.dtype == DType::u8) return random.tensor(type.shape, 0, 12, type.dtype);
  Tensor t =
      random.tensor(type.shape, is_float(type.dtype) ? -2 : -5, is_float(type.dtype) ? 2 : 10, type.dtype);
  if (options_.specials && is_float(type.dtype) && t.size() > 0) {
    static constexpr double specials[] = {0.0,
                                          -0.0,
                                          std::numeric_limits<double>::infinity(),
                                          -std::numeric_limits<double>::infinity(),
                                          std::numeric_limits<double>::quiet_NaN(),
                                          1e-40};
    Tensor flat = t.reshape({None});
    for (std::int64_t k = 0; k < 1 + t.size() / 20; k++) flat(random.below(t.size())) = random.pick(specials);
  }
  return t;
}

Value RandomGraphBuilder::fresh(const Type& type) {
  return leaf(data(type));
}

Value RandomGraphBuilder::state(Tensor value) {
  const Value v = graph_->state(fmt::format("s{}", states_.size()), {value.dtype(), value.shape()});
  bound_->set(v, value);
  states_.push_back(std::move(value));
  return v;
}

Value RandomGraphBuilder::leaf(Tensor value) {
  const Type type{value.dtype(), value.shape()};
  Value v;
  if (value.size() <= 64 && random.chance(0.15)) {
    v = constant(*graph_, value);
  } else if (random.chance(0.2) && states_.size() < 4) {
    v = state(value);
  } else {
    v = graph_->input(fmt::format("x{}", inputs_.size()), type);
    inputs_.push_back(value);
    bound_->set(v, value);
  }
  bound_->extend();
  pool_.push_back(v);
  return v;
}

Value RandomGraphBuilder::pick(const std::function<bool(Value)>& fits) {
  std::vector<Value> found;
  for (std::size_t i = 0; i < pool_.size(); i++)
    if (fits(pool_[i]))
      for (std::size_t copies = i + 6 > pool_.size() ? 3 : 1; copies > 0;
           copies--)  // recent ones: long chains
        found.push_back(pool_[i]);
  return found.empty() ? Value{} : random.pick(found);
}

Value RandomGraphBuilder::pick(const std::function<bool(Value)>& fits, const Type& otherwise) {
  const Value v = random.chance(0.1) ? Value{} : pick(fits);
  return v ? v : fresh(otherwise);
}

Value RandomGraphBuilder::any_float(int min_rank, int max_rank) {
  return pick([=](Value v) { return is_float(v.dtype()) && v.rank() >= min_rank && v.rank() <= max_rank; },
              {float_type(), shape(min_rank, max_rank)});
}
Value RandomGraphBuilder::any_number(int min_rank, int max_rank) {
  return pick(
      [=](Value v) { return v.dtype() != DType::bool_ && v.rank() >= min_rank && v.rank() <= max_rank; },
      {number_type(), shape(min_rank, max_rank)});
}
Value RandomGraphBuilder::any(int min_rank, int max_rank) {
  return pick([=](Value v) { return v.rank() >= min_rank && v.rank() <= max_rank; },
              {random.chance(0.2) ? DType::bool_ : number_type(), shape(min_rank, max_rank)});
}
Value RandomGraphBuilder::like(Value x) {
  return pick([=](Value v) { return v.type() == x.type(); }, x.type());
}

Value RandomGraphBuilder::broadcastable(Value x) {
  Shape s = x.shape();
  if (random.chance(0.6)) return like(x);
  for (std::size_t i = 0; i < s.sizes().size(); i++)
    if (random.chance(0.5)) s[i] = 1;
  if (random.chance(0.3)) s = s.slice(static_cast<int>(random.below(s.rank() + 1)), s.rank());
  return pick([&](Value v) { return v.dtype() == x.dtype() && v.shape() == s; }, {x.dtype(), s});
}

// ---- the graph --------------------------------------------------------------------------------------------

namespace {

bool is_work(Op op) {
  return op != Op::input && op != Op::state && op != Op::constant && op != Op::broadcast && op != Op::reshape;
}

// Numbers that grow without end, and errors as large as the numbers, would test nothing further on.
bool is_tame(const ErrorBound& bound, Value v, bool specials) {
  const Tensor value = bound.value(v).astype(DType::f64);
  const double* x = value.data<double>();
  const double* e = bound.error(v).data<double>();
  for (std::int64_t i = 0; i < value.size(); i++) {
    if (std::isinf(e[i]) || e[i] > 1e-2 * (1 + std::abs(x[i]))) return false;
    if (std::isfinite(x[i]) ? std::abs(x[i]) > 1e4 : !specials) return false;
  }
  return true;
}

}  // namespace

RandomProgram RandomGraphBuilder::run() {
  const auto& makers = random_ops();
  for (int i = 0; i < 2; i++) fresh({float_type(), shape(1, 4)});
  if (options_.corners) {
    const Type type{float_type(), shape(0, 3, 200)};
    for (int i = 0; i < 3; i++) pool_.push_back(state(data(type)));
    bound_->extend();
  }
  int work = 0;
  for (int attempts = 0; work < options_.ops && attempts < 100 * options_.ops; attempts++) {
    const auto before = graph_->nodes().size();
    const std::vector<Value> made =
        apply(random.pick(options_.images && random.chance(0.4) ? image_ops() : makers));
    bound_->extend();
    bool tame = !made.empty();
    for (Value v : made) tame = tame && is_tame(*bound_, v, options_.specials);
    if (!tame) continue;  // what was emitted is left unused
    for (Value v : made) pool_.push_back(v);
    for (std::size_t i = before; i < graph_->nodes().size(); i++) work += is_work(graph_->nodes()[i].op);
  }
  update_states();
  add_outputs();
  if (options_.gradient) add_gradient();
  bound_->extend();
  return {std::move(graph_), std::move(inputs_), std::move(states_), std::move(bound_), options_.gradient};
}

std::vector<Value> RandomGraphBuilder::apply(RandomOp op) {
  if (!options_.corners) return op(*this);
  try {
    return op(*this);
  } catch (const ShapeError&) {
    return {};  // there is no maximum of nothing, nor a place in it
  }
}

// Some states get a value of the pool, among them other states: a swap must not lose one.
void RandomGraphBuilder::update_states() {
  for (std::size_t i = 0; i < graph_->states().size(); i++) {
    const Value current = graph_->states()[i].current;
    if (random.chance(0.25)) continue;
    std::vector<Value> fitting;
    for (Value v : pool_)
      if (v.type() == current.type() && v != current) fitting.push_back(v);
    Value next = fitting.empty() || random.chance(0.3) ? Value{} : random.pick(fitting);
    if (!next) next = is_float(current.dtype()) ? current * 0.75 : bit_xor(current, current);
    graph_->update(current, next);
  }
}

// Whatever has no user, so that all work is needed, and some values that have.
void RandomGraphBuilder::add_outputs() {
  if (options_.corners) {
    for (std::int64_t left = 1 + random.below(4); left > 0; left--)
      graph_->output(fmt::format("y{}", graph_->outputs().size()), random.pick(pool_));
    return;
  }
  std::set<const Node*> used;
  for (const Node& n : graph_->nodes())
    for (Value v : n.operands) used.insert(v.node);
  for (Value v : pool_)
    if (used.count(v.node) == 0
            ? is_work(v.node->op) || v.node->op == Op::broadcast || v.node->op == Op::reshape
            : random.chance(0.1))
      graph_->output(fmt::format("y{}", graph_->outputs().size()), v);
}

void RandomGraphBuilder::add_gradient() {
  Value loss;
  std::vector<Value> wrt;
  DType type = random.chance(0.8) ? DType::f32 : DType::f64;
  for (const Output& o : graph_->outputs()) {
    if (!is_float(o.value.dtype())) continue;
    const Value weight = fresh(o.value.type());
    const Value part = convert(reduce_sum(o.value * weight), type);
    loss = loss ? loss + part : part;
  }
  if (!loss) return;
  for (Value v : pool_)
    if (is_float(v.dtype()) && (v.node->op == Op::input || v.node->op == Op::state) && random.chance(0.7))
      wrt.push_back(v);
  graph_->output("loss", loss);
  LabelScope label(*graph_, "loss");
  for (Value dx : gradient(loss, wrt)) graph_->output(fmt::format("dx{}", graph_->outputs().size()), dx);
}

RandomProgram random_program(std::int64_t seed, const RandomProgramOptions& options) {
  return RandomGraphBuilder(seed, options).run();
}

}  // namespace kiln::graph
