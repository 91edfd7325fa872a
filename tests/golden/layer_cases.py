"""Cases of layers: what a layer makes of its inputs, and the gradients, by real Keras in float64."""

from oracle import save, save_index  # before keras

from formula import float32, signed, uniform

import jax
import keras
import numpy as np
from jax import numpy as jnp

keras.config.set_floatx("float64")


class Cases:
    """Collects cases; `save` writes NAME.safetensors (numbers) and NAME.json (what they are of)."""

    def __init__(self):
        self.tensors = {}
        self.index = []

    def store(self, name, value):
        self.tensors[name] = np.asarray(value, dtype=np.float64)

    def layer(self, name, kind, config, *shapes, inputs="signed", training=None, seeds=False, gradients=True):
        """One case: the layer's output, and the gradients of sum(output * cotangent). `training`: the call's
        argument, for layers that have it; with True, what becomes of weights that aren't trainable as well.
        `seeds`: the layer draws random numbers, whose state is no weight. Without `gradients` it has none."""
        made = make(kind, config)
        x = [layer_input(f"{name}/input{i}", shape, inputs) for i, shape in enumerate(shapes)]
        separate = kind in ("MultiHeadAttention", "GroupQueryAttention")  # takes its inputs as arguments of their own
        if separate:
            made.build(*shapes)
        else:
            made.build(shapes[0] if len(shapes) == 1 else list(shapes))
        names = weight_names(made.trainable_variables)
        state_variables = [] if seeds else [
            v for v in made.non_trainable_variables if "seed" not in v.path]
        weights = [signed(f"{name}/{n}", v.shape, 0.5) for n, v in zip(names, made.trainable_variables)]
        state = [v.value if v not in state_variables else float32(0.5 + uniform(f"{name}/{v.name}", v.shape))
                 for v in made.non_trainable_variables]
        arguments = {} if training is None else {"training": training}

        def call(weights, x):
            if separate:
                return made.stateless_call(weights, state, *x, **arguments)
            return made.stateless_call(weights, state, x[0] if len(x) == 1 else x, **arguments)

        output, after = call(weights, x)
        self.store(f"{name}/output", output)
        entry = {"name": name, "layer": kind, "config": config, "input_shapes": shapes, "inputs": inputs,
                 "training": training is not False, "gradients": gradients,
                 "weights": dict(zip(names, (v.shape for v in made.trainable_variables))),
                 "state": {v.name: v.shape for v in state_variables}}
        self.index.append(entry)
        if not gradients:
            return
        cotangent = signed(f"{name}/cotangent", output.shape)
        by_weights, by_inputs = jax.grad(
            lambda w, x: jnp.sum(call(w, x)[0] * cotangent), argnums=(0, 1), allow_int=True)(weights, x)
        for i, gradient in enumerate(by_inputs):
            if inputs != "ids":
                self.store(f"{name}/input{i}/gradient", gradient)
        for weight, gradient in zip(names, by_weights):
            self.store(f"{name}/{weight}/gradient", gradient)
        if training:
            for variable, value in zip(made.non_trainable_variables, after):
                if variable in state_variables:
                    self.store(f"{name}/{variable.name}/after", value)

    def save(self, name, **more):
        """`more`: other lists for the JSON file."""
        save(name, self.tensors)
        save_index(name, {"layers": self.index, **more} if self.index else more)


def weight_names(variables):
    """Their names; with their numbers where layers inside have weights of equal names."""
    names = [v.name for v in variables]
    return names if len(set(names)) == len(names) else [f"{i}_{name}" for i, name in enumerate(names)]


def make(kind, config):
    if "arguments" in config:
        function = getattr(keras.activations, config["activation"])
        return keras.layers.Activation(lambda x: function(x, **config["arguments"]))
    return getattr(keras.layers, kind)(**config)


def layer_input(tag, shape, kind):
    if kind == "ids":  # class numbers below 3, of an integer type
        return np.floor(3 * uniform(tag, shape)).astype(np.int32)
    if kind == "ties":  # few different values, so that windows have several largest elements
        return float32(np.floor(3 * uniform(tag, shape)))
    if kind == "zeros":  # negative and positive values, and many zeros
        return float32(np.floor(3 * uniform(tag, shape)) - 1)
    if kind == "numbers":  # whole numbers below 5
        return float32(np.floor(5 * uniform(tag, shape)))
    if kind == "wide":  # both sides of every kink
        return signed(tag, shape, 8)
    return signed(tag, shape)
