"""Values and gradients of real Keras's layers and activations, and its initializers' statistics, in float64.

Writes layers.safetensors (numbers) and layers.json (what they are of); README.md in this folder explains both. Run
by ./dev golden.
"""

from layer_cases import Cases  # before keras

from formula import uniform

import keras
import numpy as np

cases = Cases()
layer, store = cases.layer, cases.store
index = {"initializers": [], "formula": []}


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
    for part in (layers, initializers, formula):
        part()
    cases.save("layers", **index)
