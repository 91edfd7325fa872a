"""Fifty training steps of a small network with real Keras in float64, for each optimizer and each of its options; the
values of each learning-rate schedule; and their configurations.

Writes optimizers.json and optimizers.safetensors; README.md in this folder says what is in them. Run by ./dev golden.
"""

import json

from oracle import FOLDER, save  # before keras

from formula import signed

import jax.numpy as jnp
import keras
import keras.src.ops
import numpy as np
from keras import optimizers
from keras.optimizers import schedules
from keras.ops import convert_to_numpy as numpy

# On JAX these functions of Keras 3.15.1 compute in float32, whatever floatx is. Optimizers and schedules call them.
for name, function in (("cos", jnp.cos), ("floor", jnp.floor), ("ceil", jnp.ceil), ("norm", jnp.linalg.norm),
                       ("mean", jnp.mean)):
    setattr(keras.src.ops, name,
            lambda x, *args, function=function, **kwargs: function(keras.ops.convert_to_tensor(x), *args, **kwargs))

STEPS = (1, 10, 50)
ROWS = 16
SHAPES = (("a/kernel", (3, 4)), ("a/bias", (4,)), ("b/kernel", (4, 2)), ("b/bias", (2,)))

# Each optimizer's learning rate, large enough that fifty steps change the weights by much.
RATES = {"Adadelta": 5.0, "Adafactor": 0.1, "Adagrad": 0.1, "Adam": 0.02, "AdamW": 0.02, "Adamax": 0.02, "Ftrl": 0.1,
         "Lamb": 0.02, "Lion": 0.01, "Muon": 0.05, "Nadam": 0.02, "RMSprop": 0.01, "SGD": 0.1}

# For all optimizers.
COMMON = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.05},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.02},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "ema": {"use_ema": True, "ema_momentum": 0.9},
    "ema_overwrite": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 7},
    "loss_scale": {"loss_scale_factor": 1024.0},
    "accumulation": {"gradient_accumulation_steps": 3},
    "together": {"gradient_accumulation_steps": 4, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3,
                 "weight_decay": 0.01, "global_clipnorm": 0.5, "loss_scale_factor": 8.0},
}

