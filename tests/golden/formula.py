"""The one formula that gives weights and data, here and in tests/support/hash_data.h, to the bit.

    u(tag, i) = top 53 bits of splitmix64(fnv1a64(tag) + (i + 1) * 0x9E3779B97F4A7C15) / 2^53      in [0, 1)

Everything that enters a model is rounded to float32 first, so that Keras in float64 and Kiln in float32 start
from the same numbers.
"""

import numpy as np


def fnv1a64(tag):
    h = 0xCBF29CE484222325
    for byte in tag.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    return h


def uniform(tag, shape):
    """u(tag, 0), u(tag, 1), ... as an array of float64."""
    n = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(tag)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)


def float32(values):
    """Rounded to float32, kept as float64."""
    return values.astype(np.float32).astype(np.float64)


def signed(tag, shape, scale=1.0):
    """float32(scale * (2u - 1))"""
    return float32(scale * (2 * uniform(tag, shape) - 1))


def labels(tag, n, classes):
    """floor(classes * u)"""
    return np.floor(classes * uniform(tag, (n,))).astype(np.int32)


def glorot(tag, shape):
    """float32(limit * (2u - 1)), limit = sqrt(6 / (fan_in + fan_out)); a kernel's shape ends in (in, out)."""
    receptive = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (receptive * shape[-2] + receptive * shape[-1]))
    return signed(tag, shape, limit)


def describe_update(update, small, sample, projections):
    """What is stored of an update w_t - w_0: all of it, or of one larger than `small` a sample; its norm, and so many
    random projections."""
    flat = update.ravel()
    stored = update
    if flat.size > small:
        stored = flat[np.floor(uniform("sample", (sample,)) * flat.size).astype(np.int64)]
    projected = [np.dot(2 * uniform(f"projection/{j}", flat.shape) - 1, flat) for j in range(projections)]
    return {"update": stored.astype(np.float32), "norm": np.array(np.linalg.norm(flat)),
            "projections": np.array(projected)}
