"""What real Keras makes of texts and categories: hashes, vocabularies, quantiles; and SpectralNormalization's training.

Writes categories.json, which holds inputs and results. Keras hashes and looks up by TensorFlow, so that this script
alone needs it; run by ./dev golden.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json
import pathlib

import keras
import numpy as np
from keras import layers

from formula import signed

FOLDER = pathlib.Path(__file__).resolve().parent

TEXTS = ["", "a", "ab", "abc", "abcd", "abcde", "abcdefg", "abcdefgh", "abcdefghi", "red", "green", "blue", "naïve",
         "0123456789abcdef", "0123456789abcdefg", "x" * 24, "y" * 31, "z" * 32, "p" * 33, "q" * 63, "r" * 64, "s" * 65,
         "The quick brown fox jumps over the lazy dog, and then over a hundred more of them, one after the other.",
         "é" * 70]
NUMBERS = [0, 1, -1, 4, 5, 9, 10, -10, 99, 100, 999, 1000, -999, 9999, 12345, 99999, -99999, 123456, 1234567, -1234567,
           12345678, -12345678, 123456789, 2147483647, -2147483648, 4294967296, 99999999999, -123456789012,
           1234567890123456, -1234567890123456, 12345678901234567, 9223372036854775807, -9223372036854775808]

hashing, crossing, lookups, quantiles, spectral, configs = [], [], [], [], [], []


def plain(values):
    values = np.asarray(values)
    if values.dtype.kind in "OS":
        return [v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()]
    return values.ravel().tolist()


def hash_case(config, values):
    values = np.array(values)
    result = np.asarray(layers.Hashing(**config)(values))
    hashing.append({"config": config, "input": plain(values), "shape": values.shape, "result": plain(result),
                    "result_shape": result.shape})


def hash_cases():
    for values, mask in ((TEXTS, "red"), (NUMBERS, 5)):
        for bins in (1, 2, 7, 1000, 2**40):
            for salt in (None, 133, [133, 137], [-5, 2**62]):
                hash_case({"num_bins": bins, "salt": salt}, values)
            hash_case({"num_bins": bins, "mask_value": mask}, values)
        square = values[:12]
        for mode in ("one_hot", "multi_hot", "count"):
            for shape in ((12,), (3, 4), (12, 1)):
                hash_case({"num_bins": 5, "output_mode": mode, "mask_value": mask}, np.array(square).reshape(shape))


def cross_case(config, *features):
    features = [np.array(f) for f in features]
    result = np.asarray(layers.HashedCrossing(**config)(features))
    crossing.append({"config": config, "inputs": [plain(f) for f in features], "shape": features[0].shape,
                     "result": plain(result), "result_shape": result.shape})


def cross_cases():
    texts, others, numbers = TEXTS[:20], TEXTS[4:24], NUMBERS[:20]
    more = NUMBERS[13:33]
    for bins in (1, 5, 1000, 2**40):
        for features in ((texts, others), (texts, numbers), (numbers, more), (texts, others, numbers),
                         (numbers, numbers, more)):
            cross_case({"num_bins": bins}, *features)
    for mode in ("int", "one_hot"):
        cross_case({"num_bins": 4, "output_mode": mode}, np.array(texts).reshape(-1, 1), np.array(more).reshape(-1, 1))
        cross_case({"num_bins": 4, "output_mode": mode}, numbers, more)


def lookup_case(kind, config, values, adapt=None):
    """`adapt`: arrays."""
    made = getattr(layers, kind)(**config)
    if adapt is not None:
        made.adapt(np.array(adapt))
    values = np.array(values)
    result = np.asarray(made(values))
    vocabulary = [v if isinstance(v, str) else int(v) for v in made.get_vocabulary()]
    lookups.append({"layer": kind, "config": config, "adapt": None if adapt is None else plain(np.array(adapt)),
                    "adapt_shape": None if adapt is None else np.array(adapt).shape, "input": plain(values),
                    "shape": values.shape, "result": plain(result), "result_shape": result.shape,
                    "vocabulary": vocabulary, "vocabulary_size": int(made.vocabulary_size())})


def lookup_cases():
    words = ["b", "a", "d", "c", "zz", "é"]
    asked = [["a", "zz", "unknown", ""], ["é", "b", "b", "other"], ["", "", "d", "c"]]
    learned = [["x", "y", "x", ""], ["y", "z", "x", "w"], ["[UNK]", "w", "w", ""], ["q", "z", "x", "x"]]
    tokens = [12, -3, 100, 7, 55, 2**40]
    numbers = [[12, -3, 0, 99], [100, 100, 2**40, -8], [0, 0, 7, 55]]
    counted = [[5, 6, 5, 0], [6, 7, 5, 8], [-1, 8, 8, 0], [9, 7, 5, 5]]
    weights = [0.5, 1.25, 2.0, 0.75, 1.5, 3.0]
    for kind, vocabulary, values, data, mask in (("StringLookup", words, asked, learned, ""),
                                                 ("IntegerLookup", tokens, numbers, counted, 0)):
        for mask_token in (None, mask):
            for oov in (1, 3):
                config = {"num_oov_indices": oov, "mask_token": mask_token}
                lookup_case(kind, {"vocabulary": vocabulary, **config}, values)
                lookup_case(kind, config, values, adapt=data)
                for mode in ("multi_hot", "count", "one_hot"):
                    lookup_case(kind, {"vocabulary": vocabulary, "output_mode": mode, **config}, values)
                lookup_case(kind, {"vocabulary": vocabulary, "idf_weights": weights, "output_mode": "tf_idf", **config},
                            values)
                lookup_case(kind, {"output_mode": "tf_idf", **config}, data, adapt=data)
                lookup_case(kind, {"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True, **config}, data,
                            adapt=data)
                lookup_case(kind, {"max_tokens": 6, "output_mode": "count", **config}, data, adapt=data)
        lookup_case(kind, {"vocabulary": vocabulary, "output_mode": "one_hot"}, np.array(values)[:, :1])
        lookup_case(kind, {"vocabulary": vocabulary, "max_tokens": 12, "pad_to_max_tokens": True,
                           "output_mode": "multi_hot"}, values)
        lookup_case(kind, {}, data, adapt=np.array(data).ravel())
        lookup_case(kind, {"output_mode": "tf_idf"}, np.array(data).ravel(), adapt=np.array(data).ravel())
        inside = [[vocabulary[3], vocabulary[0]], [vocabulary[5], vocabulary[5]]]
        lookup_case(kind, {"vocabulary": vocabulary, "num_oov_indices": 0}, inside)
        special = ([mask] if mask is not None else []) + (["[UNK]"] if kind == "StringLookup" else [-1]) + vocabulary
        lookup_case(kind, {"vocabulary": special, "mask_token": mask}, values)
        for mask_token in (None, mask):
            lookup_case(kind, {"vocabulary": vocabulary, "invert": True, "mask_token": mask_token, "num_oov_indices": 2},
                        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 100, 3]])
    lookup_case("StringLookup", {"vocabulary": words, "num_oov_indices": 5, "salt": [3, 9]}, TEXTS)
    lookup_case("IntegerLookup", {"vocabulary": tokens, "num_oov_indices": 5}, NUMBERS)
    lookup_case("IntegerLookup", {"vocabulary": tokens, "num_oov_indices": 5, "oov_method": "farmhash"}, NUMBERS)
    lookup_case("IntegerLookup", {"vocabulary": tokens, "num_oov_indices": 5, "oov_method": "farmhash", "salt": 7},
                NUMBERS)
    for count in (1, 2, 3, 4, 5, 8, 9, 100):
        many = [(7 * i) % 1009 - 300 for i in range(count)]
        lookup_case("IntegerLookup", {"vocabulary": many}, list(range(-310, 720, 3)))


def quantile_cases():
    for name, shapes in (("small", [(7,)]), ("one", [(1000,)]), ("rows", [(40, 30)]), ("two", [(500,), (300, 2)]),
                         ("many", [(90,), (200,), (31,), (400,)])):
        for bins in (2, 4, 10):
            for epsilon in (0.01, 0.1):
                tags = [f"quantiles/{name}/{i}" for i in range(len(shapes))]
                arrays = [signed(tag, shape).astype(np.float32) for tag, shape in zip(tags, shapes)]
                made = layers.Discretization(num_bins=bins, epsilon=epsilon)
                made.adapt(arrays[0] if len(arrays) == 1 else iter(arrays))
                quantiles.append({"num_bins": bins, "epsilon": epsilon, "tags": tags, "shapes": shapes,
                                  "bin_boundaries": made.bin_boundaries})


def spectral_cases():
    """Three steps of SGD; kernels and vector_u before by the formula."""
    for name, make, shape, iterations in (
            ("dense", lambda: layers.Dense(3), (5,), 1), ("dense_more", lambda: layers.Dense(4, use_bias=False), (6,), 3),
            ("conv", lambda: layers.Conv2D(4, 3, padding="same"), (5, 4, 2), 2),
            ("depthwise", lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), (6, 3), 1)):
        inner = make()
        wrapper = layers.SpectralNormalization(inner, power_iterations=iterations)
        model = keras.Sequential([layers.Input(shape), wrapper])
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        inner.kernel.assign(signed(f"spectral/{name}/kernel", inner.kernel.shape))
        wrapper.vector_u.assign(signed(f"spectral/{name}/vector_u", wrapper.vector_u.shape))
        x = signed(f"spectral/{name}/x", (8, *shape)).astype(np.float32)
        y = signed(f"spectral/{name}/y", (8, *model.output_shape[1:])).astype(np.float32)
        losses = []
        for _ in range(3):
            model.reset_metrics()
            losses.append(float(model.train_on_batch(x, y)))
        spectral.append({"name": name, "layer": keras.saving.serialize_keras_object(inner), "power_iterations": iterations,
                         "input": shape, "losses": losses, "kernel": plain(inner.kernel), "u": plain(wrapper.vector_u),
                         "prediction": plain(model.predict(x, verbose=0))})


def configurations():
    for made in (layers.Hashing(7), layers.Hashing(7, mask_value="x", salt=3, output_mode="multi_hot"),
                 layers.Hashing(7, mask_value=4, dtype="int32"), layers.HashedCrossing(5),
                 layers.HashedCrossing(5, output_mode="one_hot"), layers.IntegerLookup(), layers.StringLookup(),
                 layers.IntegerLookup(vocabulary=[3, 5], mask_token=0, oov_token=-7, num_oov_indices=2,
                                      oov_method="farmhash", salt=[1, 2]),
                 layers.IntegerLookup(vocabulary=[3, 5], max_tokens=9, invert=True),
                 layers.StringLookup(vocabulary=["a", "b"], mask_token="", num_oov_indices=3, salt=4, oov_token="?"),
                 layers.StringLookup(vocabulary=["a", "b"], idf_weights=[0.5, 0.25], output_mode="tf_idf", max_tokens=8,
                                     pad_to_max_tokens=True)):
        value = made.get_config()
        value["name"] = "layer"
        configs.append({"layer": made.__class__.__name__, "config": value})


if __name__ == "__main__":
    for part in (configurations, hash_cases, cross_cases, lookup_cases, quantile_cases, spectral_cases):
        part()
    parts = {"hashing": hashing, "crossing": crossing, "lookups": lookups, "quantiles": quantiles, "spectral": spectral,
             "configs": configs}
    lines = {part: ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
             for part, cases in parts.items()}
    text = ",\n".join(f'"{part}": [\n{cases}\n]' for part, cases in lines.items())
    (FOLDER / "categories.json").write_text("{\n" + text + "\n}\n")
    print({part: len(cases) for part, cases in parts.items()})
