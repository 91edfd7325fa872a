#include "kiln/schedules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "api/support/handles.h"
#include "api/support/registry.h"
#include "kiln/graph/interpreter.h"
#include "kiln/graph/ops.h"

namespace kiln {

using graph::Value;

LearningRateScheduleImpl::~LearningRateScheduleImpl() = default;
std::string LearningRateScheduleImpl::class_name() const {
  return internal::plain_class_name(typeid(*this).name());
}
Config LearningRateScheduleImpl::get_config() const {
  internal::not_serializable("learning-rate schedule", class_name());
}

namespace optimizers::schedules {
namespace {

using internal::Fields;

// ---- arguments --------------------------------------------------------------------------------------------

void check_rate(const char* owner, const char* argument, double value) {
  if (!(value >= 0 && std::isfinite(value)))
    throw ValueError(
        fmt::format("{}: {} must be finite and not negative, but it is {}; give a rate such as 0.1", owner,
                    argument, value));
}
void check_steps(const char* owner, const char* argument, double value) {
  if (!(value > 0 && std::isfinite(value)))
    throw ValueError(fmt::format("{}: {} must be positive, but it is {}; give a number of training steps",
                                 owner, argument, value));
}
void check_share(const char* owner, const char* argument, double value) {
  if (!(value >= 0 && value <= 1))
    throw ValueError(
        fmt::format("{}: {} must be in [0, 1], a share of the rate, but it is {}", owner, argument, value));
}

// What all but PiecewiseConstantDecay begin with.
struct Decay {
  double rate = 0;
  double steps = 0;
  void check(const char* owner, const char* steps_name = "decay_steps") const {
    check_rate(owner, "initial_learning_rate", rate);
    check_steps(owner, steps_name, steps);
  }
  void fields(Fields& f, const char* steps_name = "decay_steps") {
    f.required("initial_learning_rate", rate).required(steps_name, steps);
  }
};

// The cosine that falls from 1 to `alpha` while `done` goes from 0 to 1.
Value cosine(Value done, double alpha) {
  const Value wave = graph::cos(done * std::numbers::pi) + 1.0;
  return wave * (0.5 * (1 - alpha)) + alpha;
}

// ---- the schedules ----------------------------------------------------------------------------------------

class CosineDecayImpl final : public LearningRateScheduleImpl {
 public:
  CosineDecayImpl(Decay decay, CosineDecayArgs args) : decay_(decay), args_(std::move(args)) {
    decay_.check("CosineDecay");
    check_share("CosineDecay", "alpha", args_.alpha);
    if (args_.warmup_target) check_rate("CosineDecay", "warmup_target", *args_.warmup_target);
    if (args_.warmup_steps < 0)
      throw ValueError(
          fmt::format("CosineDecay: warmup_steps must not be negative, but it is {}; give a number of "
                      "training steps",
                      args_.warmup_steps));
  }
  Value operator()(Value step) const override {
    if (!args_.warmup_target) return falling(step, decay_.rate);
    if (args_.warmup_steps == 0) return falling(step, *args_.warmup_target);
    const auto warmup = static_cast<double>(args_.warmup_steps);
    const Value rising = step * ((*args_.warmup_target - decay_.rate) / warmup) + decay_.rate;
    const Value later = falling(step - warmup, *args_.warmup_target);
    return graph::select(graph::compare(step, graph::scalar(step, warmup), "lt"), rising, later);
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { arguments(f, decay_, args_); }
  static void arguments(Fields& f, Decay& decay, CosineDecayArgs& a) {
    decay.fields(f);
    f("alpha", a.alpha)("name", a.name)("warmup_target", a.warmup_target)("warmup_steps", a.warmup_steps);
  }

 private:
  Value falling(Value step, double from) const {
    const Value done = graph::minimum(step / decay_.steps, graph::scalar(step, 1));
    return cosine(done, args_.alpha) * from;
  }

  Decay decay_;
  CosineDecayArgs args_;
};

class CosineDecayRestartsImpl final : public LearningRateScheduleImpl {
 public:
  CosineDecayRestartsImpl(Decay decay, CosineDecayRestartsArgs args) : decay_(decay), args_(std::move(args)) {
    decay_.check("CosineDecayRestarts", "first_decay_steps");
    check_share("CosineDecayRestarts", "alpha", args_.alpha);
    check_rate("CosineDecayRestarts", "m_mul", args_.m_mul);
    if (!(args_.t_mul >= 1 && std::isfinite(args_.t_mul)))
      throw ValueError(fmt::format(
          "CosineDecayRestarts: t_mul must be at least 1, as periods that became shorter and shorter would "
          "come to an end, but it is {}",
          args_.t_mul));
  }
  Value operator()(Value step) const override {
    const Value done = step / decay_.steps;
    Value period, within;
    if (args_.t_mul == 1) {
      period = graph::floor(done);
      within = done - period;
    } else {
      // Period i begins at (t_mul^i - 1) / (t_mul - 1). A logarithm may come out just below a whole number;
      // its floor would be the period before.
      const double growth = args_.t_mul - 1;
      const Value log_length = graph::log1p(done * growth) / std::log(args_.t_mul);
      const Value nearest = graph::round(log_length);
      const Value close = graph::compare(graph::abs(log_length - nearest), graph::scalar(step, 1e-11), "lt");
      period = graph::select(close, nearest, graph::floor(log_length));
      const Value length = graph::pow(graph::scalar(step, args_.t_mul), period);
      const Value start = (length - 1.0) / growth;
      within = graph::maximum((done - start) / length, graph::scalar(step, 0));
    }
    const Value height = graph::pow(graph::scalar(step, args_.m_mul), period) * decay_.rate;
    // alpha is a share of the first rate, whichever period it is, as in Keras.
    const Value wave = graph::cos(within * std::numbers::pi) + 1.0;
    return wave * height * (0.5 * (1 - args_.alpha)) + args_.alpha * decay_.rate;
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { arguments(f, decay_, args_); }
  static void arguments(Fields& f, Decay& decay, CosineDecayRestartsArgs& a) {
    decay.fields(f, "first_decay_steps");
    f("t_mul", a.t_mul)("m_mul", a.m_mul)("alpha", a.alpha)("name", a.name);
  }

 private:
  Decay decay_;
  CosineDecayRestartsArgs args_;
};

// ExponentialDecay and InverseTimeDecay have the same arguments.
template <class Args>
class Rated : public LearningRateScheduleImpl {
 public:
  Rated(const char* owner, Decay decay, double decay_rate, Args args)
      : decay_(decay), decay_rate_(decay_rate), args_(std::move(args)) {
    decay_.check(owner);
    check_rate(owner, "decay_rate", decay_rate);
  }
  Config get_config() const override {
    Decay decay = decay_;  // copies, as `arguments` reads as well
    double decay_rate = decay_rate_;
    Args args = args_;
    Fields f;
    arguments(f, decay, decay_rate, args);
    return f.config();
  }
  static void arguments(Fields& f, Decay& decay, double& decay_rate, Args& a) {
    decay.fields(f);
    f.required("decay_rate", decay_rate)("staircase", a.staircase)("name", a.name);
  }

