"""The suites' rows: what is run, what it is compared by, and what the machine would allow."""

import math

from networks import CACHE_BYTES, NETWORKS, shapes_of

TARGETS = {  # best peer's time / ours
    "train": {"mlp": 2.0, "lenet": 3.0, "vgg11_quarter": 1.8, "googlenet": 1.5, "alexnet": 1.6},
    "predict": {"mlp": 1.1, "lenet": 1.8, "vgg11_quarter": 1.6, "googlenet": 1.2, "alexnet": 1.3},
    "embedded": {"mlp": 2.0, "lenet": 2.0, "vgg11_quarter": 1.5},
    "predict_one": {"mlp": 2.0, "lenet": 2.5, "vgg11_quarter": 1.5, "googlenet": 1.1, "alexnet": 1.1},
}
COMPILE_TARGETS = {"lenet": (0.25, 0.04), "googlenet": (3.0, 0.12)}  # the compiler's seconds, cold and cached
MEMORY_TARGET = 0.5  # of what PyTorch needs, eager
NEAR_ROOFLINE = 1.08  # a row is reached, too, at this multiple of the least possible time
WITH_ADAM = ("mlp", "lenet", "alexnet")
WITH_BFLOAT16 = ("mlp",)  # what reads its weights once each is bound by their bytes; the peers keep float32
WITH_ZEROS = ("mlp",)  # half of the inputs, as of Fashion-MNIST's pixels: their weights needn't be read
TOLERANCE = 2e-3  # relative, of float32 against float64
BFLOAT16_TOLERANCE = 1e-2  # of weights of 8 bits

DOTS = [(256, 256, 256), (1024, 1024, 1024), (2048, 2048, 2048), (128, 10, 784), (128, 256, 784), (128, 120, 400),
        (1, 4096, 4096), (64, 256, 1152)]
CONVOLUTIONS = [  # batch, size, channels, filters, kernel, strides, padding
    (32, 56, 64, 64, 3, 1, "same"), (32, 56, 64, 64, 1, 1, "same"), (32, 28, 128, 128, 3, 1, "same"),
    (128, 28, 1, 6, 5, 1, "valid"), (128, 12, 6, 16, 5, 1, "valid"), (16, 224, 1, 16, 3, 1, "same"),
    (16, 96, 1, 64, 7, 2, "same"),
]
ELEMENTWISE = ["exp", "tanh", "add_relu"]


def rows_of(suite, names):
    """The rows of a suite, of those networks."""
    batch_of = {name: NETWORKS[name]["batch"] for name in names}
    if suite == "train":
        for name in names:
            yield network_row("train", name, batch_of[name], "sgd")
        for name in names:
            if name in WITH_ADAM:
                yield network_row("train", name, batch_of[name], "adam")
    elif suite == "predict":
        for name in names:
            yield network_row("predict", name, batch_of[name])
        for name in names:
            yield network_row("predict", name, 1)
    elif suite == "embedded":  # Kiln's is the exported function, called from C
        for name in names:
            if name in TARGETS["embedded"]:
                row = network_row("predict", name, 1) | {"exported": True, "target": TARGETS["embedded"][name]}
                yield row
                if name in WITH_ZEROS:
                    yield row | {"row": f"{name} half zeros", "zeros": True}
                if name in WITH_BFLOAT16:
                    yield row | {"row": f"{name} bf16", "weight_storage": "bfloat16", "tolerance": BFLOAT16_TOLERANCE}
    elif suite == "scale":
        for name in names:
            for batch in (32, 128, 1024, 4096) if batch_of[name] == 128 else (4, 16, 64):
                yield network_row("predict", name, batch)
                yield network_row("train", name, batch, "sgd")
    elif suite in ("compile", "memory"):
        for name in names:
            yield network_row("train", name, batch_of[name], "sgd")
    elif suite == "kernels":
        yield from kernel_rows()


def network_row(mode, network, batch, optimizer=None):
    row = {"mode": mode, "row": network, "network": network, "batch": batch, "optimizer": optimizer}
    kind = "predict_one" if mode == "predict" and batch == 1 else mode
    if network in TARGETS[kind] and (batch == NETWORKS[network]["batch"] or kind == "predict_one"):
        row["target"] = TARGETS[kind][network]
    shapes = shapes_of(network)
    multiply_adds = 3 * shapes.multiply_adds - shapes.first_layer if mode == "train" else shapes.multiply_adds
    row["flops"] = 2 * batch * multiply_adds
    weights = 4 * sum(math.prod(shape) for layer in shapes.weights.values() for shape in layer)
    # What has to move: the input; a prediction; weights that no cache holds in, and, with the optimizer's slots, back.
    moves = 1 if mode == "predict" else 2 if optimizer == "sgd" else 6
    sample = math.prod(NETWORKS[network]["input"]) + (math.prod(shapes.result) if mode == "predict" else 0)
    row["bytes"] = 4 * batch * sample + (weights * moves if weights > CACHE_BYTES else 0)
    return row


def kernel_rows():
    for m, n, k in DOTS:
        yield {"mode": "kernel", "row": f"dot {m},{n},{k}", "op": "dot", "x": [m, k], "weights": [k, n], "target": 1.0,
               "flops": 2 * m * n * k, "bytes": 4 * (m * k + m * n + (n * k if 4 * n * k > CACHE_BYTES else 0))}
    for batch, size, channels, filters, kernel, strides, padding in CONVOLUTIONS:
        out = math.ceil(size / strides) if padding == "same" else (size - kernel) // strides + 1
        yield {"mode": "kernel", "row": f"conv {kernel}x{kernel} {size}x{size} {channels}->{filters} x{batch}" +
               (f" /{strides}" if strides > 1 else ""),
               "op": "conv", "x": [batch, size, size, channels], "weights": [kernel, kernel, channels, filters],
               "strides": strides, "padding": padding, "target": 1.0,
               "flops": 2 * batch * out * out * kernel * kernel * channels * filters,
               "bytes": 4 * batch * (size * size * channels + out * out * filters)}
    for op in ELEMENTWISE:
        yield {"mode": "kernel", "row": f"{op} 1M", "op": op, "x": [1 << 20], "flops": 0, "bytes": 8 << 20, "target": 1.0}
    for op, shape, results in (("softmax", [1024, 1000], 1024000), ("sum_rows", [1024, 1000], 1024),
                               ("sum_columns", [1024, 1000], 1000)):
        yield {"mode": "kernel", "row": f"{op} 1024,1000", "op": op, "x": shape, "flops": 0, "target": 1.0,
               "bytes": 4 * (math.prod(shape) + results)}


def roofline_ms(row, machine):
    return 1e-6 * max(row["flops"] / machine["gflops"], row["bytes"] / machine["gbytes_per_second"])
