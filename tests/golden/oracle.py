"""Real Keras as the oracle, in float64 on JAX. Import it before keras."""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import pathlib

import numpy as np
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).resolve().parent


def save(name, tensors, metadata=None):
    """Writes tests/golden/NAME.safetensors; float64 unless given otherwise."""
    path = FOLDER / f"{name}.safetensors"
    save_file({k: np.asarray(v, order="C") for k, v in tensors.items()}, path, metadata)
    print(f"{path.name}: {path.stat().st_size} bytes")