OWN = {
    "Adadelta": {"rho": {"rho": 0.8, "epsilon": 1e-3}},
    "Adafactor": {"beta_2_decay": {"beta_2_decay": -0.5}, "epsilons": {"epsilon_1": 1e-4, "epsilon_2": 0.6},
                  "clip_threshold": {"clip_threshold": 0.3}, "not_relative": {"relative_step": False,
                                                                              "learning_rate": 0.5},
                  "large_rate": {"learning_rate": 0.5}},
    "Adagrad": {"initial": {"initial_accumulator_value": 0.0, "epsilon": 1e-3}},
    "Adam": {"amsgrad": {"amsgrad": True, "beta_2": 0.5}, "betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}},
    "AdamW": {"amsgrad": {"amsgrad": True, "beta_2": 0.5}},
    "Adamax": {"betas": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 1e-2}},
    "Ftrl": {"l1": {"l1_regularization_strength": 0.02}, "l2": {"l2_regularization_strength": 0.1},
             "shrinkage": {"l2_shrinkage_regularization_strength": 0.05}, "beta": {"beta": 0.3},
             "power": {"learning_rate_power": -0.7, "initial_accumulator_value": 0.3},
             "fixed": {"learning_rate_power": 0.0}},
    "Lamb": {"betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}},
    "Lion": {"betas": {"beta_1": 0.5, "beta_2": 0.7}},
    "Muon": {"not_nesterov": {"nesterov": False, "momentum": 0.8}, "ns_steps": {"ns_steps": 2},
             "no_rms_rate": {"rms_rate": None}, "exclude": {"exclude_layers": ["b/"]},
             "coefficients": {"muon_a": 3.0, "muon_b": -3.2, "muon_c": 1.2},
             "adam": {"adam_lr_ratio": 0.5, "adam_beta_1": 0.5, "adam_beta_2": 0.9, "adam_weight_decay": 0.1},
             "no_decay": {"weight_decay": None, "adam_weight_decay": None}},
    "Nadam": {"betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}},
    "RMSprop": {"centered": {"centered": True}, "momentum": {"momentum": 0.7},
                "centered_momentum": {"centered": True, "momentum": 0.7, "rho": 0.5, "epsilon": 1e-3}},
    "SGD": {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True},
            "momentum_decay": {"momentum": 0.9, "weight_decay": 0.05}},
}

# A schedule for each optimizer, all of them in turn.
SCHEDULES = {
    "cosine": lambda a: schedules.CosineDecay(a, 40, alpha=0.1),
    "warmup": lambda a: schedules.CosineDecay(0.1 * a, 30, warmup_target=a, warmup_steps=8),
    "restarts": lambda a: schedules.CosineDecayRestarts(a, 7, t_mul=1.5, m_mul=0.8, alpha=0.1),
    "exponential": lambda a: schedules.ExponentialDecay(a, 10, 0.7),
    "inverse_time": lambda a: schedules.InverseTimeDecay(a, 10, 0.5, staircase=True),
    "piecewise": lambda a: schedules.PiecewiseConstantDecay([5, 20], [a, 0.5 * a, 0.2 * a]),
    "polynomial": lambda a: schedules.PolynomialDecay(a, 30, 0.1 * a, power=2.0),
}

# The lists of slots in an optimizer's attributes, by their names in Kiln.
SLOTS = {
    "Adadelta": {"accumulated_grad": "_accumulated_grads", "accumulated_delta_var": "_accumulated_delta_vars"},
    "Adafactor": {"r": "_r", "c": "_c", "velocity": "_v"},
    "Adagrad": {"accumulator": "_accumulators"},
    "Adam": {"momentum": "_momentums", "velocity": "_velocities", "velocity_hat": "_velocity_hats"},
    "AdamW": {"momentum": "_momentums", "velocity": "_velocities", "velocity_hat": "_velocity_hats"},
    "Adamax": {"momentum": "_m", "norm": "_u"},
    "Ftrl": {"accumulator": "_accumulators", "linear": "_linears"},
    "Lamb": {"momentum": "_momentums", "velocity": "_velocities"},
    "Lion": {"momentum": "_momentums"},
    "Muon": {"momentum": "momentums", "velocity": "adam_velocities"},
    "Nadam": {"momentum": "_momentums", "velocity": "_velocities"},
    "RMSprop": {"velocity": "_velocities", "momentum": "_momentums", "average_gradient": "_average_gradients"},
    "SGD": {"momentum": "momentums"},
}
FOR_ALL = {"average": "_model_variables_moving_average", "gradient_accumulator": "_accumulated_gradients"}


def cases():
    """name, a function that makes the optimizer"""
    for i, (kind, rate) in enumerate(RATES.items()):
        options = {**COMMON, **OWN[kind]}
        for option, arguments in options.items():
            yield f"{kind}/{option}", lambda k=kind, a={"learning_rate": rate, **arguments}: getattr(optimizers, k)(**a)
        names = list(SCHEDULES)
        for schedule in (names[i % len(names)], names[(i + 3) % len(names)]):
            yield f"{kind}/{schedule}", lambda k=kind, r=rate, s=schedule: getattr(optimizers, k)(SCHEDULES[s](r))
    yield "SGD/accumulation_schedule", lambda: optimizers.SGD(SCHEDULES["exponential"](0.1),
                                                              gradient_accumulation_steps=4)
    yield "Nadam/accumulation_ema", lambda: optimizers.Nadam(0.02, gradient_accumulation_steps=4, use_ema=True,
                                                             ema_momentum=0.9)
    inner = lambda: optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9)
    yield "LossScaleOptimizer/adam", lambda: optimizers.LossScaleOptimizer(inner(), 1024.0, 4)
    yield "LossScaleOptimizer/overflow", lambda: optimizers.LossScaleOptimizer(
        optimizers.SGD(0.1, momentum=0.9), 2.0**127, 2)
    yield "LossScaleOptimizer/accumulation", lambda: optimizers.LossScaleOptimizer(
        optimizers.SGD(0.1, gradient_accumulation_steps=2), 2.0**15, 2000)


def network():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, activation="sigmoid", name="a"),
                              keras.layers.Dense(2, name="b")], name="net")
    model.set_weights([signed(f"optimizers/{name}", shape) for name, shape in SHAPES])
    return model


