"""Values and gradients of real Keras's layers that reshape, resample, merge and attend, in float64.

Writes structure.safetensors and structure.json, in the form of layers.safetensors; run by ./dev golden.
"""

from layer_cases import Cases  # before keras

cases = Cases()
layer = cases.layer

SIZES = {1: (9,), 2: (6, 7), 3: (5, 4, 6)}


def image(axes, channels=2, data_format="channels_last"):
    if data_format == "channels_first":
        return (2, channels, *SIZES[axes])
    return (2, *SIZES[axes], channels)


def edges():
    for axes in (1, 2, 3):
        values = {"one": 1, "zero": 0}
        if axes == 1:
            values["sides"] = [2, 1]
        else:
            values["symmetric"] = [1, 0, 2][:axes]
            values["sides"] = [[1, 0], [0, 2], [1, 1]][:axes]
        for kind, argument in ((f"ZeroPadding{axes}D", "padding"), (f"Cropping{axes}D", "cropping")):
            layer(f"{kind.lower()}_default", kind, {}, image(axes))
            for name, value in values.items():
                layer(f"{kind.lower()}_{name}", kind, {argument: value}, image(axes))
            if axes > 1:
                layer(f"{kind.lower()}_first", kind, {argument: values["sides"], "data_format": "channels_first"},
                      image(axes, 2, "channels_first"))


def up_sampling():
    layer("upsampling1d", "UpSampling1D", {}, image(1))
    layer("upsampling1d_3", "UpSampling1D", {"size": 3}, image(1))
    for data_format in ("channels_last", "channels_first"):
        shape = image(2, 2, data_format)
        layer(f"upsampling2d_{data_format}", "UpSampling2D", {"data_format": data_format}, shape)
        layer(f"upsampling2d_{data_format}_2x3", "UpSampling2D", {"size": [2, 3], "data_format": data_format}, shape)
        for interpolation in ("bilinear", "bicubic", "lanczos3", "lanczos5"):
            layer(f"upsampling2d_{data_format}_{interpolation}", "UpSampling2D",
                  {"size": [2, 3], "data_format": data_format, "interpolation": interpolation}, shape)
        layer(f"upsampling3d_{data_format}", "UpSampling3D", {"size": [1, 2, 3], "data_format": data_format},
              image(3, 2, data_format))


