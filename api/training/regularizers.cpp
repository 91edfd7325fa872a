#include "kiln/regularizers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "api/support/handles.h"
#include "api/support/registry.h"
#include "kiln/graph/ops.h"

namespace kiln {

RegularizerImpl::~RegularizerImpl() = default;
std::string RegularizerImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config RegularizerImpl::get_config() const {
  internal::not_serializable("regularizer", class_name());
}

namespace regularizers {
namespace {

using internal::Fields;

/// Keras has three classes for it.
enum class Factors : std::uint8_t { l1, l2, both };

class L1L2Impl final : public RegularizerImpl {
 public:
  L1L2Impl(L1L2Args args, Factors factors) : args_(args), factors_(factors) {
    if (!(args.l1 >= 0) || !(args.l2 >= 0) || !std::isfinite(args.l1 + args.l2))
      throw ValueError(fmt::format(
          "L1L2: the factors must be finite and not negative, but l1 = {} and l2 = {}", args.l1, args.l2));
  }
  graph::Value operator()(graph::Value w) const override {
    graph::Value penalty;
    if (args_.l1 != 0) penalty = graph::reduce_sum(graph::abs(w)) * args_.l1;
    if (args_.l2 != 0) {
      const graph::Value squares = graph::reduce_sum(w * w) * args_.l2;
      penalty = penalty ? penalty + squares : squares;
    }
    return penalty ? penalty : graph::full(w.graph(), {w.dtype(), {}}, 0);
  }
  std::string class_name() const override {
    return factors_ == Factors::l1 ? "L1" : factors_ == Factors::l2 ? "L2" : "L1L2";
  }
  Config get_config() const override {
    Config config = Config::Dict();
    if (factors_ != Factors::l2) config["l1"] = args_.l1;
    if (factors_ != Factors::l1) config["l2"] = args_.l2;
    return config;
  }

 private:
  L1L2Args args_;
  Factors factors_;
};

class OrthogonalRegularizerImpl final : public RegularizerImpl {
 public:
  explicit OrthogonalRegularizerImpl(OrthogonalRegularizerArgs args) : args_(std::move(args)) {
    static constexpr std::array<std::string_view, 2> modes = {"rows", "columns"};
    if (!(args_.factor >= 0) || !std::isfinite(args_.factor))
      throw ValueError(fmt::format(
          "OrthogonalRegularizer: factor must be finite and not negative, but it is {}", args_.factor));
    if (args_.mode != modes[0] && args_.mode != modes[1])
      internal::unknown_name("OrthogonalRegularizer: mode", args_.mode, modes);
  }
  graph::Value operator()(graph::Value w) const override {
    if (w.rank() != 2)
      throw ShapeError(fmt::format("OrthogonalRegularizer: the weight must be a matrix, but its shape is {}",
                                   w.shape().to_string()));
    const int along = args_.mode == "rows" ? 1 : 0;
    const std::int64_t size = w.shape()[static_cast<std::size_t>(1 - along)];
    // As Keras: a vector of zeros stays one.
    const graph::Value squares = graph::reduce_sum(w * w, {along}, /*keepdims=*/true);
    const graph::Value unit = w / graph::sqrt(graph::maximum(squares, graph::scalar(squares, 1e-14)));
    const graph::Value cosines = graph::dot(unit, unit, {}, {}, {along}, {along});
    const graph::Value row = graph::iota(w.graph(), {DType::i32, cosines.shape()}, 0),
                       column = graph::iota(w.graph(), {DType::i32, cosines.shape()}, 1);
    const graph::Value others =
        graph::select(graph::compare(row, column, "eq"), graph::scalar(cosines, 0), cosines);
    const auto pairs = static_cast<double>(size) * static_cast<double>(size - 1) / 2;
    return graph::reduce_sum(graph::abs(others)) * (args_.factor / 2 / std::max(pairs, 1.0));
  }
  std::string class_name() const override { return "OrthogonalRegularizer"; }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { f("factor", args_.factor)("mode", args_.mode); }

 private:
  OrthogonalRegularizerArgs args_;
};

const internal::Registry<Regularizer>& registry() {
  static const auto registry = [] {
    internal::Registry<Regularizer> r("regularizer");
    r.add({"L1", "l1"}, [](Fields& f) {
      double l1 = 0.01;
      f("l1", l1);
      return L1(l1);
    });
    r.add({"L2", "l2"}, [](Fields& f) {
      double l2 = 0.01;
      f("l2", l2);
      return L2(l2);
    });
    // By its name alone it has factors that do something, as the other two.
    r.add({"L1L2", "l1_l2", "l1l2"}, [](Fields& f) {
      const double standard = f.has("l1") || f.has("l2") ? 0 : 0.01;
      L1L2Args args{.l1 = standard, .l2 = standard};
      f("l1", args.l1)("l2", args.l2);
      return L1L2(args);
    });
    r.add({"OrthogonalRegularizer", "orthogonal_regularizer"}, [](Fields& f) {
      OrthogonalRegularizerArgs args;
      f("factor", args.factor)("mode", args.mode);
      return OrthogonalRegularizer(args);
    });
    return r;
  }();
  return registry;
}

}  // namespace

Regularizer L1(double l1) {
  return Regularizer(std::make_shared<L1L2Impl>(L1L2Args{.l1 = l1}, Factors::l1));
}
Regularizer L2(double l2) {
  return Regularizer(std::make_shared<L1L2Impl>(L1L2Args{.l2 = l2}, Factors::l2));
}
Regularizer L1L2(L1L2Args args) {
  return Regularizer(std::make_shared<L1L2Impl>(args, Factors::both));
}

Regularizer OrthogonalRegularizer(OrthogonalRegularizerArgs args) {
  return Regularizer(std::make_shared<OrthogonalRegularizerImpl>(std::move(args)));
}

Config serialize(const Regularizer& regularizer) {
  if (!regularizer) return nullptr;
  return internal::object_config("keras.regularizers", regularizer.class_name(), regularizer.get_config());
}
Regularizer deserialize(const Config& config) {
  return config.is_null() ? Regularizer() : registry().from_config(config);
}

}  // namespace regularizers

Regularizer::Regularizer(const std::string& name) : Regularizer(regularizers::registry().from_name(name)) {}
Regularizer::Regularizer(const char* name) : Regularizer(internal::given_name("regularizer", name)) {}
Regularizer::Regularizer(std::shared_ptr<const RegularizerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a Regularizer")) {}

graph::Value Regularizer::operator()(graph::Value weight) const {
  return internal::used(impl_, "Regularizer")(weight);
}
std::string Regularizer::class_name() const {
  return internal::used(impl_, "Regularizer").class_name();
}
Config Regularizer::get_config() const {
  return internal::used(impl_, "Regularizer").get_config();
}

}  // namespace kiln
