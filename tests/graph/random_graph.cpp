#include "tests/graph/random_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "kiln/graph/ops.h"

namespace kiln::graph::testing {
namespace {

class Builder {
 public:
  Builder(std::uint64_t seed, DType dtype, RandomGraph& result) : random_(seed), dtype_(dtype), r_(result) {}

  void run(int steps) {
    for (int i = 0; i < 2; i++) {
      const Shape shape = random_shape();
      pool_.push_back(r_.graph.input(i ? "b" : "a", {dtype_, shape}));
      r_.inputs.push_back(tensor(shape));
    }
    const Shape shape = random_shape();
    for (const char* name : {"s", "t", "u"}) {
      pool_.push_back(r_.graph.state(name, {dtype_, shape}));
      r_.states.push_back(tensor(shape));
    }
    if (flip(4)) pool_.push_back(constant(r_.graph, tensor(random_shape())));
    for (int i = 0; i < steps; i++) step();
    finish();
  }

 private:
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n));
  }
  bool flip(int one_in) { return below(one_in) == 0; }

  Shape random_shape() {
    static const std::vector<std::int64_t> sizes = {1, 2, 3, 4, 5, 7, 16, 0};
    Shape shape;
    for (std::int64_t rank = below(4); rank > 0; rank--)
      shape.push_back(sizes[static_cast<std::size_t>(below(flip(20) ? 8 : 7))]);
    return shape;
  }
  Tensor tensor(const Shape& shape) {
    Tensor t(shape, DType::f32);
    std::uniform_real_distribution<float> d(-2, 2);
    for (std::int64_t i = 0; i < t.size(); i++) t.data<float>()[i] = d(random_);
    return t.astype(dtype_);
  }
  // Recent values more often: longer chains.
  Value pick() {
    const auto n = static_cast<std::int64_t>(pool_.size());
    return pool_[static_cast<std::size_t>(flip(2) ? below(n) : n - 1 - below(std::min<std::int64_t>(n, 5)))];
  }
  Value like(Value x) {
    std::vector<Value> fitting;
    for (Value v : pool_)
      if (v.shape() == x.shape()) fitting.push_back(v);
    return fitting[static_cast<std::size_t>(below(static_cast<std::int64_t>(fitting.size())))];
  }
  int axis_of(Value x) { return static_cast<int>(below(x.rank())); }
  void push(Value v) {
    if (v.shape().elements() <= 4096) pool_.push_back(v);
  }

  void step() {
    const Value x = pick();
    switch (below(24)) {
      case 0:
        return push(tanh(x));
      case 1:
        return push(exp(minimum(x, scalar(x, 3))));
      case 2:
        return push(-x);
      case 3:
        return push(x * 0.5);
      case 4:
      case 5:
        return push(x + like(x));
      case 6:
      case 7:
        return push(x * like(x));
      case 8:
        return push(select(compare(x, like(x), "lt"), x, like(x)));
      case 9:
        return push(sigmoid(x) + pick_scalar());
      case 10:
        return push(reshape(x, {x.shape().elements()}));
      case 11:
        return reshape_up(x);
      case 12:
        return push(broadcast_to(x, x.shape().prepend(1 + below(4))));
      default:
        break;
    }
    if (x.rank() == 0) return push(abs(x) + 1.0);
    const int axis = axis_of(x);
    const std::int64_t size = x.shape().dim(axis);
    switch (below(16)) {
      case 0:
        return push(reduce_sum(x, {axis}));
      case 1:
        return push(reduce_max(x, {axis}, true));
      case 2:
        return push(x - reduce_sum(x, {axis}, true));
      case 3:
        return push(reduce_sum(x));
      case 4:
        return push(transposed(x));
      case 5:
        return push(reverse(x, {axis}));
      case 6:
        return sliced(x, axis);
      case 7:
        return padded(x, axis);
      case 8:
        return push(concatenate(std::vector<Value>{x, like(x), x}, axis));
      case 9:
        return push(cumsum(x, axis));
      case 10:
        return size > 0 ? push(sort(x, axis)[0]) : push(x * x);
      case 11:
        return size > 0 ? push(convert(argmax(x, axis), dtype_)) : push(-x);
      case 12:
        return size > 0 ? push(gather(x, convert(abs(pick_scalar()), DType::i32), axis)) : push(-x);
      case 13:
        return product(x);
      case 14:
        return x.shape().elements() > 0 ? update(x) : push(-x);
      default:
        return checked(x);
    }
  }

  Value pick_scalar() {
    for (Value v : pool_)
      if (v.rank() == 0) return v;
    return reduce_sum(pool_[0]);
  }
  void reshape_up(Value x) {
    Shape shape = x.shape();
    shape.push_back(1);
    if (x.rank() >= 1 && x.shape()[0] % 2 == 0 && x.shape()[0] > 0) {
      shape = x.shape().tail().prepend(x.shape()[0] / 2).prepend(2);
    }
    if (shape.rank() <= 5) push(reshape(x, shape));
  }
  Value transposed(Value x) {
    Ints permutation;
    for (int i = 0; i < x.rank(); i++) permutation.push_back(i);
    std::shuffle(permutation.begin(), permutation.end(), random_);
    return transpose(x, permutation);
  }
  void sliced(Value x, int axis) {
    Ints start(static_cast<std::size_t>(x.rank()), 0), limit = x.shape().sizes();
    const auto a = static_cast<std::size_t>(axis);
    start[a] = below(limit[a] + 1);
    limit[a] = start[a] + below(limit[a] - start[a] + 1);
    push(slice(x, start, limit));
  }
  void padded(Value x, int axis) {
    Ints low(static_cast<std::size_t>(x.rank()), 0), high = low;
    low[static_cast<std::size_t>(axis)] = below(3);
    high[static_cast<std::size_t>(axis)] = below(3);
    push(pad(x, scalar(x, 1), low, high));
  }
  void product(Value x) {
    const Value flat = reshape(x, {x.shape()[0], x.shape()[0] > 0 ? None : 1});
    push(dot(flat, flat, {}, {}, {1}, {1}));
  }
  void update(Value x) {
    Ints sizes(static_cast<std::size_t>(x.rank()), 1);
    const Value starts = constant(r_.graph, Tensor::full({x.rank()}, 1, DType::i32));
    push(dynamic_update_slice(x, dynamic_slice(x, starts, sizes),
                              constant(r_.graph, Tensor::zeros({x.rank()}, DType::i32))));
  }
  void checked(Value x) {
    const Value rows = reshape(x, {x.shape().elements()});
    check(logical_not(logical_not(compare(rows, rows, "eq"))), rows, "row {row}: {value} is not a number");
    push(x + 1.0);
  }

  void finish() {
    const auto& states = r_.graph.states();
    const Shape shape = states[0].current.shape();
    const int count = static_cast<int>(below(4));
    std::vector<Value> fitting;
    for (Value v : pool_)
      if (v.shape() == shape) fitting.push_back(v);
    for (int i = 0; i < count; i++) {
      // Sometimes another state's old value: a swap.
      const Value next = fitting[static_cast<std::size_t>(below(static_cast<std::int64_t>(fitting.size())))];
      r_.graph.update(states[static_cast<std::size_t>(i)].current,
                      flip(3) ? next : next + states[static_cast<std::size_t>(i)].current);
    }
    const std::int64_t outputs = 1 + below(4);
    for (std::int64_t i = 0; i < outputs; i++) r_.graph.output(fmt::format("y{}", i), pick());
  }

  std::mt19937_64 random_;
  DType dtype_;
  RandomGraph& r_;
  std::vector<Value> pool_;
};

}  // namespace

RandomGraph::RandomGraph(std::uint64_t seed, int steps, DType dtype) {
  Builder(seed, dtype, *this).run(steps);
}

}  // namespace kiln::graph::testing
