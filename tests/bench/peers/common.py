"""What all peers share: the networks, their weights and data by the tests' formula, and the protocol by which
bench.py drives a peer: one JSON object a line, a request on stdin, an answer on stdout."""

import json
import math
import os
import pathlib
import sys
import time
import traceback

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "golden"))
from formula import glorot, labels, uniform  # noqa: E402

NETWORKS = json.loads((HERE.parent / "networks.json").read_text())
THREADS = int(sys.argv[sys.argv.index("--threads") + 1])
CACHE_BYTES = 32 * 2**20  # inputs rotate over more than the last-level cache holds


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
        n = places * int(np.prod(kernel))
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
        return (int(np.prod(x)),)

    def global_average_pool(self, x):
        return (x[2],)

    def dropout(self, x, rate):
        return x


def shapes_of(network):
    shapes = Shapes()
    Walk(shapes).run(NETWORKS[network]["layers"], tuple(NETWORKS[network]["input"]))
    return shapes


def weights_of(network):
    """{layer name: (kernel, bias)} in float32, kernels as Keras has them."""
    return {
        name: (glorot(f"{network}/{name}", shape).astype(np.float32), np.zeros(shape[-1], np.float32))
        for name, shape in shapes_of(network).weights.items()
    }


def channels_first_kernels(network, weights):
    """The kernels for peers that compute in NCHW: convolutions OIHW; a dense layer after a flatten takes its rows
    in NCHW order. Dense kernels stay (in, out)."""
    flattened = shapes_of(network).flattened
    result = {}
    for name, (kernel, bias) in weights.items():
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif name in flattened:
            rows = kernel.reshape(*flattened[name], kernel.shape[1])
            kernel = rows.transpose(2, 0, 1, 3).reshape(kernel.shape)
        result[name] = (np.ascontiguousarray(kernel), bias)
    return result


class Data:
    """Batches that together exceed the last-level cache; step i takes batch i modulo their number."""

    def __init__(self, network, batch):
        shape = NETWORKS[network]["input"]
        row = 4 * int(np.prod(shape))
        self.batches = max(2, math.ceil(CACHE_BYTES / (row * batch)) + 1)
        rows = self.batches * batch
        self.batch = batch
        self.x = uniform("bench x", (rows, *shape)).astype(np.float32)
        self.y = labels("bench y", rows, 10)

    def __call__(self, step):
        first = step % self.batches * self.batch
        return self.x[first : first + self.batch], self.y[first : first + self.batch]


def serve(prepare):
    """Answers bench.py. `prepare(row)` gives `step(x, y)`, one step from host arrays to host arrays: its result is
    the loss (training) or the logits (prediction)."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to stdout
    state = {}

    def handle(request):
        if request["do"] == "prepare":
            row = request["row"]
            data = Data(row["network"], row["batch"])
            start = time.perf_counter()
            step = prepare(row)
            first = np.asarray(step(*data(0)))
            answer = {"first_seconds": time.perf_counter() - start}
            if row["mode"] == "train":
                answer["check"] = [float(first)] + [float(np.asarray(step(*data(i)))) for i in (1, 2)]
            else:
                answer["check"] = first[:2].astype(float).ravel().tolist()
            state.update(step=step, data=data, number=3)
            return answer
        times, end = [], time.perf_counter() + request["seconds"]
        while not times or time.perf_counter() < end:
            x, y = state["data"](state["number"])
            start = time.perf_counter()
            np.asarray(state["step"](x, y))
            times.append(1e3 * (time.perf_counter() - start))
            state["number"] += 1
        return {"median_ms": float(np.median(times)), "min_ms": min(times), "steps": len(times)}

    for line in sys.stdin:
        try:
            answer = handle(json.loads(line))
        except Exception as error:  # noqa: BLE001: the bench reports why a peer could not run
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
