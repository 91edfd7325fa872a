"""Values and gradients of real Keras's convolutions and poolings over one to three axes, in float64.

Writes spatial.safetensors and spatial.json, in the form of layers.safetensors; run by ./dev golden.
"""

from layer_cases import Cases  # before keras

SIZES = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}

cases = Cases()
layer = cases.layer


def image(axes, channels, data_format="channels_last", batch=2):
    if data_format == "channels_first":
        return (batch, channels, *SIZES[axes])
    return (batch, *SIZES[axes], channels)


def name_of(kind, config):
    def text(value):
        return "x".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)

    return "_".join([kind.lower(), *(f"{key.replace('_', '')}_{text(value)}" for key, value in config.items())])


def case(kind, config, shape, **more):
    layer(name_of(kind, {k: v for k, v in config.items()}) + more.pop("suffix", ""), kind, config, shape, **more)


def convolutions():
    for axes in (1, 2, 3):
        kind = f"Conv{axes}D"
        kernels = (3, 2) if axes > 1 else (3, 2, 4)
        for padding in ("valid", "same") + (("causal",) if axes == 1 else ()):
            for data_format in ("channels_last", "channels_first"):
                if padding == "causal" and data_format == "channels_first":
                    continue  # Keras pads the wrong axis there
                for kernel in kernels:
                    base = {"filters": 4, "kernel_size": kernel, "padding": padding, "data_format": data_format}
                    case(kind, base, image(axes, 2, data_format))
                    case(kind, {**base, "strides": 2}, image(axes, 2, data_format))
                    if axes < 3 or data_format == "channels_last":
                        case(kind, {**base, "groups": 2}, image(axes, 4, data_format))
                    if axes < 3 or kernel == 2:
                        case(kind, {**base, "dilation_rate": 2}, image(axes, 2, data_format))
        case(kind, {"filters": 3, "kernel_size": 1}, image(axes, 5))
        case(kind, {"filters": 3, "kernel_size": 2, "use_bias": False, "activation": "tanh"}, image(axes, 2))
        case(kind, {"filters": 6, "kernel_size": 2, "groups": 3, "strides": 2, "padding": "same"}, image(axes, 6))
    for data_format in ("channels_last", "channels_first"):
        case("Conv2D", {"filters": 3, "kernel_size": [3, 1], "strides": [2, 1], "padding": "same",
                        "data_format": data_format}, image(2, 3, data_format))


def transposed():
    for axes in (1, 2, 3):
        kind = f"Conv{axes}DTranspose"
        for padding in ("valid", "same"):
            for data_format in ("channels_last", "channels_first"):
                for kernel in (2, 3) if axes > 1 else (1, 2, 3, 4):
                    for strides in (1, 2, 3):
                        if axes == 3 and (strides == 3 or data_format == "channels_first"):
                            continue
                        case(kind, {"filters": 3, "kernel_size": kernel, "padding": padding, "strides": strides,
                                    "data_format": data_format}, image(axes, 2, data_format))
            for output_padding in (0, 1):
                case(kind, {"filters": 2, "kernel_size": 3, "padding": padding, "strides": 2,
                            "output_padding": output_padding}, image(axes, 2))
            if axes < 3:
                case(kind, {"filters": 2, "kernel_size": 3, "padding": padding, "dilation_rate": 2}, image(axes, 2))
        case(kind, {"filters": 3, "kernel_size": 2, "use_bias": False, "activation": "sigmoid"}, image(axes, 2))
    case("Conv2DTranspose", {"filters": 2, "kernel_size": [4, 3], "strides": [2, 1], "padding": "same"}, image(2, 3))


def depthwise_and_separable():
    for axes in (1, 2):
        for kind, more in ((f"DepthwiseConv{axes}D", {}), (f"SeparableConv{axes}D", {"filters": 5})):
            for padding in ("valid", "same"):
                for data_format in ("channels_last", "channels_first"):
                    for multiplier in (1, 2):
                        base = {**more, "kernel_size": 3, "padding": padding, "depth_multiplier": multiplier,
                                "data_format": data_format}
                        case(kind, base, image(axes, 3, data_format))
                        case(kind, {**base, "strides": 2}, image(axes, 3, data_format))
                        if data_format == "channels_last":
                            case(kind, {**base, "dilation_rate": 2}, image(axes, 3, data_format))
            case(kind, {**more, "kernel_size": 2, "use_bias": False, "activation": "relu"}, image(axes, 2))


def poolings():
    for axes in (1, 2, 3):
        for kind in (f"MaxPooling{axes}D", f"AveragePooling{axes}D"):
            for padding in ("valid", "same"):
                for data_format in ("channels_last", "channels_first"):
                    for pool, strides in ((2, None), (3, 1), (3, 2), (2, 3)):
                        if axes == 3 and data_format == "channels_first" and strides is not None:
                            continue
                        config = {"pool_size": pool, "padding": padding, "data_format": data_format}
                        if strides:
                            config["strides"] = strides
                        case(kind, config, image(axes, 2, data_format))
        for kind in (f"GlobalMaxPooling{axes}D", f"GlobalAveragePooling{axes}D"):
            for keepdims in (False, True):
                for data_format in ("channels_last", "channels_first"):
                    case(kind, {"keepdims": keepdims, "data_format": data_format}, image(axes, 3, data_format))
        for kind in (f"AdaptiveMaxPooling{axes}D", f"AdaptiveAveragePooling{axes}D"):
            for size in (1, 2, 3, 4):
                case(kind, {"output_size": size}, image(axes, 2))
            case(kind, {"output_size": 2, "data_format": "channels_first"}, image(axes, 2, "channels_first"))


if __name__ == "__main__":
    for part in (convolutions, transposed, depthwise_and_separable, poolings):
        part()
    cases.save("spatial")
