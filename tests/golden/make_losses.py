"""Values and gradients of real Keras's losses in float64, and their configurations.

Writes losses.safetensors (numbers) and losses.json (what they are of); README.md in this folder explains both. Run
by ./dev golden.
"""

from layer_cases import Cases  # before keras

from data_kinds import data
from formula import float32, uniform

import jax
import keras
from jax import numpy as jnp

cases = Cases()
index = {"losses": [], "configs": []}
names = set()


def make(kind, config):
    arguments = {key: tuple(value) if key == "axis" and isinstance(value, list) else value
                 for key, value in config.items()}
    return getattr(keras.losses, kind)(**arguments)


def loss(kind, config, shape, y_true, y_pred, weights=None):
    """The loss of y_pred and its gradient. `weights`: the shape of the samples' weights."""
    name = "_".join(["loss", kind, str(len(names))])
    names.add(name)
    made = make(kind, config)
    true, pred = data(y_true, f"{name}/y_true", shape), data(y_pred, f"{name}/y_pred", shape)
    sample_weight = None if weights is None else float32(uniform(f"{name}/sample_weight", weights))

    def value(p):
        return made(true, p, sample_weight=sample_weight)

    cases.store(f"{name}/value", value(pred))
    cases.store(f"{name}/y_pred/gradient", jax.grad(lambda p: jnp.sum(value(p)))(pred))
    index["losses"].append({"name": name, "loss": kind, "config": config, "shape": shape, "y_true": y_true,
                            "y_pred": y_pred, "sample_weight": weights})


REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none")


def sweep(kind, config, y_true, y_pred, shape=(6, 4), deep=(2, 3, 4)):
    """Reductions, weights and ranks for one set of arguments."""
    for reduction in REDUCTIONS:
        for weights in (None, shape[:1]):
            loss(kind, {**config, "reduction": reduction}, shape, y_true, y_pred, weights)
    if deep:
        loss(kind, config, deep, y_true, y_pred)
        loss(kind, config, deep, y_true, y_pred, weights=deep[:2])


def few(kind, config, y_true, y_pred, shape=(6, 4), deep=(2, 3, 4)):
    """The same, but less of it."""
    loss(kind, config, shape, y_true, y_pred)
    loss(kind, config, shape, y_true, y_pred, weights=shape[:1])
    if deep:
        loss(kind, config, deep, y_true, y_pred)


def regression():
    for kind in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "LogCosh", "Huber",
                 "CosineSimilarity"):
        sweep(kind, {}, "signed", "signed")
        few(kind, {}, "wide", "wide")
    sweep("MeanSquaredLogarithmicError", {}, "positive", "positive")
    few("MeanSquaredLogarithmicError", {}, "quarters", "quarters")
    few("MeanSquaredLogarithmicError", {}, "positive", "wide")
    few("MeanAbsolutePercentageError", {}, "quarters", "signed")
    few("LogCosh", {}, "zeros", "small")
    few("LogCosh", {}, "zeros", "large_logits")
    few("LogCosh", {}, "quarters", "quarters")
    few("MeanAbsoluteError", {}, "quarters", "signed")
    for delta in (0.25, 3.0):
        few("Huber", {"delta": delta}, "wide", "wide")
    few("CosineSimilarity", {}, "zeros", "signed")
    loss("CosineSimilarity", {"axis": 1}, (2, 3, 4), "signed", "signed")
    loss("CosineSimilarity", {"axis": -2}, (2, 3, 4), "signed", "signed", weights=(2, 4))


def binary():
    for from_logits, y_pred in ((False, "probabilities"), (True, "logits")):
        flag = {"from_logits": from_logits}
        sweep("BinaryCrossentropy", flag, "binary", y_pred)
        few("BinaryCrossentropy", flag, "uniform", y_pred)
        few("BinaryCrossentropy", flag, "binary", y_pred, (6, 1), None)
        for smoothing in (0.1, 0.2, 1.0):
            few("BinaryCrossentropy", {**flag, "label_smoothing": smoothing}, "binary", y_pred)
        loss("BinaryCrossentropy", {**flag, "axis": 1}, (2, 3, 4), "binary", y_pred)
        sweep("BinaryFocalCrossentropy", flag, "binary", y_pred)
        few("BinaryFocalCrossentropy", flag, "uniform", y_pred)
        for gamma in (0.0, 0.5, 1.0, 1.5, 3.0):
            few("BinaryFocalCrossentropy", {**flag, "gamma": gamma}, "binary", y_pred)
        for alpha in (0.0, 0.25, 0.7, 1.0):
            few("BinaryFocalCrossentropy", {**flag, "alpha": alpha, "apply_class_balancing": True}, "binary", y_pred)
        few("BinaryFocalCrossentropy", {**flag, "label_smoothing": 0.2}, "binary", y_pred)
        loss("BinaryFocalCrossentropy", {**flag, "axis": 1}, (2, 3, 4), "binary", y_pred)
    few("BinaryCrossentropy", {"from_logits": True}, "binary", "large_logits")
    few("BinaryFocalCrossentropy", {"from_logits": True}, "binary", "large_logits")
    few("BinaryCrossentropy", {}, "binary", "low_quarters")
    few("BinaryFocalCrossentropy", {}, "binary", "low_quarters")
    sweep("KLDivergence", {}, "distribution", "distribution")
    few("KLDivergence", {}, "one_hot", "distribution")
    few("KLDivergence", {}, "uniform", "probabilities")
    few("KLDivergence", {}, "one_hot", "zeros")
    sweep("Poisson", {}, "positive", "positive")
    few("Poisson", {}, "quarters", "positive")
    few("Poisson", {}, "positive", "zeros")


