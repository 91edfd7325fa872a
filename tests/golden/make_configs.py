"""Configurations of real Keras: what get_config and to_json write.

Writes configs.json (class names and configurations of layers; models as JSON) and configs.safetensors (what the models
predict, in float32). Run by ./dev golden.
"""

from oracle import save, save_index  # before keras

from formula import signed

import keras
import numpy as np
from keras import constraints, initializers, layers, regularizers

configs = []
models = []
tensors = {}


def config(made):
    value = made.get_config()
    value["name"] = "layer"
    configs.append({"layer": made.__class__.__name__, "config": value})


def layer_configs():
    spatial = {1: (layers.Conv1D, layers.Conv1DTranspose, layers.MaxPooling1D, layers.AveragePooling1D),
               2: (layers.Conv2D, layers.Conv2DTranspose, layers.MaxPooling2D, layers.AveragePooling2D),
               3: (layers.Conv3D, layers.Conv3DTranspose, layers.MaxPooling3D, layers.AveragePooling3D)}
    weights = {"kernel_initializer": "he_normal", "bias_initializer": initializers.Constant(0.5),
               "kernel_regularizer": "L1L2", "bias_regularizer": regularizers.L1(0.1),
               "kernel_constraint": constraints.MaxNorm(3, axis=[0, 1]), "bias_constraint": "non_neg",
               "activity_regularizer": regularizers.L2(0.3)}
    for axes, (conv, transpose, maximum, average) in spatial.items():
        config(conv(4, 3))
        config(conv(4, 3, strides=2, padding="same", groups=2, activation="relu", use_bias=False, **weights))
        config(transpose(4, 3))
        config(transpose(4, 3, strides=2, padding="same", output_padding=1, activation="selu", **weights))
        for pooling in (maximum, average):
            config(pooling(2))
            config(pooling(3, strides=2, padding="same", data_format="channels_first"))
        for kind in ("GlobalMaxPooling", "GlobalAveragePooling"):
            config(getattr(layers, f"{kind}{axes}D")(keepdims=True))
        for kind in ("AdaptiveMaxPooling", "AdaptiveAveragePooling"):
            config(getattr(layers, f"{kind}{axes}D")(2))
        for kind in ("ZeroPadding", "Cropping"):
            config(getattr(layers, f"{kind}{axes}D")())
            config(getattr(layers, f"{kind}{axes}D")([2, 1] if axes == 1 else [[1, 0], [2, 3], [0, 1]][:axes]))
        config(getattr(layers, f"UpSampling{axes}D")())
        if axes < 3:
            config(getattr(layers, f"DepthwiseConv{axes}D")(3, depth_multiplier=2))
            config(getattr(layers, f"SeparableConv{axes}D")(4, 3, pointwise_initializer="zeros"))
    config(layers.UpSampling2D((2, 3), interpolation="bilinear"))
    config(layers.Dense(3))
    config(layers.Dense(3, activation="gelu", use_bias=False, trainable=False, **weights))
    config(layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", activation="tanh"))
    config(layers.Embedding(10, 4, embeddings_regularizer="l2"))
    for made in (layers.Activation("silu"), layers.ReLU(max_value=6.0, negative_slope=0.1, threshold=0.5),
                 layers.LeakyReLU(negative_slope=0.2), layers.PReLU(shared_axes=[1]), layers.ELU(alpha=0.5),
                 layers.Softmax(axis=1), layers.Identity(), layers.Flatten(), layers.Reshape((4, -1)),
                 layers.Permute((2, 1)), layers.RepeatVector(3), layers.Rescaling(0.5, offset=1.0), layers.Add(),
                 layers.Subtract(), layers.Multiply(), layers.Average(), layers.Maximum(), layers.Minimum(),
                 layers.Concatenate(axis=1), layers.Dot(axes=(2, 1), normalize=True), layers.Dot(axes=1),
                 layers.Dropout(0.3, noise_shape=(None, 1, 3), seed=7), layers.Dropout(0.3),
                 layers.SpatialDropout1D(0.3), layers.SpatialDropout2D(0.3, data_format="channels_first"),
                 layers.SpatialDropout3D(0.3, seed=5), layers.AlphaDropout(0.2, seed=3), layers.GaussianDropout(0.2), layers.GaussianNoise(0.2),
                 layers.ActivityRegularization(l1=0.1, l2=0.2)):
        config(made)
    config(layers.BatchNormalization())
    config(layers.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5, center=False, scale=False,
                                     beta_initializer="ones", gamma_regularizer="l2", beta_constraint="unit_norm",
                                     moving_variance_initializer=initializers.RandomUniform(0.5, 1.5, seed=3)))
    config(layers.LayerNormalization(axis=[1, 2], epsilon=1e-6, gamma_initializer=initializers.RandomNormal(1.0, 0.1)))
    config(layers.LayerNormalization())
    config(layers.GroupNormalization(groups=4, axis=1))
    config(layers.RMSNormalization(axis=-1, epsilon=1e-5))
    config(layers.UnitNormalization(axis=1))
    config(layers.SpectralNormalization(layers.Dense(3, name="inner"), power_iterations=2))
    config(layers.SpectralNormalization(layers.Conv2D(3, 2, activation="relu", name="inner")))
    config(layers.Attention(use_scale=True, score_mode="concat", dropout=0.1))
    config(layers.AdditiveAttention(use_scale=False))
    config(layers.MultiHeadAttention(2, 3))
    config(layers.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1, use_bias=False, output_shape=5, attention_axes=1,
                                     kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=1)))
    config(layers.GroupQueryAttention(3, 4, 2, dropout=0.1))
    for made in (layers.Resizing(3, 4), layers.Resizing(3, 4, interpolation="bicubic", crop_to_aspect_ratio=True),
                 layers.Resizing(3, 4, pad_to_aspect_ratio=True, fill_value=0.5, antialias=True),
                 layers.RandomRotation(0.2), layers.RandomRotation((0.3, -0.1), fill_mode="wrap", seed=5),
                 layers.RandomTranslation(0.2, (0.1, 0.3)), layers.RandomTranslation(-0.2, 0.3, fill_mode="constant",
                                                                                     fill_value=0.5),
                 layers.RandomZoom(0.2), layers.RandomZoom((-0.3, -0.2), 0.1, interpolation="nearest", seed=1),
                 layers.CenterCrop(3, 4), layers.RandomFlip(), layers.RandomFlip("vertical", seed=3),
                 layers.RandomBrightness(0.2), layers.RandomBrightness((-0.1, 0.3), value_range=(0, 1)),
                 layers.RandomContrast(0.2), layers.RandomContrast((0.1, 0.3), value_range=(0, 1)),
                 layers.RandomCrop(3, 4, seed=1), layers.CategoryEncoding(5), layers.CategoryEncoding(5, output_mode="count"),
                 layers.Discretization([0.5, 1.5]), layers.Discretization(num_bins=4, epsilon=0.1, output_mode="count"),
                 layers.Normalization(), layers.Normalization(axis=1, mean=[1.0, 2.0], variance=[3.0, 4.0], invert=True)):
        config(made)
    for initializer in ("zeros", "ones", "random_normal", "truncated_normal", "random_uniform", "variance_scaling",
                        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
                        "orthogonal", "identity"):
        config(layers.Dense(3, kernel_initializer=initializer))
    for regularizer in ("l1", "l2", "l1l2", "orthogonal_regularizer"):
        config(layers.Dense(3, kernel_regularizer=regularizer))
    for constraint in ("max_norm", "min_max_norm", "non_neg", "unit_norm"):
        config(layers.Dense(3, kernel_constraint=constraint))