 protected:
  // The steps in units of decay_steps.
  Value periods(Value step) const {
    const Value periods = step / decay_.steps;
    return args_.staircase ? graph::floor(periods) : periods;
  }

  Decay decay_;
  double decay_rate_;
  Args args_;
};

class ExponentialDecayImpl final : public Rated<ExponentialDecayArgs> {
 public:
  ExponentialDecayImpl(Decay decay, double decay_rate, ExponentialDecayArgs args)
      : Rated("ExponentialDecay", decay, decay_rate, std::move(args)) {}
  Value operator()(Value step) const override {
    return graph::pow(graph::scalar(step, decay_rate_), periods(step)) * decay_.rate;
  }
};

class InverseTimeDecayImpl final : public Rated<InverseTimeDecayArgs> {
 public:
  InverseTimeDecayImpl(Decay decay, double decay_rate, InverseTimeDecayArgs args)
      : Rated("InverseTimeDecay", decay, decay_rate, std::move(args)) {}
  Value operator()(Value step) const override { return decay_.rate / (periods(step) * decay_rate_ + 1.0); }
};

class PiecewiseConstantDecayImpl final : public LearningRateScheduleImpl {
 public:
  PiecewiseConstantDecayImpl(std::vector<double> boundaries, std::vector<double> values, std::string name)
      : boundaries_(std::move(boundaries)), values_(std::move(values)), name_(std::move(name)) {
    if (boundaries_.empty() || values_.size() != boundaries_.size() + 1)
      throw ValueError(fmt::format(
          "PiecewiseConstantDecay: there must be one value more than boundaries, and a boundary at least, "
          "but boundaries = {} and values = {}",
          boundaries_, values_));
    if (std::adjacent_find(boundaries_.begin(), boundaries_.end(),
                           [](double a, double b) { return !(a < b); }) != boundaries_.end())
      throw ValueError(
          fmt::format("PiecewiseConstantDecay: boundaries must increase, but they are {}", boundaries_));
    for (double value : values_) check_rate("PiecewiseConstantDecay", "each of values", value);
  }
  Value operator()(Value step) const override {
    Value rate = graph::scalar(step, values_.back());
    for (std::size_t i = boundaries_.size(); i-- > 0;) {
      const Value here = graph::compare(step, graph::scalar(step, boundaries_[i]), "le");
      rate = graph::select(here, graph::scalar(step, values_[i]), rate);
    }
    return rate;
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { f("boundaries", boundaries_)("values", values_)("name", name_); }

 private:
  std::vector<double> boundaries_, values_;
  std::string name_;
};

class PolynomialDecayImpl final : public LearningRateScheduleImpl {
 public:
  PolynomialDecayImpl(Decay decay, PolynomialDecayArgs args) : decay_(decay), args_(std::move(args)) {
    decay_.check("PolynomialDecay");
    check_rate("PolynomialDecay", "end_learning_rate", args_.end_learning_rate);
    check_rate("PolynomialDecay", "power", args_.power);
  }
  Value operator()(Value step) const override {
    Value length = graph::scalar(step, decay_.steps);
    if (args_.cycle) {
      const Value one = graph::scalar(step, 1);
      length = length * graph::maximum(graph::ceil(step / decay_.steps), one);
    }
    const Value left = 1.0 - graph::minimum(step, length) / length;
    const Value part = args_.power == 1 ? left : graph::pow(left, graph::scalar(left, args_.power));
    return part * (decay_.rate - args_.end_learning_rate) + args_.end_learning_rate;
  }
  Config get_config() const override { return internal::config_of(*this); }
  void fields(Fields& f) { arguments(f, decay_, args_); }
  static void arguments(Fields& f, Decay& decay, PolynomialDecayArgs& a) {
    decay.fields(f);
    f("end_learning_rate", a.end_learning_rate)("power", a.power)("cycle", a.cycle)("name", a.name);
  }

