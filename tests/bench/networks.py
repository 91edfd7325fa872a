"""The bench's networks (networks.json), and what follows from their shapes: weights, multiply-adds, limits."""

import json
import math
import pathlib

NETWORKS = json.loads((pathlib.Path(__file__).resolve().parent / "networks.json").read_text())
CACHE_BYTES = 32 * 2**20  # at least what the last-level cache holds


def conv(filters, kernel, **more):
    return {"op": "conv", "filters": filters, "kernel": kernel, "padding": "same", **more}


def inception(layer):
    """Four branches: 1x1; 1x1, 3x3; 1x1, 5x5; pooling, 1x1."""
    a, b1, b2, c1, c2, d = (conv(n, k, activation="relu") for n, k in zip(layer["filters"], (1, 1, 3, 1, 5, 1)))
    pool = {"op": "max_pool", "size": 3, "strides": 1, "padding": "same"}
    return [{"op": "concatenate", "branches": [[a], [b1, b2], [c1, c2], [pool, d]]}]


def residual(layer):
    """Two 3x3 convolutions and, where strides change the shape, a 1x1 convolution beside them."""
    filters, strides = layer["filters"], layer["strides"]

    def normed(kernel, strides, **more):
        return [conv(filters, kernel, strides=strides, bias=False), {"op": "batch_norm", **more}]

    main = normed(3, strides, activation="relu") + normed(3, 1)
    return [{"op": "add", "branches": [main, normed(1, strides) if strides > 1 else []], "activation": "relu"}]


def transformer(layer):
    """Attention, then two dense layers, both behind a normalization and added to what comes in."""
    width, norm = layer["width"], {"op": "layer_norm"}
    dense = [{"op": "dense", "units": 2 * width, "activation": "gelu"}, {"op": "dense", "units": width},
             {"op": "dropout", "rate": layer["rate"]}]
    return [{"op": "add", "branches": [[], [norm, *inner]]} for inner in ([{**layer, "op": "attention"}], dense)]


BLOCKS = {"inception": inception, "residual": residual, "transformer": transformer}


class Walk:
    """Goes through a network's layers with a peer's `ops`; gives each layer with weights its name. Norms, whose
    weights are ones and zeros, are numbered apart."""

    def __init__(self, ops):
        self.ops = ops
        self.numbers = {"layer": 0, "norm": 0}

    def name(self, kind="layer"):
        self.numbers[kind] += 1
        return f"{kind}{self.numbers[kind]}"

    def run(self, layers, x):
        for layer in layers:
            x = self.layer(layer, x)
        return x

    def branches(self, layer, x):
        return [self.run(branch, x) for branch in layer["branches"]]

    def layer(self, layer, x):
        ops, op = self.ops, layer["op"]
        activation, padding = layer.get("activation"), layer.get("padding", "valid")
        if op in BLOCKS:
            return self.run(BLOCKS[op](layer), x)
        if op == "dense":
            return ops.dense(x, self.name(), layer["units"], activation)
        if op == "conv":
            return ops.conv(x, self.name(), layer["filters"], layer["kernel"], layer.get("strides", 1), padding,
                            activation, layer.get("bias", True))
        if op == "conv_transpose":
            return ops.conv_transpose(x, self.name(), layer["filters"], layer["kernel"], layer["strides"], activation)
        if op == "batch_norm":
            return ops.batch_norm(x, self.name("norm"), activation)
        if op == "layer_norm":
            return ops.layer_norm(x, self.name("norm"))
        if op == "attention":
            return ops.attention(x, self.name(), self.name(), layer["width"], layer["heads"], layer["rate"])
        if op == "positions":
            return ops.positions(x, self.name())
        if op == "max_pool":
            return ops.max_pool(x, layer["size"], layer["strides"], padding)
        if op == "concatenate":
            return ops.concatenate(self.branches(layer, x))
        if op == "add":
            return ops.add(*self.branches(layer, x), activation)
        if op == "reshape":
            return ops.reshape(x, layer["shape"])
        if op == "dropout":
            return ops.dropout(x, layer["rate"])
        return getattr(ops, op)(x)


def extent(size, window, strides, padding):
    """Size of the result along one axis, as Keras counts."""
    return math.ceil(size / strides) if padding == "same" else (size - window) // strides + 1


class Shapes:
    """Ops on shapes (height, width, channels): lists the weights and counts multiply-adds of one sample."""

    def __init__(self):
        self.weights = {}  # name -> shapes: a kernel and, if there is one, a bias; a norm's factors and summands
        self.statistics = {}  # name of a batch norm -> shape of its moving mean, and variance
        self.flattened = {}  # name of the first dense layer after a flatten -> shape before it
        self.images = {}  # name of a dense layer whose results become an image -> the image's shape
        self.multiply_adds = 0
        self.first_layer = 0  # of these, those of the first layer, whose input needs no gradient
        self.before = None

    def count(self, name, places, kernel, *bias):
        self.weights[name] = (kernel, *bias)
        n = places * math.prod(kernel)
        self.multiply_adds += n
        if len(self.weights) == 1:
            self.first_layer = n

    def conv(self, x, name, filters, kernel, strides, padding, activation, bias):
        h, w = (extent(n, kernel, strides, padding) for n in x[:2])
        self.count(name, h * w, (kernel, kernel, x[2], filters), *[(filters,)] * bias)
        return (h, w, filters)

    def conv_transpose(self, x, name, filters, kernel, strides, activation):
        h, w, channels = x
        self.count(name, h * w, (kernel, kernel, filters, channels), (filters,))
        return (h * strides, w * strides, filters)

    def dense(self, x, name, units, activation):
        self.count(name, math.prod(x[:-1]), (x[-1], units), (units,))
        if self.before:
            self.flattened[name] = self.before
            self.before = None
        return (*x[:-1], units)

    def attention(self, x, project, output, width, heads, rate):
        self.dense(x, project, 3 * width, None)
        self.multiply_adds += 2 * x[0] ** 2 * width  # queries by keys, and their softmax by values
        return self.dense(x, output, width, None)

    def positions(self, x, name):
        self.weights[name] = (x,)
        return x

    def layer_norm(self, x, name):
        self.weights[name] = (x[-1:], x[-1:])
        return x

    def batch_norm(self, x, name, activation):
        self.statistics[name] = x[-1:]
        return self.layer_norm(x, name)

    def max_pool(self, x, size, strides, padding):
        return (*(extent(n, size, strides, padding) for n in x[:2]), x[2])

    def concatenate(self, xs):
        return (*xs[0][:2], sum(x[2] for x in xs))

    def add(self, a, b, activation):
        return a

    def flatten(self, x):
        self.before = x
        return (math.prod(x),)

    def reshape(self, x, shape):
        if len(shape) == 3:
            self.images[list(self.weights)[-1]] = shape
        return tuple(shape)

    def global_average_pool(self, x):
        return (x[2],)

    def average_tokens(self, x):
        return (x[1],)

    def dropout(self, x, rate):
        return x


def shapes_of(network):
    shapes = Shapes()
    shapes.result = Walk(shapes).run(NETWORKS[network]["layers"], tuple(NETWORKS[network]["input"]))
    return shapes
