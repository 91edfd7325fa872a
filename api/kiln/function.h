#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kiln/layer_impl.h"
#include "kiln/runtime/executable.h"

namespace kiln {

struct FunctionArgs {
  std::string name = "function";  ///< for messages, profiles and dumps
  bool training = false;          ///< the mode of the layers called in it; `{.training = ...}` overrides it
  std::optional<std::int64_t> seed = {};  ///< of what is drawn in it; default: drawn here
};

namespace internal {

/// A function of any number of values to several, compiled for each set of types that it is called with.
class KILN_API CompiledFunction {
 public:
  using Body = std::function<std::vector<graph::Value>(Call&, std::span<const graph::Value>)>;
  /// `arity`: how many tensors it takes; below 0: any number.
  CompiledFunction(Body body, int arity, FunctionArgs args);
  // Moving copies: there is no empty function.
  CompiledFunction(const CompiledFunction&) = default;
  CompiledFunction& operator=(const CompiledFunction&) = default;
  std::vector<Tensor> run(std::vector<Tensor> arguments) const;
  std::vector<std::shared_ptr<const runtime::Program>> programs() const;
  void forget() const;

 private:
  struct Data;
  std::shared_ptr<Data> data_;
};

template <std::size_t>
using ValueAt = graph::Value;
template <class F, class... Before, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return std::is_invocable_v<F&, Before..., ValueAt<I>...>;
}
/// How many values F takes behind `Before`: 0 to 16; -1: a span of them; -2: none of this.
template <class F, class... Before>
constexpr int arity() {
  if constexpr (std::is_invocable_v<F&, Before..., std::span<const graph::Value>>) {
    return -1;
  } else {
    return []<std::size_t... N>(std::index_sequence<N...>) {
      int found = -2;
      ((found == -2 && takes<F, Before...>(std::make_index_sequence<N>()) ? void(found = N) : void()), ...);
      return found;
    }(std::make_index_sequence<17>());
  }
}

template <int N, class F, class... Before>
auto call_with(F& f, std::span<const graph::Value> xs, Before&... before) {
  if constexpr (N < 0)
    return f(before..., xs);
  else
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return f(before..., xs[I]...);
    }(std::make_index_sequence<static_cast<std::size_t>(N)>());
}

/// Tensors in place of the values that a body returns.
template <class R>
struct Results;
template <>
struct Results<void> {
  using Tensors = void;
};
template <>
struct Results<graph::Value> {
  using Tensors = Tensor;
  static std::vector<graph::Value> values(graph::Value v) { return {v}; }
};
template <>
struct Results<std::vector<graph::Value>> {
  using Tensors = std::vector<Tensor>;
  static std::vector<graph::Value> values(std::vector<graph::Value> vs) { return vs; }
};
template <std::size_t N>
struct Results<std::array<graph::Value, N>> {
  using Tensors = std::array<Tensor, N>;
  static std::vector<graph::Value> values(const std::array<graph::Value, N>& vs) {
    return {vs.begin(), vs.end()};
  }
};

}  // namespace internal

/// What `function` makes; Result is Tensor, std::vector<Tensor>, std::array<Tensor, N> or void. A handle;
/// copies share what was compiled. Threads may call functions at the same time: those that change weights
/// wait for each other and for predictions and training of models that have these weights, and those that
/// change other states in common (a metric's, an optimizer's) for each other.
template <class Result>
class Function {
 public:
  explicit Function(internal::CompiledFunction compiled) : compiled_(std::move(compiled)) {}