 private:
  Decay decay_;
  PolynomialDecayArgs args_;
};

// ---- by name ----------------------------------------------------------------------------------------------

template <class Impl, class... Args>
LearningRateSchedule make(Args&&... args) {
  return LearningRateSchedule(std::make_shared<Impl>(std::forward<Args>(args)...));
}

// From a configuration: Impl's static `arguments` reads it.
template <class Impl, class Args>
LearningRateSchedule read(Fields& f) {
  Decay decay;
  Args args;
  Impl::arguments(f, decay, args);
  return make<Impl>(decay, args);
}
template <class Impl, class Args>
LearningRateSchedule read_rated(Fields& f) {
  Decay decay;
  double decay_rate = 0;
  Args args;
  Impl::arguments(f, decay, decay_rate, args);
  return make<Impl>(decay, decay_rate, args);
}

const internal::Registry<LearningRateSchedule>& registry() {
  static const auto registry = [] {
    internal::Registry<LearningRateSchedule> r("learning-rate schedule");
    r.add({"CosineDecay"}, read<CosineDecayImpl, CosineDecayArgs>);
    r.add({"CosineDecayRestarts"}, read<CosineDecayRestartsImpl, CosineDecayRestartsArgs>);
    r.add({"ExponentialDecay"}, read_rated<ExponentialDecayImpl, ExponentialDecayArgs>);
    r.add({"InverseTimeDecay"}, read_rated<InverseTimeDecayImpl, InverseTimeDecayArgs>);
    r.add({"PiecewiseConstantDecay"}, [](Fields& f) {
      std::vector<double> boundaries, values;
      PiecewiseConstantDecayArgs args;
      f.required("boundaries", boundaries).required("values", values)("name", args.name);
      return PiecewiseConstantDecay(boundaries, values, args);
    });
    r.add({"PolynomialDecay"}, read<PolynomialDecayImpl, PolynomialDecayArgs>);
    return r;
  }();
  return registry;
}

}  // namespace

LearningRateSchedule CosineDecay(double initial_learning_rate, double decay_steps, CosineDecayArgs args) {
  return make<CosineDecayImpl>(Decay{initial_learning_rate, decay_steps}, std::move(args));
}
LearningRateSchedule CosineDecayRestarts(double initial_learning_rate, double first_decay_steps,
                                         CosineDecayRestartsArgs args) {
  return make<CosineDecayRestartsImpl>(Decay{initial_learning_rate, first_decay_steps}, std::move(args));
}
LearningRateSchedule ExponentialDecay(double initial_learning_rate, double decay_steps, double decay_rate,
                                      ExponentialDecayArgs args) {
  return make<ExponentialDecayImpl>(Decay{initial_learning_rate, decay_steps}, decay_rate, std::move(args));
}
LearningRateSchedule InverseTimeDecay(double initial_learning_rate, double decay_steps, double decay_rate,
                                      InverseTimeDecayArgs args) {
  return make<InverseTimeDecayImpl>(Decay{initial_learning_rate, decay_steps}, decay_rate, std::move(args));
}
LearningRateSchedule PiecewiseConstantDecay(std::vector<double> boundaries, std::vector<double> values,
                                            PiecewiseConstantDecayArgs args) {
  return make<PiecewiseConstantDecayImpl>(std::move(boundaries), std::move(values), std::move(args.name));
}
LearningRateSchedule PolynomialDecay(double initial_learning_rate, double decay_steps,
                                     PolynomialDecayArgs args) {
  return make<PolynomialDecayImpl>(Decay{initial_learning_rate, decay_steps}, std::move(args));
}

Config serialize(const LearningRateSchedule& schedule) {
  return internal::object_config("keras.optimizers.schedules", schedule.class_name(), schedule.get_config());
}
LearningRateSchedule deserialize(const Config& config) {
  return registry().from_config(config);
}

}  // namespace optimizers::schedules

// ---- handles ----------------------------------------------------------------------------------------------

LearningRateSchedule::LearningRateSchedule(std::shared_ptr<const LearningRateScheduleImpl> impl)
    : impl_(internal::not_empty(std::move(impl), "a LearningRateSchedule")) {}

Value LearningRateSchedule::operator()(Value step) const {
  return internal::used(impl_, "LearningRateSchedule")(step);
}
double LearningRateSchedule::operator()(std::int64_t step) const {
  graph::Graph graph("learning_rate");
  const Value steps = graph.input("step", {DType::f64, {}});
  graph.output("learning_rate", (*this)(steps));
  const Tensor now = Tensor::scalar(static_cast<double>(step), DType::f64);
  return graph::interpret(graph, {&now, 1}, {}).outputs[0].item();
}
std::string LearningRateSchedule::class_name() const {
  return internal::used(impl_, "LearningRateSchedule").class_name();
}
Config LearningRateSchedule::get_config() const {
  return internal::used(impl_, "LearningRateSchedule").get_config();
}

LearningRate::LearningRate(LearningRateSchedule schedule) : schedule_(std::move(schedule)) {
  if (!schedule_)
    throw StateError("learning_rate: the schedule is empty; make one by a function of optimizers::schedules");
}

}  // namespace kiln
