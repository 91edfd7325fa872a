"""Targets and predictions of the losses' and metrics' cases: kinds by name, by the formula of formula.py. The twin
of tests/api/data_kinds.h."""

from formula import float32, labels, signed, uniform

import numpy as np


def rows(shape):
    return int(np.prod(shape[:-1]))


def one_hot(numbers, classes):
    return np.eye(classes)[numbers]


def normalized(values):
    return values / np.sum(values, axis=-1, keepdims=True)


KINDS = {
    "signed": lambda tag, shape: signed(tag, shape),
    "wide": lambda tag, shape: signed(tag, shape, 8),
    "small": lambda tag, shape: signed(tag, shape, 1e-3),
    "logits": lambda tag, shape: signed(tag, shape, 6),
    "large_logits": lambda tag, shape: signed(tag, shape, 100),
    "uniform": lambda tag, shape: float32(uniform(tag, shape)),
    "positive": lambda tag, shape: float32(3 * uniform(tag, shape)),
    "probabilities": lambda tag, shape: float32(0.02 + 0.96 * uniform(tag, shape)),
    "distribution": lambda tag, shape: float32(normalized(uniform(tag, shape))),
    # 0, 1/4, ..., 1: the ends of the range, and ties with thresholds and among themselves
    "quarters": lambda tag, shape: np.floor(5 * uniform(tag, shape)) / 4,
    # the same without 1: f32's largest number below 1 is further from 1 than the 1e-7 that crossentropies keep
    "low_quarters": lambda tag, shape: np.floor(4 * uniform(tag, shape)) / 4,
    "zeros": lambda tag, shape: np.zeros(shape),
    "binary": lambda tag, shape: labels(tag, int(np.prod(shape)), 2).reshape(shape).astype(np.float64),
    "plus_minus": lambda tag, shape: 2.0 * labels(tag, int(np.prod(shape)), 2).reshape(shape) - 1,
    "one_hot": lambda tag, shape: one_hot(labels(tag, rows(shape), shape[-1]), shape[-1]).reshape(shape),
    # class numbers: those of the last axis
    "labels": lambda tag, shape: labels(tag, rows(shape), shape[-1]).reshape(shape[:-1]),
    "labels_column": lambda tag, shape: labels(tag, rows(shape), shape[-1]).reshape(shape[:-1] + (1,)),
    # a class number, as large as the last axis's size, in the shape itself
    "classes": lambda tag, shape: labels(tag, int(np.prod(shape)), shape[-1]).reshape(shape),
    # class numbers of which a third is -1
    "gaps": lambda tag, shape: np.where(uniform(f"{tag}/gaps", (rows(shape),)) < 1 / 3, -1,
                                        labels(tag, rows(shape), shape[-1])).reshape(shape[:-1]),
}


def data(kind, tag, shape):
    return KINDS[kind](tag, tuple(shape))
