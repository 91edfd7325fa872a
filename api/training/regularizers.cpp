#include "kiln/regularizers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "api/support/handles.h"
#include "api/support/names.h"
#include "kiln/graph/ops.h"

namespace kiln {

RegularizerImpl::~RegularizerImpl() = default;

namespace regularizers {
namespace {

class L1L2Impl final : public RegularizerImpl {
 public:
  explicit L1L2Impl(L1L2Args args) : args_(args) {
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

 private:
  L1L2Args args_;
};

}  // namespace

Regularizer L1(double l1) {
  return L1L2({.l1 = l1});
}
Regularizer L2(double l2) {
  return L1L2({.l2 = l2});
}
Regularizer L1L2(L1L2Args args) {
  return Regularizer(std::make_shared<L1L2Impl>(args));
}

}  // namespace regularizers

Regularizer::Regularizer(const std::string& name) {
  static constexpr std::array<std::string_view, 5> known = {"l1", "L1", "l2", "L2", "l1_l2"};
  if (name == "l1" || name == "L1")
    *this = regularizers::L1();
  else if (name == "l2" || name == "L2")
    *this = regularizers::L2();
  else if (name == "l1_l2")
    *this = regularizers::L1L2({.l1 = 0.01, .l2 = 0.01});
  else
    internal::unknown_name("regularizer", name, known);
}
Regularizer::Regularizer(const char* name) : Regularizer(internal::given_name("regularizer", name)) {}
Regularizer::Regularizer(std::shared_ptr<const RegularizerImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a Regularizer")) {}

graph::Value Regularizer::operator()(graph::Value weight) const {
  return internal::used(impl_, "Regularizer")(weight);
}

}  // namespace kiln
