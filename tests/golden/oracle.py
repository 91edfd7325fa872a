"""Real Keras as the oracle, in float64 on JAX. Import it before keras."""

import json
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


def save_index(name, parts):
    """Writes tests/golden/NAME.json: {part: cases}, a line for each case."""
    lines = {part: ",\n".join("  " + json.dumps(case) for case in cases) for part, cases in parts.items()}
    text = ",\n".join(f'"{part}": [\n{cases}\n]' for part, cases in lines.items())
    (FOLDER / f"{name}.json").write_text("{\n" + text + "\n}\n")
    print({part: len(cases) for part, cases in parts.items()})