  /// Runs it, compiled at the first call with tensors of these shapes and types. Throws ShapeError for
  /// another number of tensors than the body takes, and what the body throws.
  template <std::convertible_to<Tensor>... T>
  Result operator()(const T&... arguments) const {
    return run(std::vector<Tensor>{Tensor(arguments)...});
  }
  Result run(std::vector<Tensor> arguments) const {
    std::vector<Tensor> results = compiled_.run(std::move(arguments));
    if constexpr (std::is_same_v<Result, Tensor>)
      return std::move(results[0]);
    else if constexpr (std::is_same_v<Result, std::vector<Tensor>>)
      return results;
    else if constexpr (!std::is_void_v<Result>) {
      Result out;
      std::move(results.begin(), results.end(), out.begin());
      return out;
    }
  }
  /// What was compiled so far, one program for each set of shapes and types.
  std::vector<std::shared_ptr<const runtime::Program>> programs() const { return compiled_.programs(); }
  /// Forgets what was compiled: the body is written down anew at the next call. Needed after something
  /// changed that the body reads as a C++ value, such as a number or whether a layer is trainable.
  void forget() const { compiled_.forget(); }

 private:
  internal::CompiledFunction compiled_;
};

/// A function over symbolic tensors, compiled: forward pass, gradients and updates become one program. What
/// custom training loops are written with.
///
///     auto train_step = function([&](Call& call, graph::Value x, graph::Value y) {
///       auto loss = mse(y, model(call, x));
///       optimizer.apply(call, gradient(call, loss, model.trainable_weights()), model.trainable_weights());
///       return loss;
///     }, {.training = true});
///     for (...) std::printf("%g\n", train_step(x, y).item());
///
/// The body takes up to 16 values (their type written out, not `auto`), or a std::span<const graph::Value>,
/// behind a `Call&`, which may be left out; it returns a graph::Value, a std::array or std::vector of them,
/// or nothing. It runs once for each set of shapes and types and writes the ops down: what else it reads
/// (numbers, `trainable`, a metric's result) stays as it was then, and what it refers to must outlive the
/// function. So layers, variables, optimizers and metrics are made outside: inside, they would begin anew for
/// each set. Values live in the body only; from function to function go tensors.
template <class F>
auto function(F body, FunctionArgs args = {}) {
  constexpr int with_call = internal::arity<F, Call&>();
  constexpr int without = with_call == -2 ? internal::arity<F>() : -2;
  if constexpr (requires {
                  static_cast<bool>(body);
                  std::declval<F>().target_type();
                })  // a std::function
    if (!body) throw ValueError("function: the body is empty; give one that emits ops");
  static_assert(with_call != -2 || without != -2,
                "the body must take graph::Values (up to 16, or a std::span<const graph::Value>), with or "
                "without a Call& before them");
  constexpr int arity = with_call != -2 ? with_call : without;
  const auto apply = [](F& f, [[maybe_unused]] Call& call, std::span<const graph::Value> xs) {
    if constexpr (with_call != -2)
      return internal::call_with<arity>(f, xs, call);
    else
      return internal::call_with<arity>(f, xs);
  };
  using R = std::remove_cvref_t<decltype(apply(body, std::declval<Call&>(), {}))>;
  using Tensors = typename internal::Results<R>::Tensors;
  return Function<Tensors>(internal::CompiledFunction(
      [body = std::move(body), apply](Call& call,
                                      std::span<const graph::Value> xs) mutable -> std::vector<graph::Value> {
        if constexpr (std::is_void_v<R>) {
          apply(body, call, xs);
          return {};
        } else {
          return internal::Results<R>::values(apply(body, call, xs));
        }
      },
      arity, std::move(args)));
}

/// The gradient of a loss (rank 0) for each of these variables, with its shape; zeros for one that the loss
/// doesn't depend on. Throws ValueError if it depends on none of them, or there are none.
KILN_API std::vector<graph::Value> gradient(Call& call, graph::Value loss,
                                            const std::vector<Variable>& variables);
/// The same for values of the graph, such as the function's arguments; zeros where y doesn't depend on one.
/// Gradients are values like any other, so gradients of gradients work.
KILN_API std::vector<graph::Value> gradient(graph::Value y, const std::vector<graph::Value>& xs);

}  // namespace kiln