def categorical():
    for from_logits, y_pred in ((False, "distribution"), (True, "logits")):
        flag = {"from_logits": from_logits}
        for kind in ("CategoricalCrossentropy", "CategoricalFocalCrossentropy"):
            sweep(kind, flag, "one_hot", y_pred)
            few(kind, flag, "distribution", y_pred)
            few(kind, {**flag, "label_smoothing": 0.1}, "one_hot", y_pred)
            loss(kind, {**flag, "axis": 1}, (2, 3, 4), "distribution", y_pred)
            loss(kind, {**flag, "axis": -2}, (2, 3, 4), "distribution", y_pred, weights=(2, 4))
        for gamma in (0.0, 0.5, 1.0, 3.0):
            few("CategoricalFocalCrossentropy", {**flag, "gamma": gamma}, "one_hot", y_pred)
        for alpha in (0.0, 0.6, [0.1, 0.2, 0.3, 0.4]):
            few("CategoricalFocalCrossentropy", {**flag, "alpha": alpha}, "one_hot", y_pred)
        sweep("SparseCategoricalCrossentropy", flag, "labels", y_pred)
        few("SparseCategoricalCrossentropy", flag, "labels_column", y_pred)
        sweep("SparseCategoricalCrossentropy", {**flag, "ignore_class": -1}, "gaps", y_pred, (8, 4), (3, 4, 5))
        few("SparseCategoricalCrossentropy", {**flag, "ignore_class": 2}, "labels", y_pred, (8, 4))
        # Keras on JAX wants as many classes as there are elements on the last axis, if it isn't that of the classes.
        loss("SparseCategoricalCrossentropy", {**flag, "axis": 1}, (3, 4, 4), "labels", y_pred)
        loss("SparseCategoricalCrossentropy", {**flag, "axis": -2}, (3, 4, 4), "labels", y_pred, weights=(3, 4))
    few("CategoricalCrossentropy", {}, "one_hot", "probabilities")
    few("CategoricalFocalCrossentropy", {}, "one_hot", "probabilities")
    for kind, y_true in (("CategoricalCrossentropy", "one_hot"), ("SparseCategoricalCrossentropy", "labels")):
        few(kind, {"from_logits": True}, y_true, "large_logits")
    sweep("CategoricalGeneralizedCrossEntropy", {}, "labels", "distribution")
    for q in (0.1, 0.7, 0.9):
        few("CategoricalGeneralizedCrossEntropy", {"q": q}, "labels", "distribution")


def margins():
    for kind in ("Hinge", "SquaredHinge"):
        sweep(kind, {}, "plus_minus", "signed")
        few(kind, {}, "binary", "signed")
        few(kind, {}, "plus_minus", "wide")
        few(kind, {}, "signed", "wide")
    sweep("CategoricalHinge", {}, "one_hot", "signed")
    few("CategoricalHinge", {}, "one_hot", "wide")
    few("CategoricalHinge", {}, "distribution", "distribution")
    for kind in ("Dice", "Tversky"):
        sweep(kind, {}, "binary", "probabilities", deep=None)
        loss(kind, {}, (2, 3, 4), "binary", "probabilities")
        for axis, weights in ((-1, (2, 3)), (1, (2, 4)), ([1, 2], (2,))):
            loss(kind, {"axis": axis}, (2, 3, 4), "binary", "probabilities")
            loss(kind, {"axis": axis}, (2, 3, 4), "binary", "probabilities", weights)
        few(kind, {"axis": -1}, "binary", "quarters", (5, 3), None)
        few(kind, {"axis": -1}, "zeros", "zeros", (5, 3), None)
    for alpha, beta in ((0.3, 0.7), (1.0, 0.0), (2.0, 2.0)):
        few("Tversky", {"alpha": alpha, "beta": beta}, "binary", "probabilities", deep=None)
        loss("Tversky", {"alpha": alpha, "beta": beta, "axis": [1, 2]}, (2, 3, 4), "binary", "probabilities")


def configs():
    """What get_config gives for these arguments. `forgotten`: those that Keras's doesn't have."""
    named = {"reduction": "sum", "name": "mine"}
    arguments = {
        "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.1, "axis": 1},
        "BinaryFocalCrossentropy": {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "from_logits": True,
                                    "label_smoothing": 0.1, "axis": 1},
        "CategoricalCrossentropy": {"from_logits": True, "label_smoothing": 0.1, "axis": 1},
        "CategoricalFocalCrossentropy": {"alpha": [0.1, 0.9], "gamma": 1.5, "from_logits": True,
                                         "label_smoothing": 0.1, "axis": 1},
        "CategoricalGeneralizedCrossEntropy": {"q": 0.25},
        "CosineSimilarity": {"axis": 1},
        "Dice": {"axis": [1, 2]},
        "Huber": {"delta": 2.5},
        "SparseCategoricalCrossentropy": {"from_logits": True, "ignore_class": 255, "axis": 1},
        "Tversky": {"alpha": 0.25, "beta": 0.75, "axis": 2},
    }
    plain = ("CategoricalHinge", "Hinge", "KLDivergence", "LogCosh", "MeanAbsoluteError", "MeanAbsolutePercentageError",
             "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "SquaredHinge")
    for kind in sorted({*arguments, *plain}):
        for given in ({}, {**named, **arguments.get(kind, {})}):
            config = keras.losses.serialize(make(kind, given))["config"]
            index["configs"].append({"name": f"{kind}{len(index['configs'])}", "class_name": kind, "given": given,
                                     "config": config, "forgotten": sorted(set(given) - set(config))})


if __name__ == "__main__":
    for part in (regression, binary, categorical, margins, configs):
        part()
    cases.save("losses", **index)
