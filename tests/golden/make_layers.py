"""Values and gradients of real Keras's layers, activations, losses, metrics and initializers, in float64.

Writes layers.safetensors (numbers) and layers.json (what they are of); README.md in this folder explains both. Run
by ./dev golden.
"""

from layer_cases import Cases  # before keras

from formula import float32, labels, signed, uniform

import jax
import keras
import numpy as np

cases = Cases()
layer, store = cases.layer, cases.store
index = {"losses": [], "metrics": [], "initializers": [], "formula": []}


# ---- layers ----------------------------------------------------------------------------------------------------


def layers():
    layer("dense", "Dense", {"units": 5}, (3, 7))
    layer("dense_no_bias", "Dense", {"units": 4, "use_bias": False}, (5, 3))
    layer("dense_relu", "Dense", {"units": 6, "activation": "relu"}, (4, 9))
    layer("dense_softmax", "Dense", {"units": 6, "activation": "softmax"}, (4, 9))
    layer("dense_rank3", "Dense", {"units": 3}, (2, 4, 5))
    layer("dense_rank4", "Dense", {"units": 2, "activation": "tanh"}, (2, 3, 2, 4))

    conv = {"filters": 3, "kernel_size": [3, 3]}
    image = (2, 7, 6, 2)
    for padding in ("valid", "same"):
        layer(f"conv_{padding}", "Conv2D", {**conv, "padding": padding}, image)
        for stride in (2, 3):
            layer(f"conv_{padding}_stride{stride}", "Conv2D", {**conv, "padding": padding, "strides": [stride, stride]},
                  image)
        layer(f"conv_{padding}_dilation2", "Conv2D", {**conv, "padding": padding, "dilation_rate": [2, 2]}, image)
        layer(f"conv_{padding}_groups", "Conv2D", {**conv, "filters": 6, "padding": padding, "groups": 2},
              (2, 6, 5, 4))
        layer(f"conv_{padding}_even_kernel", "Conv2D", {"filters": 2, "kernel_size": [2, 4], "padding": padding}, image)
        layer(f"conv_{padding}_uneven_stride", "Conv2D",
              {"filters": 2, "kernel_size": [3, 2], "strides": [1, 2], "padding": padding}, image)
    layer("conv_uneven_dilation", "Conv2D", {**conv, "padding": "same", "dilation_rate": [1, 3]}, (1, 8, 9, 1))
    layer("conv_depthwise", "Conv2D", {"filters": 4, "kernel_size": [3, 3], "groups": 4, "padding": "same"}, (2, 5, 5, 4))
    layer("conv_1x1", "Conv2D", {"filters": 5, "kernel_size": [1, 1]}, (2, 4, 3, 3))
    layer("conv_1x1_stride2", "Conv2D", {"filters": 2, "kernel_size": [1, 1], "strides": [2, 2]}, (2, 5, 5, 3))
    layer("conv_kernel_as_image", "Conv2D", {"filters": 3, "kernel_size": [5, 4]}, (2, 5, 4, 2))
    layer("conv_kernel_above_image_same", "Conv2D", {"filters": 2, "kernel_size": [7, 7], "padding": "same"},
          (1, 3, 4, 2))
    layer("conv_stride_above_kernel", "Conv2D",
          {"filters": 2, "kernel_size": [2, 2], "strides": [3, 3], "padding": "same"}, (1, 8, 7, 2))
    layer("conv_sigmoid_no_bias", "Conv2D", {**conv, "use_bias": False, "activation": "sigmoid"}, image)

    for kind in ("MaxPooling2D", "AveragePooling2D"):
        short = "max" if kind[0] == "M" else "average"
        layer(f"{short}_pool", kind, {"pool_size": [2, 2]}, (2, 6, 4, 3))
        layer(f"{short}_pool_odd", kind, {"pool_size": [2, 2]}, (2, 7, 5, 2))
        layer(f"{short}_pool_same", kind, {"pool_size": [2, 2], "padding": "same"}, (2, 7, 5, 2))
        layer(f"{short}_pool_overlap", kind, {"pool_size": [3, 3], "strides": [1, 1]}, (1, 6, 5, 2))
        layer(f"{short}_pool_overlap_same", kind, {"pool_size": [3, 3], "strides": [2, 2], "padding": "same"},
              (2, 6, 7, 2))
        layer(f"{short}_pool_uneven", kind, {"pool_size": [3, 2], "strides": [2, 1], "padding": "same"}, (1, 5, 6, 2))
        layer(f"{short}_pool_gaps", kind, {"pool_size": [2, 2], "strides": [3, 3]}, (1, 8, 8, 1))
    layer("max_pool_ties", "MaxPooling2D", {"pool_size": [2, 2]}, (2, 6, 6, 2), inputs="ties")
    layer("max_pool_overlap_ties", "MaxPooling2D", {"pool_size": [3, 3], "strides": [1, 1]}, (1, 6, 6, 2),
          inputs="ties")
    layer("global_average", "GlobalAveragePooling2D", {}, (2, 5, 4, 3))
    layer("global_average_keepdims", "GlobalAveragePooling2D", {"keepdims": True}, (2, 5, 4, 3))

    layer("flatten", "Flatten", {}, (2, 3, 4, 2))
    layer("reshape", "Reshape", {"target_shape": [4, -1]}, (2, 3, 8))
    layer("permute", "Permute", {"dims": [3, 1, 2]}, (2, 3, 4, 5))
    layer("repeat_vector", "RepeatVector", {"n": 3}, (2, 5))
    layer("identity", "Identity", {}, (2, 3, 2))
    layer("leaky_relu", "LeakyReLU", {}, (3, 20), inputs="wide")
    layer("leaky_relu_slope", "LeakyReLU", {"negative_slope": 0.05}, (3, 20), inputs="wide")
    layer("elu", "ELU", {}, (3, 20), inputs="wide")
    layer("elu_zeros", "ELU", {"alpha": 0.5}, (3, 20), inputs="zeros")
    layer("relu_slope_zeros", "ReLU", {"negative_slope": 0.25}, (3, 20), inputs="zeros")
    layer("prelu", "PReLU", {}, (3, 4, 5), inputs="wide")
    layer("prelu_shared", "PReLU", {"shared_axes": [1, 2]}, (3, 4, 5, 2), inputs="wide")
    layer("prelu_zeros", "PReLU", {}, (3, 12), inputs="zeros")
    layer("elu_alpha", "ELU", {"alpha": 0.5}, (3, 20), inputs="wide")
    layer("rescaling", "Rescaling", {"scale": 0.25, "offset": -1.5}, (2, 3, 4))
    layer("add", "Add", {}, (2, 3, 4), (2, 3, 4), (2, 3, 4))
    for kind in ("Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        more = () if kind == "Subtract" else ((2, 3, 4),)
        layer(kind.lower(), kind, {}, (2, 3, 4), (2, 3, 4), *more)
        layer(f"{kind.lower()}_broadcast", kind, {}, (2, 3, 1), (2, 1, 4))
    layer("maximum_ties", "Maximum", {}, (2, 12), (2, 12), inputs="ties")
    layer("multiply_ranks", "Multiply", {}, (2, 3, 4), (2, 4))
    layer("concatenate", "Concatenate", {}, (2, 3, 4), (2, 3, 1))
    layer("concatenate_axis1", "Concatenate", {"axis": 1}, (2, 3, 4), (2, 2, 4))
    layer("softmax", "Softmax", {}, (3, 5))
    layer("softmax_axis1", "Softmax", {"axis": 1}, (2, 4, 3))
    layer("relu", "ReLU", {}, (3, 20), inputs="wide")
    layer("relu_arguments", "ReLU", {"max_value": 5.0, "negative_slope": 0.1, "threshold": 1.0}, (3, 20),
          inputs="wide")
    for activation in ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "softsign", "silu", "gelu",
                       "tanh", "sigmoid", "log_sigmoid", "hard_sigmoid", "exponential", "mish", "softmax",
                       "log_softmax", "celu", "squareplus", "hard_silu", "hard_tanh", "hard_shrink", "soft_shrink",
                       "tanh_shrink", "sparse_plus", "sparse_sigmoid"):
        layer(f"activation_{activation}", "Activation", {"activation": activation}, (4, 25), inputs="wide")
    layer("activation_glu", "Activation", {"activation": "glu"}, (4, 6), inputs="wide")
    for activation in ("relu", "leaky_relu", "elu", "selu", "celu", "softplus", "softsign", "gelu", "hard_shrink"):
        layer(f"activation_{activation}_zeros", "Activation", {"activation": activation}, (4, 6), inputs="zeros")
    for activation, arguments in (("relu", {"negative_slope": 0.25}), ("relu", {"max_value": 3.0, "threshold": 1.0}),
                                  ("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 0.5}),
                                  ("celu", {"alpha": 2.0}), ("squareplus", {"b": 1.0}), ("gelu", {"approximate": True}),
                                  ("hard_shrink", {"threshold": 2.0}), ("soft_shrink", {"threshold": 2.0}),
                                  ("threshold", {"threshold": 1.0, "default_value": -2.0}), ("glu", {"axis": 0}),
                                  ("softmax", {"axis": 0}), ("log_softmax", {"axis": 1})):
        layer("_".join(["activation", activation, *arguments]), "Activation",
              {"activation": activation, "arguments": arguments}, (4, 6), inputs="wide")


# ---- losses ----------------------------------------------------------------------------------------------------


def loss(name, kind, config, shape, y_true, y_pred, weights=False):
    """The reduced loss of y_pred, and its gradient."""
    made = getattr(keras.losses, kind)(**config)
    classes = shape[-1]
    true = {
        "signed": lambda tag: signed(tag, shape),
        "binary": lambda tag: labels(tag, int(np.prod(shape)), 2).reshape(shape).astype(np.float64),
        "one_hot": lambda tag: np.eye(classes)[labels(tag, int(np.prod(shape[:-1])), classes)].reshape(shape),
        "distribution": lambda tag: float32(normalized(uniform(tag, shape))),
        "labels": lambda tag: labels(tag, int(np.prod(shape[:-1])), classes).reshape(shape[:-1]),
    }[y_true](f"{name}/y_true")
    pred = {
        "signed": lambda tag: signed(tag, shape),
        "logits": lambda tag: signed(tag, shape, 6),
        "large_logits": lambda tag: signed(tag, shape, 100),
        "probabilities": lambda tag: float32(0.02 + 0.96 * uniform(tag, shape)),
        "distribution": lambda tag: float32(normalized(uniform(tag, shape))),
    }[y_pred](f"{name}/y_pred")
    sample_weight = float32(uniform(f"{name}/sample_weight", shape[:1])) if weights else None
    value, gradient = jax.value_and_grad(lambda p: made(true, p, sample_weight=sample_weight))(pred)
    store(f"{name}/value", value)
    store(f"{name}/y_pred/gradient", gradient)
    index["losses"].append({"name": name, "loss": kind, "config": config, "shape": shape, "y_true": y_true,
                            "y_pred": y_pred, "sample_weight": weights})


def normalized(values):
    return values / np.sum(values, axis=-1, keepdims=True)


def losses():
    for kind, name in (("MeanSquaredError", "mse"), ("MeanAbsoluteError", "mae")):
        loss(name, kind, {}, (5, 3), "signed", "signed")
        loss(f"{name}_weighted", kind, {}, (5, 3), "signed", "signed", weights=True)
        loss(f"{name}_sum", kind, {"reduction": "sum"}, (4, 2), "signed", "signed", weights=True)
        loss(f"{name}_mean_with_sample_weight", kind, {"reduction": "mean_with_sample_weight"}, (4, 2), "signed",
             "signed", weights=True)
        loss(f"{name}_rank3", kind, {}, (3, 4, 2), "signed", "signed")
    for from_logits in (False, True):
        suffix = "_logits" if from_logits else ""
        flag = {"from_logits": from_logits}
        binary = "logits" if from_logits else "probabilities"
        classes = "logits" if from_logits else "distribution"
        loss(f"binary{suffix}", "BinaryCrossentropy", flag, (6, 3), "binary", binary)
        loss(f"binary{suffix}_one", "BinaryCrossentropy", flag, (6, 1), "binary", binary, weights=True)
        loss(f"binary{suffix}_smoothing", "BinaryCrossentropy", {**flag, "label_smoothing": 0.2}, (6, 3), "binary",
             binary)
        loss(f"categorical{suffix}", "CategoricalCrossentropy", flag, (6, 4), "one_hot", classes)
        loss(f"categorical{suffix}_soft", "CategoricalCrossentropy", flag, (6, 4), "distribution", classes,
             weights=True)
        loss(f"categorical{suffix}_smoothing", "CategoricalCrossentropy", {**flag, "label_smoothing": 0.1}, (6, 4),
             "one_hot", classes)
        loss(f"categorical{suffix}_rank3", "CategoricalCrossentropy", flag, (2, 3, 4), "one_hot", classes)
        loss(f"sparse{suffix}", "SparseCategoricalCrossentropy", flag, (6, 4), "labels", classes)
        loss(f"sparse{suffix}_weighted", "SparseCategoricalCrossentropy", flag, (6, 4), "labels", classes, weights=True)
        loss(f"sparse{suffix}_sum", "SparseCategoricalCrossentropy", {**flag, "reduction": "sum"}, (6, 4), "labels",
             classes)
        loss(f"sparse{suffix}_rank3", "SparseCategoricalCrossentropy", flag, (2, 3, 4), "labels", classes)
    loss("categorical_unnormalized", "CategoricalCrossentropy", {}, (6, 4), "one_hot", "probabilities")
    loss("binary_large_logits", "BinaryCrossentropy", {"from_logits": True}, (6, 3), "binary", "large_logits")
    loss("categorical_large_logits", "CategoricalCrossentropy", {"from_logits": True}, (6, 4), "one_hot",
         "large_logits")
    loss("sparse_large_logits", "SparseCategoricalCrossentropy", {"from_logits": True}, (6, 4), "labels",
         "large_logits")


# ---- metrics ---------------------------------------------------------------------------------------------------


def metric(name, metric_name, shape, y_true, weights=False):
    """compile(metrics=[metric_name]) or, weighted, compile(weighted_metrics=[...]), over three batches of two."""
    batch = (6,) + shape
    model = keras.Sequential([keras.layers.Input(shape), keras.layers.Activation("linear")])
    key = "weighted_metrics" if weights else "metrics"
    losses = {"labels": "sparse_categorical_crossentropy", "one_hot": "categorical_crossentropy",
              "binary": "binary_crossentropy", "signed": "mse"}
    model.compile(loss=losses[y_true], **{key: [metric_name]})
    classes = shape[-1]
    true = {
        "labels": lambda tag: labels(tag, 6, classes),
        "one_hot": lambda tag: np.eye(classes)[labels(tag, 6, classes)],
        "binary": lambda tag: labels(tag, int(np.prod(batch)), 2).reshape(batch),
        "signed": lambda tag: signed(tag, batch),
    }[y_true](f"{name}/y_true")
    pred = float32(uniform(f"{name}/y_pred", batch))
    sample_weight = float32(uniform(f"{name}/sample_weight", (6,))) if weights else None
    result = model.evaluate(pred, true, batch_size=2, sample_weight=sample_weight, verbose=0, return_dict=True)
    (key,) = set(result) - {"loss"}
    store(f"{name}/loss", result["loss"])
    store(f"{name}/result", result[key])
    index["metrics"].append({"name": name, "metric": metric_name, "key": key, "shape": shape, "y_true": y_true,
                             "loss": losses[y_true], "sample_weight": weights})


def metrics():
    for weights in (False, True):
        suffix = "_weighted" if weights else ""
        metric(f"accuracy_sparse{suffix}", "accuracy", (4,), "labels", weights)
        metric(f"accuracy_categorical{suffix}", "accuracy", (4,), "one_hot", weights)
        metric(f"accuracy_binary{suffix}", "accuracy", (1,), "binary", weights)
        metric(f"accuracy_binary_several{suffix}", "accuracy", (3,), "binary", weights)
        metric(f"metric_binary_accuracy{suffix}", "binary_accuracy", (3,), "binary", weights)
        metric(f"metric_categorical_accuracy{suffix}", "categorical_accuracy", (4,), "one_hot", weights)
        metric(f"metric_sparse_accuracy{suffix}", "sparse_categorical_accuracy", (4,), "labels", weights)
        metric(f"metric_mse{suffix}", "mse", (3,), "signed", weights)
        metric(f"metric_mae{suffix}", "mae", (3,), "signed", weights)


# ---- initializers ----------------------------------------------------------------------------------------------


def initializers():
    """Mean, standard deviation, least and largest of a million values of each initializer."""
    cases = [("RandomNormal", {}), ("RandomNormal", {"mean": 1.0, "stddev": 0.5}), ("RandomUniform", {}),
             ("RandomUniform", {"minval": -1.0, "maxval": 2.0}), ("TruncatedNormal", {}),
             ("TruncatedNormal", {"mean": 1.0, "stddev": 0.5}), ("GlorotUniform", {}), ("GlorotNormal", {}),
             ("HeUniform", {}), ("HeNormal", {}), ("LecunUniform", {}), ("LecunNormal", {})]
    for mode in ("fan_in", "fan_out", "fan_avg"):
        for distribution in ("truncated_normal", "untruncated_normal", "uniform"):
            cases.append(("VarianceScaling", {"scale": 2.0, "mode": mode, "distribution": distribution}))
    for kind, config in cases:
        for shape in ((500, 2000), (5, 5, 80, 500)):
            values = np.asarray(getattr(keras.initializers, kind)(**config, seed=1)(shape), dtype=np.float64)
            name = f"initializer{len(index['initializers'])}"
            store(name, [values.mean(), values.std(), values.min(), values.max()])
            index["initializers"].append({"name": name, "initializer": kind, "config": config, "shape": shape})


def formula():
    """The hash formula's own first values, for the C++ twin."""
    for tag in ("", "a", "images/0/0/0", "Glorot, \u00e4"):
        name = f"formula{len(index['formula'])}"
        store(name, uniform(tag, (100,)))
        index["formula"].append({"name": name, "tag": tag})


if __name__ == "__main__":
    for part in (layers, losses, metrics, initializers, formula):
        part()
    cases.save("layers", **index)