def noise():
    """What these layers do at inference, and ActivityRegularization, whose penalty is no part of its output."""
    for kind, config, shape in (
            ("Dropout", {"rate": 0.5}, (3, 4)), ("AlphaDropout", {"rate": 0.5}, (3, 4)),
            ("GaussianDropout", {"rate": 0.5}, (3, 4)), ("GaussianNoise", {"stddev": 0.5}, (3, 4)),
            ("SpatialDropout1D", {"rate": 0.5}, image(1)), ("SpatialDropout2D", {"rate": 0.5}, image(2)),
            ("SpatialDropout3D", {"rate": 0.5}, image(3))):
        layer(f"{kind.lower()}_inference", kind, config, shape, training=False, seeds=True)
    layer("activity_regularization", "ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (3, 4))


def embeddings():
    for shape in ((4,), (2, 5), (2, 3, 2)):
        layer(f"embedding_{len(shape)}d", "Embedding", {"input_dim": 3, "output_dim": 4}, shape, inputs="ids")


def dots():
    for name, axes, a, b, normalize in (
            ("vectors", 1, (3, 5), (3, 5), False), ("vectors_last", -1, (3, 5), (3, 5), False),
            ("cosine", 1, (3, 5), (3, 5), True), ("matrices", [2, 1], (3, 2, 4), (3, 4, 5), False),
            ("matrices_normalized", [2, 1], (3, 2, 4), (3, 4, 5), True), ("first", [1, 1], (3, 4, 2), (3, 4, 5), False),
            ("one_axis", 2, (3, 2, 4), (3, 5, 4), False), ("matrix_vector", [2, 1], (3, 2, 4), (3, 4), False),
            ("vector_matrix", [1, 2], (3, 4), (3, 2, 4), False),
            ("rank4", [3, 1], (2, 3, 2, 4), (2, 4, 3), False)):
        layer(f"dot_{name}", "Dot", {"axes": axes, "normalize": normalize}, a, b)


def einsum():
    for name, config, shape in (
            ("dense", {"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c"}, (3, 5)),
            ("no_bias", {"equation": "ab,bc->ac", "output_shape": [4]}, (3, 5)),
            ("steps", {"equation": "abc,cd->abd", "output_shape": [None, 4], "bias_axes": "d"}, (2, 3, 5)),
            ("ellipsis", {"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"}, (2, 3, 5)),
            ("ellipsis4", {"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"}, (2, 3, 2, 5)),
            ("heads", {"equation": "abc,cde->abde", "output_shape": [None, 2, 3], "bias_axes": "de"}, (2, 4, 5)),
            ("join", {"equation": "abde,dec->abc", "output_shape": [None, 5], "bias_axes": "c"}, (2, 4, 2, 3)),
            ("activation", {"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c", "activation": "tanh"}, (3, 5)),
            ("bias_middle", {"equation": "abc,cd->abd", "output_shape": [3, 4], "bias_axes": "b"}, (2, 3, 5)),
            ("swapped", {"equation": "abc,cd->adb", "output_shape": [4, 3], "bias_axes": "d"}, (2, 3, 5))):
        layer(f"einsum_{name}", "EinsumDense", config, shape)


def attention():
    query, value, key = (2, 3, 4), (2, 5, 4), (2, 5, 4)
    for use_scale in (False, True):
        for mode in ("dot", "concat"):
            config = {"use_scale": use_scale, "score_mode": mode}
            layer(f"attention_{mode}_scale_{use_scale}", "Attention", config, query, value)
            layer(f"attention_{mode}_scale_{use_scale}_key", "Attention", config, query, value, key)
        layer(f"additive_attention_scale_{use_scale}", "AdditiveAttention", {"use_scale": use_scale}, query, value)
        layer(f"additive_attention_scale_{use_scale}_key", "AdditiveAttention", {"use_scale": use_scale}, query, value,
              key)
    # With dropout (at inference) Keras goes another way, which knows value_dim on JAX.
    for name, config, more in (
            ("plain", {}, {}), ("value_dim", {"value_dim": 5, "dropout": 0.5}, {"training": False, "seeds": True}),
            ("no_bias", {"use_bias": False}, {}), ("output", {"output_shape": 6}, {})):
        heads = {"num_heads": 2, "key_dim": 3, **config}
        layer(f"multi_head_{name}", "MultiHeadAttention", heads, (2, 3, 4), (2, 5, 6), **more)
        layer(f"multi_head_{name}_key", "MultiHeadAttention", heads, (2, 3, 4), (2, 5, 6), (2, 5, 7), **more)
    layer("multi_head_image", "MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, (2, 2, 3, 4), (2, 3, 2, 4))
    layer("multi_head_axis", "MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": 2}, (2, 2, 3, 4),
          (2, 2, 5, 4))
    layer("multi_head_axes", "MultiHeadAttention", {"num_heads": 1, "key_dim": 3, "attention_axes": [1, 2]},
          (2, 2, 3, 4), (2, 3, 2, 4))
    for heads, groups in ((2, 2), (4, 2), (4, 1)):
        for use_bias in (True, False):
            config = {"head_dim": 3, "num_query_heads": heads, "num_key_value_heads": groups, "use_bias": use_bias}
            layer(f"group_query_{heads}_{groups}_bias_{use_bias}", "GroupQueryAttention", config, (2, 3, 4), (2, 5, 6))
    layer("group_query_key", "GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
          (2, 3, 4), (2, 5, 6), (2, 5, 7))


if __name__ == "__main__":
    for part in (edges, up_sampling, noise, embeddings, dots, einsum, attention):
        part()
    cases.save("structure")
