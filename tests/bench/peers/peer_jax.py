"""JAX: one jitted function a step, NHWC, the weights donated."""

import math

import jax
import jax.numpy as jnp
from common import NETWORKS, Walk, kernel_weights, serve, statistics_of, weights_of
from jax import lax

ACTIVATIONS = {None: lambda x: x, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid,
               "gelu": lambda x: jax.nn.gelu(x, approximate=False)}


class Ops:
    """`statistics` are replaced by the new ones while training; without a `key` nothing is dropped."""

    def __init__(self, weights, statistics, training=False, key=None):
        self.weights, self.statistics, self.training, self.key = weights, dict(statistics), training, key

    def conv(self, x, name, filters, kernel, strides, padding, activation, bias):
        w, *b = self.weights[name]
        y = lax.conv_general_dilated(x, w, (strides, strides), padding.upper(),
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return ACTIVATIONS[activation](y + b[0] if bias else y)

    def conv_transpose(self, x, name, filters, kernel, strides, activation):
        w, b = self.weights[name]
        y = lax.conv_transpose(x, w, (strides, strides), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
                               transpose_kernel=True)
        return ACTIVATIONS[activation](y + b)

    def dense(self, x, name, units, activation):
        w, b = self.weights[name]
        return ACTIVATIONS[activation](x @ w + b)

    def batch_norm(self, x, name, activation):
        gamma, beta = self.weights[name]
        mean, variance = moving = self.statistics[name]
        if self.training:
            mean = x.mean((0, 1, 2))
            variance = (x * x).mean((0, 1, 2)) - mean * mean
            self.statistics[name] = jax.tree.map(lambda m, new: m + 0.01 * (new - m), moving, (mean, variance))
        return ACTIVATIONS[activation]((x - mean) * (gamma * lax.rsqrt(variance + 1e-3)) + beta)

    def layer_norm(self, x, name):
        gamma, beta = self.weights[name]
        return jax.nn.standardize(x, epsilon=1e-3) * gamma + beta

    def attention(self, x, project, output, width, heads, rate):
        qkv = self.dense(x, project, 3 * width, None).reshape(*x.shape[:2], 3, heads, width // heads)
        q, k, v = jnp.moveaxis(qkv, 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(width // heads)
        y = jnp.einsum("bhqk,bkhd->bqhd", self.dropout(jax.nn.softmax(scores), rate), v)
        return self.dense(y.reshape(x.shape), output, width, None)

    def positions(self, x, name):
        return x + self.weights[name][0]

    def max_pool(self, x, size, strides, padding):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, strides, strides, 1),
                                 padding.upper())

    def concatenate(self, xs):
        return jnp.concatenate(xs, -1)

    def add(self, a, b, activation):
        return ACTIVATIONS[activation](a + b)

    def flatten(self, x):
        return x.reshape(x.shape[0], -1)

    def reshape(self, x, shape):
        return x.reshape(-1, *shape)

    def global_average_pool(self, x):
        return x.mean((1, 2))

    def average_tokens(self, x):
        return x.mean(1)

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
    network = NETWORKS[row["network"]]
    weights, statistics = jax.tree.map(jnp.asarray, (weights_of(row["network"]), statistics_of(row["network"])))

    if row["mode"] == "predict":
        run = jax.jit(lambda weights, statistics, x: Walk(Ops(weights, statistics)).run(network["layers"], x))
        return lambda x, y: run(weights, statistics, x)

    def loss(weights, statistics, x, y, key):
        ops = Ops(weights, statistics, True, key)
        result = Walk(ops).run(network["layers"], x)
        if network.get("loss") == "mse":
            return ((result - x) ** 2).mean(), ops.statistics
        return -jnp.take_along_axis(jax.nn.log_softmax(result), y[:, None], 1).mean(), ops.statistics

    sgd = row["optimizer"] == "sgd"

    def update(weights, slots, statistics, x, y, t):
        key = jax.random.fold_in(jax.random.key(0), t) if row["dropout"] else None
        (value, statistics), g = jax.value_and_grad(loss, has_aux=True)(weights, statistics, x, y, key)
        if sgd:
            return (jax.tree.map(lambda w, g: w - 0.01 * g, weights, g), slots, statistics), value
        m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), slots[0], g)
        v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), slots[1], g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return (weights, (m, v), statistics), value

    run = jax.jit(update, donate_argnums=(0, 1, 2))
    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)  # noqa: E731
    state = {"all": (weights, () if sgd else (zeros(), zeros()), statistics), "t": 0}

    def step(x, y):
        state["t"] += 1
        state["all"], value = run(*state["all"], x, y, state["t"])
        return value

    return step


serve(prepare)
