"""The bench's networks (networks.json), and what follows from their shapes: weights, multiply-adds, limits."""

import json
import math
import pathlib

NETWORKS = json.loads((pathlib.Path(__file__).resolve().parent / "networks.json").read_text())
CACHE_BYTES = 32 * 2**20  # at least what the last-level cache holds


def inception(filters):
    """The four branches of an Inception block: 1x1; 1x1, 3x3; 1x1, 5x5; pooling, 1x1."""
    a, b1, b2, c1, c2, d = filters

    def conv(n, kernel):
        return {"op": "conv", "filters": n, "kernel": kernel, "padding": "same", "activation": "relu"}

    pool = {"op": "max_pool", "size": 3, "strides": 1, "padding": "same"}
    return [[conv(a, 1)], [conv(b1, 1), conv(b2, 3)], [conv(c1, 1), conv(c2, 5)], [pool, conv(d, 1)]]


class Walk:
    """Goes through a network's layers with a peer's `ops`; gives each weight layer its number."""

    def __init__(self, ops):
        self.ops = ops
        self.number = 0

    def run(self, layers, x):
        for layer in layers:
            x = self.layer(layer, x)
        return x

    def layer(self, layer, x):
        ops, op = self.ops, layer["op"]
        activation = layer.get("activation")
        if op in ("conv", "dense"):
            self.number += 1
            name = f"layer{self.number}"
            if op == "dense":
                return ops.dense(x, name, layer["units"], activation)
            return ops.conv(x, name, layer["filters"], layer["kernel"], layer.get("strides", 1),
                            layer.get("padding", "valid"), activation)
        if op == "max_pool":
            return ops.max_pool(x, layer["size"], layer["strides"], layer.get("padding", "valid"))
        if op == "inception":
            return ops.concatenate([self.run(branch, x) for branch in inception(layer["filters"])])
        if op == "dropout":
            return ops.dropout(x, layer["rate"])
        return getattr(ops, op)(x)


def extent(size, window, strides, padding):
    """Size of the result along one axis, as Keras counts."""
    return math.ceil(size / strides) if padding == "same" else (size - window) // strides + 1


class Shapes:
    """Ops on shapes (height, width, channels): lists the weights and counts multiply-adds of one sample."""

    def __init__(self):
        self.weights = {}  # name -> shape of the kernel
        self.flattened = {}  # name of the first dense layer after a flatten -> shape before it
        self.multiply_adds = 0
        self.first_layer = 0  # of these, those of the first layer, whose input needs no gradient
        self.before = None

    def count(self, name, kernel, places):
        self.weights[name] = kernel
        n = places * math.prod(kernel)
        self.multiply_adds += n
        if len(self.weights) == 1:
            self.first_layer = n

    def conv(self, x, name, filters, kernel, strides, padding, activation):
        h, w = (extent(n, kernel, strides, padding) for n in x[:2])
        self.count(name, (kernel, kernel, x[2], filters), h * w)
        return (h, w, filters)

    def dense(self, x, name, units, activation):
        self.count(name, (x[0], units), 1)
        if self.before:
            self.flattened[name] = self.before
            self.before = None
        return (units,)

    def max_pool(self, x, size, strides, padding):
        return (*(extent(n, size, strides, padding) for n in x[:2]), x[2])

    def concatenate(self, xs):
        return (*xs[0][:2], sum(x[2] for x in xs))

    def flatten(self, x):
        self.before = x
        return (math.prod(x),)

    def global_average_pool(self, x):
        return (x[2],)

    def dropout(self, x, rate):
        return x


def shapes_of(network):
    shapes = Shapes()
    Walk(shapes).run(NETWORKS[network]["layers"], tuple(NETWORKS[network]["input"]))
    return shapes
