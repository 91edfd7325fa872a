"""Values and gradients of real Keras's preprocessing layers, and of augmentation at inference, in float64.

Writes preprocessing.safetensors and preprocessing.json, in the form of layers.safetensors; run by ./dev golden.
"""

from layer_cases import Cases  # before keras

cases = Cases()
layer = cases.layer


def numbers():
    mean, variance = [0.5, -1.0, 2.0], [0.25, 4.0, 1.0]
    for invert in (False, True):
        layer(f"normalization_invert_{invert}", "Normalization", {"mean": mean, "variance": variance, "invert": invert},
              (4, 3))
        layer(f"normalization_image_invert_{invert}", "Normalization",
              {"axis": -1, "mean": mean, "variance": variance, "invert": invert}, (2, 4, 5, 3))
        layer(f"normalization_axis1_invert_{invert}", "Normalization",
              {"axis": 1, "mean": mean, "variance": variance, "invert": invert}, (2, 3, 4))
        layer(f"normalization_one_invert_{invert}", "Normalization",
              {"axis": None, "mean": 0.5, "variance": 4.0, "invert": invert}, (2, 3, 4))
    layer("normalization_no_variance", "Normalization", {"mean": [0.0, 1.0], "variance": [0.0, 1.0]}, (3, 2))
    for mode in ("int", "one_hot", "multi_hot", "count"):
        layer(f"discretization_{mode}", "Discretization", {"bin_boundaries": [-0.5, 0.0, 0.25], "output_mode": mode},
              (4, 3), gradients=False)
        layer(f"discretization_zeros_{mode}", "Discretization", {"bin_boundaries": [-1.0, 0.0], "output_mode": mode},
              (4, 3), inputs="zeros", gradients=False)
    for mode in ("one_hot", "multi_hot", "count"):
        layer(f"category_{mode}", "CategoryEncoding", {"num_tokens": 5, "output_mode": mode}, (4, 3), inputs="numbers",
              gradients=False)
        layer(f"category_{mode}_column", "CategoryEncoding", {"num_tokens": 6, "output_mode": mode}, (4, 1),
              inputs="numbers", gradients=False)
    layer("category_default", "CategoryEncoding", {"num_tokens": 5}, (3, 4), inputs="numbers", gradients=False)


def images():
    for data_format in ("channels_last", "channels_first"):
        def shape(height, width):
            return (2, height, width, 3) if data_format == "channels_last" else (2, 3, height, width)

        form = {"data_format": data_format}
        for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
            for name, height, width in (("larger", 9, 11), ("smaller", 3, 4), ("mixed", 9, 4), ("same", 6, 7)):
                layer(f"resizing_{data_format}_{interpolation}_{name}", "Resizing",
                      {"height": height, "width": width, "interpolation": interpolation, **form}, shape(6, 7))
        for name, height, width in (("wide", 4, 8), ("high", 8, 4), ("square", 5, 5)):
            layer(f"resizing_{data_format}_crop_{name}", "Resizing",
                  {"height": height, "width": width, "crop_to_aspect_ratio": True, **form}, shape(6, 8))
            layer(f"resizing_{data_format}_pad_{name}", "Resizing",
                  {"height": height, "width": width, "pad_to_aspect_ratio": True, "fill_value": 0.5, **form},
                  shape(6, 8))
        for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
            layer(f"resizing_{data_format}_{interpolation}_antialias", "Resizing",
                  {"height": 4, "width": 3, "interpolation": interpolation, "antialias": True, **form}, shape(9, 11))
        layer(f"resizing_{data_format}_mixed_antialias", "Resizing",
              {"height": 12, "width": 3, "antialias": True, "crop_to_aspect_ratio": True, **form}, shape(6, 7))
        for name, height, width in (("part", 4, 5), ("odd", 3, 6), ("same", 6, 8), ("larger", 9, 9), ("wider", 4, 12)):
            layer(f"centercrop_{data_format}_{name}", "CenterCrop", {"height": height, "width": width, **form},
                  shape(6, 8))
    for kind, config in (("RandomFlip", {}), ("RandomBrightness", {"factor": 0.5}), ("RandomContrast", {"factor": 0.5})):
        layer(f"{kind.lower()}_inference", kind, config, (2, 4, 5, 3), training=False, seeds=True)
    # Images smaller than the crop are enlarged. (At inference Keras 3.15.1 leaves larger ones as they are, against its
    # documentation, which Kiln follows.)
    for size in (4, 6):
        layer(f"randomcrop_to_{size}", "RandomCrop", {"height": size, "width": size}, (2, 3, 3, 2), training=True,
              seeds=True)


def transforms():
    """Augmentations whose range is one number: nothing about them is random."""
    for fill_mode in ("reflect", "wrap", "nearest", "constant"):
        for interpolation in ("bilinear", "nearest"):
            form = {"fill_mode": fill_mode, "interpolation": interpolation}
            if fill_mode == "constant":
                form["fill_value"] = 0.75

            def transform(name, kind, config, shape=(2, 4, 5, 2), **more):
                layer(f"{kind.lower()}_{fill_mode}_{interpolation}_{name}", kind, {**config, **form, **more}, shape,
                      training=True, seeds=True)

            for name, factor in (("little", 0.03), ("left", 0.13), ("right", -0.37), ("half", 0.49)):
                transform(name, "RandomRotation", {"factor": [factor, factor]})
            transform("first", "RandomRotation", {"factor": [0.21, 0.21]}, (2, 2, 3, 6), data_format="channels_first")
            for name, height, width in (("little", 0.07, -0.06), ("far", -0.83, 0.94), ("down", 0.33, 0.0)):
                transform(name, "RandomTranslation", {"height_factor": [height] * 2, "width_factor": [width] * 2})
            transform("first", "RandomTranslation", {"height_factor": [0.31] * 2, "width_factor": [0.43] * 2},
                      (2, 2, 3, 6), data_format="channels_first")
            for name, height, width in (("out", 0.63, 0.92), ("in", -0.37, -0.64), ("mixed", -0.9, 0.97)):
                transform(name, "RandomZoom", {"height_factor": [height] * 2, "width_factor": [width] * 2})
            transform("both", "RandomZoom", {"height_factor": [0.83] * 2})
            transform("first", "RandomZoom", {"height_factor": [0.83] * 2}, (2, 2, 3, 6), data_format="channels_first")
    for kind, config in (("RandomRotation", {"factor": 0.5}), ("RandomZoom", {"height_factor": 0.5}),
                         ("RandomTranslation", {"height_factor": 0.5, "width_factor": 0.5})):
        layer(f"{kind.lower()}_inference", kind, config, (2, 4, 5, 3), training=False, seeds=True)


if __name__ == "__main__":
    for part in (numbers, images, transforms):
        part()
    cases.save("preprocessing")
