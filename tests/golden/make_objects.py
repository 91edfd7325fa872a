"""Regularizers, constraints and initializers that aren't random, by real Keras in float64.

Writes objects.json and objects.safetensors; README.md in this folder says what is in them. Run by ./dev golden.
"""

from oracle import save, save_index  # before keras

from formula import signed

import jax
import keras
import numpy as np
from jax import numpy as jnp
from keras import constraints, initializers, regularizers

keras.config.set_floatx("float64")

tensors = {}
index = {"regularizers": [], "constraints": [], "initializers": []}


def add(part, made, shape, value, **more):
    name = f"{part}/{len(index[part])}"
    index[part].append({"name": name, "config": serialized(made), "shape": shape})
    tensors[f"{name}/value"] = np.asarray(value(name), np.float64)
    for key, function in more.items():
        tensors[f"{name}/{key}"] = np.asarray(function(name), np.float64)


def serialized(made):
    modules = {"regularizers": regularizers, "constraints": constraints, "initializers": initializers}
    config = next(m for key, m in modules.items() if key in type(made).__module__).serialize(made)
    if isinstance(made, initializers.Identity) and made.gain != 1:  # Keras 3.15.1 forgets it
        config["config"]["gain"] = made.gain
    return config


def regularizer(made, *shapes):
    for shape in shapes:
        def x(name):
            return jnp.asarray(signed(f"{name}/x", shape, 2))

        add("regularizers", made, shape, lambda name: made(x(name)), gradient=lambda name: jax.grad(made)(x(name)))


def constraint(made, *shapes):
    for shape in shapes:
        add("constraints", made, shape, lambda name: made(jnp.asarray(signed(f"{name}/x", shape, 2))))


def main():
    shapes = (5,), (4, 3), (3, 3, 2, 4)
    for made in (regularizers.L1(), regularizers.L1(0.3), regularizers.L2(), regularizers.L2(0.05),
                 regularizers.L1L2(), regularizers.L1L2(0.1, 0.2)):
        regularizer(made, *shapes)
    for mode in ("rows", "columns"):
        regularizer(regularizers.OrthogonalRegularizer(mode=mode), (4, 3), (3, 5))
        regularizer(regularizers.OrthogonalRegularizer(0.3, mode), (2, 6))
    constraint(constraints.NonNeg(), *shapes)
    for axis in (0, 1, [0, 1]):
        constraint(constraints.MaxNorm(1.5, axis), *shapes[1:])
        constraint(constraints.MinMaxNorm(0.5, 1.5, 0.7, axis), *shapes[1:])
        constraint(constraints.UnitNorm(axis), *shapes[1:])
    constraint(constraints.MaxNorm(), *shapes)
    constraint(constraints.MinMaxNorm(), *shapes)
    constraint(constraints.UnitNorm(), *shapes)
    constraint(constraints.UnitNorm([0, 1, 2]), shapes[2])
    for made in (initializers.Zeros(), initializers.Ones(), initializers.Constant(), initializers.Constant(-1.5)):
        for shape in shapes:
            add("initializers", made, shape, lambda name: made(shape))
    for made in (initializers.Identity(), initializers.Identity(2.5)):
        for shape in ((3, 3), (2, 4), (4, 2)):
            add("initializers", made, shape, lambda name: made(shape))
    save("objects", tensors)
    save_index("objects", index)


if __name__ == "__main__":
    main()
