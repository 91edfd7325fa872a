"""What all peers share: the networks' weights and data by the tests' formula, and the protocol by which
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
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "golden")]
from formula import glorot, labels, signed, uniform  # noqa: E402
from networks import CACHE_BYTES, NETWORKS, Walk, shapes_of  # noqa: E402, F401

THREADS = int(sys.argv[sys.argv.index("--threads") + 1])


def weights_of(network):
    """{layer name: its weights} in float32, kernels as Keras has them; biases and what norms add are zeros."""
    def first(name, shape):
        return np.ones(shape) if name.startswith("norm") else glorot(f"{network}/{name}", shape)

    return {
        name: tuple(a.astype(np.float32) for a in (first(name, shape), *map(np.zeros, bias)))
        for name, (shape, *bias) in shapes_of(network).weights.items()
    }


def statistics_of(network):
    """{name of a batch norm: (moving mean, moving variance)}"""
    return {name: (np.zeros(shape, np.float32), np.ones(shape, np.float32))
            for name, shape in shapes_of(network).statistics.items()}


def channels_first_kernels(network, weights):
    """The kernels for peers that compute in NCHW: convolutions OIHW; a dense layer after a flatten takes its rows
    in NCHW order. Dense kernels stay (in, out)."""
    flattened = shapes_of(network).flattened
    result = {}
    for name, (kernel, *bias) in weights.items():
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif name in flattened:
            rows = kernel.reshape(*flattened[name], kernel.shape[1])
            kernel = rows.transpose(2, 0, 1, 3).reshape(kernel.shape)
        result[name] = (np.ascontiguousarray(kernel), *bias)
    return result


def same(size, window, strides):
    """Keras's padding: (before, after)."""
    total = max((-(-size // strides) - 1) * strides + window - size, 0)
    return total // 2, total - total // 2


def kernel_weights(row):
    """The weights of a row of the suite "kernels", None if it has none."""
    return signed("bench weights", row["weights"], 0.1).astype(np.float32) if "weights" in row else None


class Data:
    """Batches that together exceed the last-level cache; step i takes batch i modulo their number."""

    def __init__(self, row):
        shape = row["x"] if row["mode"] == "kernel" else [row["batch"], *NETWORKS[row["network"]]["input"]]
        self.batch = shape[0]
        self.batches = max(2, math.ceil(CACHE_BYTES / (4 * math.prod(shape))) + 1)
        rows = self.batches * self.batch
        self.x = uniform("bench x", (rows, *shape[1:])).astype(np.float32)
        if row.get("zeros"):
            self.x[self.x < 0.5] = 0
        self.y = labels("bench y", rows, 10)

    def __call__(self, step):
        first = step % self.batches * self.batch
        return self.x[first : first + self.batch], self.y[first : first + self.batch]


def peak_bytes(step):
    """How much more memory the process had at most during a step than before it."""
    def status(name):
        return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

    pathlib.Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = status("VmRSS")
    step()
    return status("VmHWM") - before


def serve(prepare, step_bytes=peak_bytes):
    """Answers bench.py. `prepare(row)` gives `step(x, y)`, one step from host arrays to host arrays: its result is
    the loss (training), the logits (prediction), or the kernel's result (NHWC). `step_bytes(step)` runs a step and
    gives the memory that it takes at most."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to stdout
    state = {}

    def handle(request):
        if request["do"] == "prepare":
            row = request["row"]
            data = Data(row)
            start = time.perf_counter()
            step = prepare(row)
            first = np.asarray(step(*data(0)))
            answer = {"first_seconds": time.perf_counter() - start}
            if row["mode"] == "train":
                answer["check"] = [float(first)] + [float(np.asarray(step(*data(i)))) for i in (1, 2)]
            elif row["mode"] == "predict":
                answer["check"] = first[:2].astype(float).ravel().tolist()
            else:
                ends = first.ravel()[:8], first.ravel()[-8:]
                answer["check"] = np.concatenate(ends).astype(float).tolist()
            state.update(step=step, data=data, number=3)
            return answer
        if request["do"] == "memory":
            x, y = state["data"](state["number"])
            return {"step_bytes": max(step_bytes(lambda: np.asarray(state["step"](x, y))) for _ in range(3))}
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
