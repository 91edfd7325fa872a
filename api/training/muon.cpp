#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "api/training/optimizers.h"

namespace kiln {

using graph::Value;
using internal::Fields;

namespace optimizers {
namespace {

class MuonImpl final : public internal::Configured<MuonImpl, MuonArgs> {
 public:
  static constexpr const char* keras_name = "Muon";
  static void own_fields(Fields& f, MuonArgs& a) {
    f("adam_beta_1", a.adam_beta_1)("adam_beta_2", a.adam_beta_2)("adam_weight_decay", a.adam_weight_decay);
    f("epsilon", a.epsilon)("exclude_layers", a.exclude_layers)("exclude_embeddings", a.exclude_embeddings);
    f("muon_a", a.muon_a)("muon_b", a.muon_b)("muon_c", a.muon_c)("adam_lr_ratio", a.adam_lr_ratio);
    f("momentum", a.momentum)("ns_steps", a.ns_steps)("nesterov", a.nesterov)("rms_rate", a.rms_rate);
  }

  explicit MuonImpl(const MuonArgs& args) : Configured(args) {
    internal::check_beta("Muon", "adam_beta_1", args.adam_beta_1);
    internal::check_beta("Muon", "adam_beta_2", args.adam_beta_2);
    internal::check_not_negative("Muon", "epsilon", args.epsilon);
    internal::check_not_negative("Muon", "adam_lr_ratio", args.adam_lr_ratio);
    internal::check_share("Muon", "momentum", args.momentum);
    if (args.adam_weight_decay)
      internal::check_not_negative("Muon", "adam_weight_decay", *args.adam_weight_decay);
    if (args.rms_rate) internal::check_not_negative("Muon", "rms_rate", *args.rms_rate);
    if (!std::isfinite(args.muon_a + args.muon_b + args.muon_c))
      throw ValueError(
          fmt::format("Muon: muon_a, muon_b and muon_c must be finite, but they are {}, {} and {}",
                      args.muon_a, args.muon_b, args.muon_c));
    if (args.ns_steps < 0 || args.ns_steps > 100)
      throw ValueError(
          fmt::format("Muon: ns_steps must be in [0, 100], but it is {}; 5 is usual", args.ns_steps));
    for (const std::string& pattern : args.exclude_layers)
      internal::matches("Muon: exclude_layers", pattern, "");
  }

  std::vector<Slot> slots(const Weight& weight) const override {
    if (is_adams(weight)) return {{"momentum", 0}, {"velocity", 0}};
    return {{"momentum", 0}};
  }
  std::optional<double> weight_decay(const Weight& weight) const override {
    return is_adams(weight) ? args_.adam_weight_decay : args_.weight_decay;
  }
  Updated update(const Step& step, Value w, Value g, std::span<const Value> slots) const override {
    if (slots.size() == 2) {
      const internal::AdamRule adam{args_.adam_beta_1, args_.adam_beta_2, args_.epsilon};
      return adam.update(step.learning_rate * args_.adam_lr_ratio, step.iterations, w, g, slots);
    }
    const Value m = g + slots[0] * args_.momentum;
    const Value direction = orthogonal(args_.nesterov ? g + m * args_.momentum : m);
    double scale = 1;
    if (args_.rms_rate)
      scale = *args_.rms_rate * std::sqrt(static_cast<double>(std::max(w.shape().dim(0), w.shape().dim(1))));
    return {w - direction * (step.learning_rate * scale), {m}};
  }

 private:
  bool is_adams(const Weight& weight) const {
    if (weight.variable.shape().rank() != 2) return true;
    std::string lower = weight.path;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (args_.exclude_embeddings && lower.find("embedding") != std::string::npos) return true;
    return std::any_of(args_.exclude_layers.begin(), args_.exclude_layers.end(),
                       [&](const std::string& pattern) {
                         return internal::matches("Muon: exclude_layers", pattern, weight.path);
                       });
  }

  // About U V^T of x = U S V^T: Newton and Schulz's iteration with five powers of x, on the wide one of x and
  // x^T.
  Value orthogonal(Value x) const {
    const bool tall = x.shape().dim(0) > x.shape().dim(1);
    if (tall) x = graph::transpose(x, {1, 0});
    x = x / (graph::sqrt(graph::reduce_sum(x * x)) + 1e-7);
    for (std::int64_t i = 0; i < args_.ns_steps; i++) {
      const Value y = graph::matmul(x, graph::transpose(x, {1, 0}));
      const Value square = graph::matmul(y, y) * args_.muon_c;
      const Value polynomial = y * args_.muon_b + square;
      const Value bent = graph::matmul(polynomial, x);
      x = x * args_.muon_a + bent;
    }
    return tall ? graph::transpose(x, {1, 0}) : x;
  }
};

}  // namespace

Optimizer Muon(MuonArgs args) {
  return Optimizer(std::make_shared<MuonImpl>(args));
}

}  // namespace optimizers

void internal::add_muon(Registry<Optimizer>& registry) {
  registry.add({"Muon", "muon"}, optimizers::MuonImpl::read);
}

}  // namespace kiln