def slot_values(optimizer):
    """name -> all weights' slots in one row"""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    values = {}
    for name, attribute in {**SLOTS[type(inner).__name__], **FOR_ALL}.items():
        # Adafactor's scalars stand for what a vector doesn't have.
        slots = [s for s in getattr(inner, attribute, []) if s is not None and (name != "r" and name != "c" or s.ndim)]
        if slots:
            values[name] = np.concatenate([numpy(s).ravel() for s in slots])
    if hasattr(inner, "_u_product"):
        values["u_product"] = numpy(inner._u_product).reshape(1)
    if inner is not optimizer:
        values["dynamic_scale"] = numpy(optimizer.dynamic_scale).reshape(1).astype(np.float64)
    return values


def train(make):
    """The serialized optimizer, and weights and slots at STEPS."""
    keras.backend.clear_session()
    keras.config.set_floatx("float64")
    model, optimizer = network(), make()
    serialized = optimizers.serialize(optimizer)
    model.compile(optimizer=optimizer, loss="mse")
    x, y = signed("optimizers/x", (ROWS, 3)), signed("optimizers/y", (ROWS, 2))
    stored = {}
    for step in range(1, max(STEPS) + 1):
        model.train_on_batch(x, y)
        if step in STEPS:
            weights = np.concatenate([w.ravel() for w in model.get_weights()])
            for name, value in {"weights": weights, **slot_values(optimizer)}.items():
                stored.setdefault(name, []).append(value)
    return serialized, {name: np.stack(rows) for name, rows in stored.items()}


def schedule_cases():
    yield "cosine", schedules.CosineDecay(0.1, 100), 120
    yield "cosine_alpha", schedules.CosineDecay(0.1, 100, alpha=0.2), 120
    yield "cosine_warmup", schedules.CosineDecay(0.0, 80, warmup_target=0.3, warmup_steps=20, alpha=0.1), 130
    yield "cosine_no_warmup_steps", schedules.CosineDecay(0.1, 50, warmup_target=0.3), 60
    yield "restarts", schedules.CosineDecayRestarts(0.1, 10), 200
    yield "restarts_once_more", schedules.CosineDecayRestarts(0.1, 8, t_mul=1.0, m_mul=0.9), 100
    yield "restarts_three", schedules.CosineDecayRestarts(0.1, 5, t_mul=3.0, m_mul=0.5, alpha=0.2), 300
    yield "restarts_half", schedules.CosineDecayRestarts(0.1, 16, t_mul=1.5, m_mul=1.1), 300
    yield "exponential", schedules.ExponentialDecay(0.1, 20, 0.5), 100
    yield "exponential_staircase", schedules.ExponentialDecay(0.1, 7, 0.8, staircase=True), 100
    yield "inverse_time", schedules.InverseTimeDecay(0.1, 10.0, 0.5), 100
    yield "inverse_time_staircase", schedules.InverseTimeDecay(0.1, 9, 0.5, staircase=True), 100
    yield "piecewise", schedules.PiecewiseConstantDecay([10, 30, 31], [1.0, 0.5, 0.2, 0.1]), 50
    yield "piecewise_one", schedules.PiecewiseConstantDecay([3], [1.0, 0.5]), 10
    yield "polynomial", schedules.PolynomialDecay(0.1, 50), 70
    yield "polynomial_power", schedules.PolynomialDecay(0.1, 50, 0.02, power=0.5), 70
    yield "polynomial_cycle", schedules.PolynomialDecay(0.1, 20, 0.01, power=2.0, cycle=True), 100


def main():
    keras.config.set_floatx("float64")
    tensors, index = {}, []
    for name, make in cases():
        serialized, stored = train(make)
        entry = {"name": name, "optimizer": serialized, "values": []}
        for key, value in stored.items():
            tensors[f"{name}/{key}"] = value
            entry["values"].append(key)
        index.append(entry)
    curves = []
    for name, schedule, count in schedule_cases():
        tensors[f"schedules/{name}"] = np.array([float(schedule(step)) for step in range(count)])
        curves.append({"name": name, "schedule": schedules.serialize(schedule)})
    defaults = {}
    for kind in RATES:
        keras.backend.clear_session()
        defaults[kind] = getattr(optimizers, kind)().get_config()
    with open(FOLDER / "optimizers.json", "w") as file:
        lists = {"cases": index, "schedules": curves}
        body = ",\n".join(f'"{key}": [\n' + ",\n".join(json.dumps(e) for e in entries) + "\n]"
                          for key, entries in lists.items())
        file.write("{\n" + body + ',\n"defaults": ' + json.dumps(defaults, indent=1) + "\n}\n")
    save("optimizers", tensors)
    print(f"{len(index)} optimizers, {len(curves)} schedules")


if __name__ == "__main__":
    main()
