"""JAX: one jitted function a step, NHWC, the weights donated."""

import jax
import jax.numpy as jnp
from common import NETWORKS, Walk, kernel_weights, serve, weights_of
from jax import lax

ACTIVATIONS = {None: lambda x: x, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}


class Ops:
    def __init__(self, weights, key):
        self.weights, self.key = weights, key

    def conv(self, x, name, filters, kernel, strides, padding, activation):
        w, b = self.weights[name]
        y = lax.conv_general_dilated(x, w, (strides, strides), padding.upper(),
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return ACTIVATIONS[activation](y + b)

    def dense(self, x, name, units, activation):
        w, b = self.weights[name]
        return ACTIVATIONS[activation](x @ w + b)

    def max_pool(self, x, size, strides, padding):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, strides, strides, 1),
                                 padding.upper())

    def concatenate(self, xs):
        return jnp.concatenate(xs, -1)

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)

    def global_average_pool(self, x):
        return x.mean((1, 2))

    def dropout(self, x, rate):
        if self.key is None:
            return x
        self.key, key = jax.random.split(self.key)
        return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def prepare_kernel(row):
    weights = kernel_weights(row)
    kernel = {
        "dot": lambda x, w: x @ w,
        "conv": lambda x, w: lax.conv_general_dilated(x, w, (row["strides"],) * 2, row["padding"].upper(),
                                                      dimension_numbers=("NHWC", "HWIO", "NHWC")),
        "exp": lambda x, w: jnp.exp(x), "tanh": lambda x, w: jnp.tanh(x),
        "add_relu": lambda x, w: jnp.maximum(x + 0.5, 1), "softmax": lambda x, w: jax.nn.softmax(x),
        "sum_rows": lambda x, w: x.sum(1), "sum_columns": lambda x, w: x.sum(0),
    }[row["op"]]
    run = jax.jit(kernel)
    if weights is not None:
        weights = jnp.asarray(weights)
    return lambda x, y: run(x, weights)


def prepare(row):
    if row["mode"] == "kernel":
        return prepare_kernel(row)
    layers = NETWORKS[row["network"]]["layers"]
    weights = jax.tree.map(jnp.asarray, weights_of(row["network"]))

    def forward(weights, x, key):
        return Walk(Ops(weights, key)).run(layers, x)

    if row["mode"] == "predict":
        run = jax.jit(lambda weights, x: forward(weights, x, None))
        return lambda x, y: run(weights, x)

    def loss(weights, x, y, key):
        log_p = jax.nn.log_softmax(forward(weights, x, key))
        return -jnp.take_along_axis(log_p, y[:, None], 1).mean()

    sgd = row["optimizer"] == "sgd"

    def update(weights, slots, x, y, t):
        key = jax.random.fold_in(jax.random.key(0), t) if row["dropout"] else None
        value, g = jax.value_and_grad(loss)(weights, x, y, key)
        if sgd:
            return jax.tree.map(lambda w, g: w - 0.01 * g, weights, g), slots, value
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), slots[0], g)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), slots[1], g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return (jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v), (m, v),
                value)

    run = jax.jit(update, donate_argnums=(0, 1))
    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)  # noqa: E731
    state = {"weights": weights, "slots": () if sgd else (zeros(), zeros()), "t": 0}

    def step(x, y):
        state["t"] += 1
        state["weights"], state["slots"], value = run(state["weights"], state["slots"], x, y,
                                                      state["t"])
        return value

    return step


serve(prepare)
