"""Values and gradients of real Keras's normalisation layers, in float64.

Writes normalization.safetensors and normalization.json, in the form of layers.safetensors; run by ./dev golden.
"""

from layer_cases import Cases  # before keras

cases = Cases()
layer = cases.layer


def batch_normalization():
    shapes = {"matrix": (6, 4), "steps": (4, 5, 3), "image": (3, 4, 5, 2), "volume": (2, 3, 2, 4, 3)}
    for training in (True, False):
        mode = "training" if training else "inference"
        for shape_name, shape in shapes.items():
            layer(f"batch_{mode}_{shape_name}", "BatchNormalization", {}, shape, training=training)
        for center in (True, False):
            for scale in (True, False):
                layer(f"batch_{mode}_center_{center}_scale_{scale}", "BatchNormalization",
                      {"center": center, "scale": scale}, (5, 3, 4), training=training)
        layer(f"batch_{mode}_axis1", "BatchNormalization", {"axis": 1}, (3, 4, 5, 2), training=training)
        for momentum in (0.0, 0.5, 1.0):
            layer(f"batch_{mode}_momentum_{momentum}", "BatchNormalization", {"momentum": momentum}, (6, 3),
                  training=training)
        for epsilon in (1e-5, 0.1):
            layer(f"batch_{mode}_epsilon_{epsilon}", "BatchNormalization", {"epsilon": epsilon}, (6, 3),
                  training=training)


def others():
    for shape in ((4, 6), (3, 4, 5), (2, 3, 4, 5)):
        rank = len(shape)
        axes = [-1] + ([1, [1, 2], [-2, -1]] if rank > 2 else []) + ([[1, 2, 3]] if rank > 3 else [])
        for axis in axes:
            text = f"rank{rank}_axis_" + "x".join(str(a) for a in (axis if isinstance(axis, list) else [axis]))
            layer(f"layer_{text}", "LayerNormalization", {"axis": axis}, shape)
            if axis in (-1, [-2, -1], [1, 2, 3]) or (axis == [1, 2] and rank == 3):
                # Of other axes Keras multiplies by a scale that isn't of their shape.
                layer(f"rms_{text}", "RMSNormalization", {"axis": axis}, shape)
            layer(f"unit_{text}", "UnitNormalization", {"axis": axis}, shape)
    for center in (True, False):
        for scale in (True, False):
            layer(f"layer_center_{center}_scale_{scale}", "LayerNormalization", {"center": center, "scale": scale},
                  (3, 4, 5))
            layer(f"group_center_{center}_scale_{scale}", "GroupNormalization",
                  {"groups": 2, "center": center, "scale": scale}, (3, 5, 4))
    for epsilon in (1e-6, 0.1):
        layer(f"layer_epsilon_{epsilon}", "LayerNormalization", {"epsilon": epsilon}, (4, 6))
        layer(f"rms_epsilon_{epsilon}", "RMSNormalization", {"epsilon": epsilon}, (4, 6))
        layer(f"group_epsilon_{epsilon}", "GroupNormalization", {"groups": 3, "epsilon": epsilon}, (4, 5, 6))
    for groups in (1, 2, 4, 8, -1):
        layer(f"group_{groups}", "GroupNormalization", {"groups": groups}, (2, 3, 4, 8))
        layer(f"group_{groups}_matrix", "GroupNormalization", {"groups": groups}, (3, 8))
    layer("group_axis1", "GroupNormalization", {"groups": 2, "axis": 1}, (2, 4, 3, 5))


if __name__ == "__main__":
    for part in (batch_normalization, others):
        part()
    cases.save("normalization")
