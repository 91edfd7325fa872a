"""PyTorch, eager or through torch.compile (--compile), channels last; --reference computes in float64."""

import itertools
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from common import (NETWORKS, THREADS, Walk, channels_first_kernels, kernel_weights, same, serve, statistics_of,
                    weights_of)

COMPILE, REFERENCE = "--compile" in sys.argv, "--reference" in sys.argv
ACTIVATIONS = {None: lambda x: x, "relu": F.relu, "sigmoid": torch.sigmoid, "gelu": F.gelu}
torch.set_num_threads(THREADS)


class Ops:
    def __init__(self, weights, statistics, training, dropout):
        self.weights, self.statistics, self.training, self.enabled = weights, statistics, training, dropout

    def conv(self, x, name, filters, kernel, strides, padding, activation, bias):
        pad = 0
        if padding == "same":
            before, after = same(x.shape[2], kernel, strides)
            if before == after:
                pad = before
            else:
                x = F.pad(x, (before, after, before, after))
        return ACTIVATIONS[activation](F.conv2d(x, *self.weights[name], stride=strides, padding=pad))

    def conv_transpose(self, x, name, filters, kernel, strides, activation):
        size = x.shape[2] * strides
        before, _ = same(size, kernel, strides)
        y = F.conv_transpose2d(x, *self.weights[name], stride=strides)
        return ACTIVATIONS[activation](y[:, :, before : before + size, before : before + size])

    def dense(self, x, name, units, activation):
        return ACTIVATIONS[activation](F.linear(x, *self.weights[name]))

    def batch_norm(self, x, name, activation):
        y = F.batch_norm(x, *self.statistics[name], *self.weights[name], self.training, momentum=0.01, eps=1e-3)
        return ACTIVATIONS[activation](y)

    def layer_norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], *self.weights[name], eps=1e-3)

    def attention(self, x, project, output, width, heads, rate):
        qkv = self.dense(x, project, 3 * width, None).unflatten(-1, (3, heads, -1))
        y = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4), dropout_p=rate if self.enabled else 0)
        return self.dense(y.transpose(1, 2).flatten(2), output, width, None)

    def positions(self, x, name):
        return x + self.weights[name][0]

    def max_pool(self, x, size, strides, padding):
        before, after = same(x.shape[2], size, strides) if padding == "same" else (0, 0)
        # One more at the end is what ceil_mode leaves out of the window.
        return F.max_pool2d(x, size, strides, before, ceil_mode=after > before)

    def concatenate(self, xs):
        return torch.cat(xs, 1)

    def add(self, a, b, activation):
        return ACTIVATIONS[activation](a + b)

    def flatten(self, x):
        return x.flatten(1)

    def reshape(self, x, shape):
        x = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(-1, *shape)
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else x

    def global_average_pool(self, x):
        return x.mean((2, 3))

    def average_tokens(self, x):
        return x.mean(1)

    def dropout(self, x, rate):
        return F.dropout(x, rate, self.enabled)


def allocated_bytes(step):
    """The most that PyTorch's allocator has given out at a time during a step. From outside it can't be seen: malloc
    keeps what was freed, and the kernel counts a process's pages in coarse steps."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        step()
    events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda e: e.start_ns())
    in_use = most = 0
    for event in events:
        in_use += event.nbytes()
        most = max(most, in_use)
    return most


def prepare_kernel(row):
    dtype = torch.float64 if REFERENCE else torch.float32
    op, weights = row["op"], kernel_weights(row)
    if weights is not None:
        weights = torch.from_numpy(weights).to(dtype)

    def conv(x):
        x, pad = x.permute(0, 3, 1, 2), 0
        if row["padding"] == "same":
            before, after = same(x.shape[2], weights.shape[2], row["strides"])
            if before == after:
                pad = before
            else:
                x = F.pad(x, (before, after, before, after))
        return F.conv2d(x, weights, None, row["strides"], pad).permute(0, 2, 3, 1)

    if op == "conv":
        weights = weights.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    kernel = {
        "dot": lambda x: x @ weights, "conv": conv, "exp": torch.exp, "tanh": torch.tanh,
        "add_relu": lambda x: torch.clamp_min(x + 0.5, 1), "softmax": lambda x: torch.softmax(x, -1),
        "sum_rows": lambda x: x.sum(1), "sum_columns": lambda x: x.sum(0),
    }[op]
    if COMPILE:
        kernel = torch.compile(kernel)

    def step(x, y):
        with torch.inference_mode():
            return kernel(torch.from_numpy(x).to(dtype)).numpy()

    return step


def prepare(row):
    if row["mode"] == "kernel":
        return prepare_kernel(row)
    torch.manual_seed(0)
    network = NETWORKS[row["network"]]
    training = row["mode"] == "train"
    dtype = torch.float64 if REFERENCE else torch.float32
    weights = {}
    for name, (kernel, *bias) in channels_first_kernels(row["network"], weights_of(row["network"])).items():
        w = torch.from_numpy(kernel).to(dtype)
        if w.ndim == 4:
            w = w.contiguous(memory_format=torch.channels_last)
        elif w.ndim == 2 and bias:  # of a dense layer
            w = w.T.contiguous()
        weights[name] = tuple(t.requires_grad_(training) for t in (w, *(torch.from_numpy(b).to(dtype) for b in bias)))
    statistics = {name: [torch.from_numpy(a).to(dtype) for a in pair]
                  for name, pair in statistics_of(row["network"]).items()}

    def forward(x):
        return Walk(Ops(weights, statistics, training, row["dropout"])).run(network["layers"], x)

    def to_torch(x):
        x = torch.from_numpy(x).to(dtype)
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else x  # NHWC memory is channels_last

    if not training:
        if COMPILE:
            forward = torch.compile(forward)

        def predict(x, y):
            with torch.inference_mode():
                return forward(to_torch(x)).numpy()

        return predict

    parameters = [t for layer in weights.values() for t in layer]
    if row["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(parameters, lr=0.01, foreach=True)
    else:
        optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-7, foreach=True)

    def loss_of(x, y):
        return F.mse_loss(forward(x), x) if network.get("loss") == "mse" else F.cross_entropy(forward(x), y)

    if COMPILE:
        loss_of = torch.compile(loss_of)

    steps = itertools.count(1)

    def step(x, y):
        loss = loss_of(to_torch(x), torch.from_numpy(y).long())
        loss.backward()
        if row["optimizer"] == "adam":  # Keras adds epsilon to the root before its bias is corrected, PyTorch after
            optimizer.param_groups[0]["eps"] = 1e-7 / math.sqrt(1 - 0.999 ** next(steps))
        optimizer.step()
        optimizer.zero_grad()  # here, so that between the steps no gradients take memory
        return loss.item()

    return step


serve(prepare, allocated_bytes)