def model(name, made):
    """The JSON, and what the model predicts of x with weights by the formula."""
    for i, weight in enumerate(made.weights):
        value = signed(f"{name}/{i}", weight.shape, 0.5)
        weight.assign(np.abs(value) + 0.5 if weight.name == "moving_variance" else value)
    x = [signed(f"{name}/x{i}", (3, *t.shape[1:])) for i, t in enumerate(made.inputs)]
    y = made.predict([v.astype(np.float32) for v in x], verbose=0)
    for i, value in enumerate(y if isinstance(y, list) else [y]):
        tensors[f"{name}/y{i}"] = np.asarray(value, dtype=np.float64)
    models.append({"name": name, "json": made.to_json(), "weights": [v.shape for v in made.weights]})


def whole_models():
    model("sequential", keras.Sequential([
        layers.Input((8, 8, 2)), layers.Conv2D(4, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.DepthwiseConv2D(3), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(5, activation="softmax")], name="lenet"))
    x = layers.Input((6,), name="x")
    hidden = layers.Dense(4, activation="tanh", name="hidden")
    a = hidden(x)
    b = layers.Dense(6, name="back")(a)
    c = hidden(layers.Add(name="add")([x, b]))
    model("shared", keras.Model(x, [layers.Concatenate(name="join")([a, c]), b], name="shared"))
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    tower = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu", name="dense_in_tower")],
                             name="tower")
    dot = layers.Dot(axes=1, name="dot")([tower(left), tower(right)])
    model("towers", keras.Model([left, right], dot, name="towers"))
    tokens = layers.Input((5, 4), name="tokens")
    attended = layers.MultiHeadAttention(2, 3, name="attention")(tokens, tokens)
    normed = layers.LayerNormalization(name="norm")(layers.Add(name="residual")([tokens, attended]))
    model("transformer", keras.Model(tokens, layers.GlobalAveragePooling1D(name="pool")(normed), name="transformer"))


if __name__ == "__main__":
    layer_configs()
    whole_models()
    save("configs", tensors)
    save_index("configs", {"layers": configs, "models": models})
