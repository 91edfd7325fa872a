#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kiln/config.h"
#include "kiln/graph/graph.h"

namespace kiln {

/// A learning rate that is a function of the number of steps done. Derive from this for one of your own and
/// wrap it: `LearningRateSchedule(std::make_shared<Mine>())`.
class KILN_API LearningRateScheduleImpl {
 public:
  virtual ~LearningRateScheduleImpl();
  /// Emits the learning rate; `step`, the number of steps done before, and the result are of rank 0 and f64,
  /// in which whole numbers are exact up to 2^53.
  virtual graph::Value operator()(graph::Value step) const = 0;
  /// "CosineDecay": the default is the C++ class's name without "Impl".
  virtual std::string class_name() const;
  /// The arguments by Keras's names. The default throws StateError: one of your own can't be written down.
  virtual Config get_config() const;
};

/// A handle to a schedule, made by a function of namespace `optimizers::schedules`; none by default.
class KILN_API LearningRateSchedule {
 public:
  LearningRateSchedule() = default;
  /// Throws StateError for an empty pointer.
  LearningRateSchedule(std::shared_ptr<const LearningRateScheduleImpl> impl);

  explicit operator bool() const { return impl_ != nullptr; }
  // What follows throws StateError if there is none.
  /// Emits the learning rate; see LearningRateScheduleImpl.
  graph::Value operator()(graph::Value step) const;
  /// The learning rate after so many steps.
  double operator()(std::int64_t step) const;
  std::string class_name() const;
  /// The arguments by Keras's names; see LearningRateScheduleImpl.
  Config get_config() const;

 private:
  std::shared_ptr<const LearningRateScheduleImpl> impl_;
};

/// An optimizer's argument `learning_rate`: a number or a schedule.
class KILN_API LearningRate {
 public:
  LearningRate(double rate) : rate_(rate) {}
  /// Throws StateError for an empty schedule.
  LearningRate(LearningRateSchedule schedule);

  bool is_schedule() const { return bool(schedule_); }
  /// The number; of no meaning if it is a schedule.
  double rate() const { return rate_; }
  const LearningRateSchedule& schedule() const { return schedule_; }

 private:
  double rate_ = 0;
  LearningRateSchedule schedule_;
};

/// Keras's learning-rate schedules (https://keras.io/api/optimizers/learning_rate_schedules). a0 is
/// `initial_learning_rate`, t the number of training steps done, counted in batches: with gradients that are
/// accumulated, too, as in Keras. Computed inside the training step, in float64. All throw ValueError for
/// numbers that no schedule can use: `decay_steps` that aren't positive, rates that are negative or not
/// finite.
namespace optimizers::schedules {

struct CosineDecayArgs {
  double alpha = 0;  ///< the least rate as a share of the largest
  std::string name = "CosineDecay";
  std::optional<double> warmup_target = {};
  std::int64_t warmup_steps = 0;
};
/// a0 ((1 - alpha) (1 + cos(pi t / decay_steps)) / 2 + alpha), constant after `decay_steps` (Loshchilov and
/// Hutter 2016, https://arxiv.org/abs/1608.03983). With a `warmup_target` the rate first goes from a0 to the
/// target in `warmup_steps` equal steps, and decays from there.
KILN_API LearningRateSchedule CosineDecay(double initial_learning_rate, double decay_steps,
                                          CosineDecayArgs args = {});

struct CosineDecayRestartsArgs {
  double t_mul = 2;  ///< how much longer than the last each period is; at least 1
  double m_mul = 1;  ///< how much larger each period's first rate is
  double alpha = 0;
  std::string name = "SGDRDecay";
};
/// The cosine of CosineDecay again and again, from m_mul^i a0 in the i-th period (Loshchilov and Hutter
/// 2016).
KILN_API LearningRateSchedule CosineDecayRestarts(double initial_learning_rate, double first_decay_steps,
                                                  CosineDecayRestartsArgs args = {});

struct ExponentialDecayArgs {
  bool staircase = false;  ///< t / decay_steps is rounded down
  std::string name = "ExponentialDecay";
};
/// a0 decay_rate^(t / decay_steps)
KILN_API LearningRateSchedule ExponentialDecay(double initial_learning_rate, double decay_steps,
                                               double decay_rate, ExponentialDecayArgs args = {});

struct InverseTimeDecayArgs {
  bool staircase = false;  ///< t / decay_steps is rounded down
  std::string name = "InverseTimeDecay";
};
/// a0 / (1 + decay_rate t / decay_steps)
KILN_API LearningRateSchedule InverseTimeDecay(double initial_learning_rate, double decay_steps,
                                               double decay_rate, InverseTimeDecayArgs args = {});

struct PiecewiseConstantDecayArgs {
  std::string name = "PiecewiseConstant";
};
/// values[i] for t up to and including boundaries[i], and the last value, one more than there are boundaries,
/// from there on. Throws ValueError unless the boundaries increase.
KILN_API LearningRateSchedule PiecewiseConstantDecay(std::vector<double> boundaries,
                                                     std::vector<double> values,
                                                     PiecewiseConstantDecayArgs args = {});

struct PolynomialDecayArgs {
  double end_learning_rate = 0.0001;
  double power = 1;
  bool cycle = false;  ///< decay_steps are doubled, tripled, ... whenever t passes them
  std::string name = "PolynomialDecay";
};
/// (a0 - end) (1 - t / decay_steps)^power + end, constant after `decay_steps` unless `cycle`.
KILN_API LearningRateSchedule PolynomialDecay(double initial_learning_rate, double decay_steps,
                                              PolynomialDecayArgs args = {});

/// The whole of a schedule, class and arguments, as Keras writes it; and one from that. Throws ValueError for
/// a class or an argument that isn't known.
KILN_API Config serialize(const LearningRateSchedule& schedule);
KILN_API LearningRateSchedule deserialize(const Config& config);

}  // namespace optimizers::schedules
}  // namespace kiln
