#pragma once
#include "kiln/optimizer.h"

/// Keras's optimizers (https://keras.io/api/optimizers), with its formulas. w is a weight, g its gradient, a
/// the learning rate, t the number of the update, from 1; what else has a letter starts as 0. All have:
///
/// - `learning_rate`: a number, or a schedule (namespace `schedules`).
/// - `weight_decay` d: first w -= a d w, apart from the rule and its averages (decoupled: Loshchilov and
///   Hutter 2017). What textbooks write into the loss as lambda/2 ||W||^2 is another thing, whose gradient
///   the rule sees: it is the regularizer L2(lambda / 2). For SGD without momentum, d = lambda is the same.
///   `Optimizer::exclude_from_weight_decay` leaves weights out.
/// - `clipnorm` scales each gradient down to that norm, `global_clipnorm` all together, `clipvalue` clips
///   each element; one of them only. Norms are computed from gradients divided by their largest element,
///   so that a gradient whose square overflows is clipped as any other.
/// - `use_ema`: an average of each weight is kept, e <- ema_momentum e + (1 - ema_momentum) w, e = w in the
///   first step. Every `ema_overwrite_frequency` updates, and at the end of `fit`, weights become their
///   averages; see also callbacks::SwapEMAWeights.
/// - `loss_scale_factor`: the loss is multiplied by it, and gradients are divided by it.
/// - `gradient_accumulation_steps` k: weights change in every k-th step, by the mean of k steps' gradients.
///   Averages (use_ema) and constraints are computed in each step, and a schedule counts steps.
/// - `name`: stands in messages and profiles; default: the class's ("adam_w").
///
/// All throw ValueError for numbers that no rule can use: NaN, negative where that has no sense, more than
/// one kind of clipping, fewer than 2 steps to accumulate over.
namespace kiln::optimizers {

struct AdadeltaArgs {
  LearningRate learning_rate = 0.001;
  double rho = 0.95;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// s <- rho s + (1 - rho) g^2; d = -g sqrt(x + epsilon) / sqrt(s + epsilon); x <- rho x + (1 - rho) d^2;
/// w += a d (Zeiler 2012, https://arxiv.org/abs/1212.5701).
KILN_API Optimizer Adadelta(AdadeltaArgs args = {});

struct AdafactorArgs {
  LearningRate learning_rate = 0.001;
  double beta_2_decay = -0.8;
  double epsilon_1 = 1e-30;
  double epsilon_2 = 1e-3;
  double clip_threshold = 1;
  bool relative_step = true;  ///< changes nothing, as in Keras: the rule takes min(a, 1 / sqrt(t)) anyway
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// Instead of a mean square for each element, a matrix has one for each row, r, and one for each column, c,
/// of the last two axes (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235): with b = 1 -
/// t^beta_2_decay, r <- b r + (1 - b) mean(g^2 + epsilon_1) along rows, c likewise along columns, v = r c /
/// mean(r); a vector keeps v itself. u = g / sqrt(v) is divided by max(1, rms(u) / clip_threshold), and w -=
/// max(epsilon_2, rms(w)) min(a, 1 / sqrt(t)) u.
KILN_API Optimizer Adafactor(AdafactorArgs args = {});

struct AdagradArgs {
  LearningRate learning_rate = 0.001;
  double initial_accumulator_value = 0.1;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// s += g^2; w -= a g / sqrt(s + epsilon) (Duchi, Hazan and Singer 2011).
KILN_API Optimizer Adagrad(AdagradArgs args = {});

struct AdamArgs {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// m += (1 - beta_1) (g - m); v += (1 - beta_2) (g^2 - v); in step t w -= a_t m / (sqrt(v) + epsilon) with
/// a_t = a sqrt(1 - beta_2^t) / (1 - beta_1^t) (Kingma and Ba 2014, https://arxiv.org/abs/1412.6980, end of
/// section 2). `amsgrad` uses the largest v so far (Reddi, Kale and Kumar 2018).
KILN_API Optimizer Adam(AdamArgs args = {});

struct AdamWArgs {
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay = 0.004;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// Adam with a `weight_decay`, which must be a number (Loshchilov and Hutter 2017,
/// https://arxiv.org/abs/1711.05101).
KILN_API Optimizer AdamW(AdamWArgs args = {});

struct AdamaxArgs {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// m as Adam's; u <- max(beta_2 u, |g|); w -= a m / ((1 - beta_1^t) (u + epsilon)) (Kingma and Ba 2014,
/// section 7.1).
KILN_API Optimizer Adamax(AdamaxArgs args = {});

struct FtrlArgs {
  LearningRate learning_rate = 0.001;
  double learning_rate_power = -0.5;
  double initial_accumulator_value = 0.1;
  double l1_regularization_strength = 0;
  double l2_regularization_strength = 0;
  double l2_shrinkage_regularization_strength = 0;
  double beta = 0;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// Follow the regularised leader (McMahan and others 2013, "Ad click prediction"). With p =
/// -learning_rate_power: n' = n + g^2; z += g + 2 l2_shrinkage w - (n'^p - n^p) w / a; n <- n'; w = (clip(z,
/// -l1, l1) - z) / (n^p / a + 2 l2 + beta / a). The learning rate must not be 0.
KILN_API Optimizer Ftrl(FtrlArgs args = {});

struct LambArgs {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// u = Adam's step for a = 1, with bias corrections inside; w -= a u |w| / |u|, or a u where either norm is 0
/// (You and others 2019, https://arxiv.org/abs/1904.00962). The decay isn't part of u, as in Keras.
KILN_API Optimizer Lamb(LambArgs args = {});

struct LionArgs {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.99;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// w -= a sign(beta_1 m + (1 - beta_1) g); m <- beta_2 m + (1 - beta_2) g (Chen and others 2023,
/// https://arxiv.org/abs/2302.06675).
KILN_API Optimizer Lion(LionArgs args = {});

struct MuonArgs {
  LearningRate learning_rate = 0.001;
  double adam_beta_1 = 0.9;
  double adam_beta_2 = 0.999;
  std::optional<double> adam_weight_decay = 0.004;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = 0.004;
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
  std::vector<std::string> exclude_layers = {};
  bool exclude_embeddings = true;
  double muon_a = 3.4445;
  double muon_b = -4.7750;
  double muon_c = 2.0315;
  double adam_lr_ratio = 1;
  double momentum = 0.95;
  std::int64_t ns_steps = 5;
  bool nesterov = true;
  std::optional<double> rms_rate = 0.2;
};
/// For matrices (rank 2): m <- momentum m + g; u = the nearest orthogonal matrix, about, of m, or with
/// nesterov of g + momentum m, by `ns_steps` iterations x <- muon_a x + (muon_b y + muon_c y^2) x, y = x x^T,
/// from x = u / |u|; w -= a rms_rate sqrt(max(rows, columns)) u, or a u without a rms_rate (Jordan and others
/// 2024, https://kellerjordan.github.io/posts/muon; https://arxiv.org/abs/2502.16982). Other weights are
/// Adam's, with the rate a adam_lr_ratio and `adam_weight_decay`, as are those in whose path ("dense/kernel")
/// a regular expression of `exclude_layers` is found, and, with `exclude_embeddings`, the text "embedding".
KILN_API Optimizer Muon(MuonArgs args = {});

struct NadamArgs {
  LearningRate learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// Adam with Nesterov's momentum (Dozat 2016): u_t = beta_1 (1 - 0.96^t / 2), p_t = u_1 ... u_t, m and v as
/// Adam's; w -= a m' / (sqrt(v / (1 - beta_2^t)) + epsilon) with
/// m' = u_{t+1} m / (1 - p_{t+1}) + (1 - u_t) g / (1 - p_t).
KILN_API Optimizer Nadam(NadamArgs args = {});

struct RMSpropArgs {
  LearningRate learning_rate = 0.001;
  double rho = 0.9;
  double momentum = 0;
  double epsilon = 1e-7;
  bool centered = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// v <- rho v + (1 - rho) g^2; w -= a g / sqrt(v + epsilon) (Hinton 2012). `centered` subtracts the square of
/// the mean gradient from v; with momentum increments are accumulated: m <- momentum m + increment, w -= m.
KILN_API Optimizer RMSprop(RMSpropArgs args = {});

struct SGDArgs {
  LearningRate learning_rate = 0.01;
  double momentum = 0;
  bool nesterov = false;
  std::optional<double> weight_decay = {};
  std::optional<double> clipnorm = {};
  std::optional<double> clipvalue = {};
  std::optional<double> global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};
  std::string name = "";
};
/// w -= a g; with momentum v <- momentum v - a g and w += v, or with nesterov w += momentum v - a g.
KILN_API Optimizer SGD(SGDArgs args = {});

struct LossScaleOptimizerArgs {
  double initial_scale = 32768;
  std::int64_t dynamic_growth_steps = 2000;
  std::string name = "";
};
/// Multiplies the loss by a scale and divides gradients by it, so that small gradients of narrow types don't
/// vanish. Where a gradient isn't finite, the step changes no weight and halves the scale; after
/// `dynamic_growth_steps` steps without such the scale doubles. Everything else is the inner optimizer's,
/// whose own loss_scale_factor is switched off. The scale is a float32, as in Keras. Throws ValueError for an
/// inner optimizer that is itself a LossScaleOptimizer.
KILN_API Optimizer LossScaleOptimizer(Optimizer inner_optimizer, LossScaleOptimizerArgs args = {});

/// The whole of an optimizer, class and arguments, as Keras writes it, without the numbers of its state; and
/// one from that, or from its name. Throws ValueError for a class or an argument that isn't known.
KILN_API Config serialize(const Optimizer& optimizer);
KILN_API Optimizer deserialize(const Config& config);

}  // namespace kiln::optimizers
