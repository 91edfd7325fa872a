"""Bytes that other ways to a device take for a network, as a JSON object on stdout: sizes.py NETWORK --threads 1

Of each, {"code": instructions, or the library that has them, "memory": working memory for one image} as far as it can
be known here; "note" says what is meant.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from keras_model import flatbuffer, keras, keras_model

NETWORK = sys.argv[1]
ROW = {"network": NETWORK, "batch": 1, "mode": "predict", "dropout": False}
CORTEX_M4 = ["clang-19", "--target=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "-Os", "-ffreestanding",
             "-ffunction-sections", "-fdata-sections"]


def library(package, *names):
    """Bytes of a package's shared libraries."""
    folder = pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])
    files = [file for name in names for file in folder.glob(name)]
    if not files:
        raise FileNotFoundError(f"{package} has no {names[0]}")
    return sum(file.stat().st_size for file in files)


def system_headers():
    """Where the C library of this machine has its headers, as the compiler says."""
    told = subprocess.run(["clang-19", "-E", "-v", "-x", "c", os.devnull], check=True, capture_output=True, text=True)
    folders = told.stderr.split("search starts here:")[-1].split("End of search list")[0]
    return [f"-isystem{folder.strip()}" for folder in folders.splitlines() if folder.strip()]


def tflite_micro():
    from tflite_micro import runtime

    model = flatbuffer(ROW)

    def is_enough(arena):
        try:
            runtime.Interpreter.from_bytes(model, arena_size=arena)
        except RuntimeError:
            return False
        return True

    too_few, enough = 0, 1 << 20
    if not is_enough(enough):
        raise RuntimeError("it can't run the network in a megabyte")
    while enough - too_few > 16:  # what it aligns to
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if is_enough(middle) else (middle, enough)
    return {"code": library("tflite_micro", "python/tflite_micro/_runtime*.so"), "memory": enough,
            "note": f"its Python module for this machine; the least arena; a model of {len(model)} bytes"}


def emlearn():
    import emlearn as package

    dense = [layer for layer in keras_model(ROW).layers if not isinstance(layer, keras.layers.InputLayer)]
    if not all(isinstance(layer, keras.layers.Dense) for layer in dense):
        raise NotImplementedError("it has Dense layers only")
    inputs, outputs = dense[0].kernel.shape[0], dense[-1].units
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # it leaves files where it is run
        net = package.convert(keras.Sequential([keras.Input((inputs,)), *dense]), method="inline")
        net.save(file=f"{folder}/net.h", name="net")
        pathlib.Path(folder, "net.c").write_text(
            '#include "net.h"\n'
            f"int run(const float *x, float *y) {{ return net_regress(x, {inputs}, y, {outputs}); }}\n")
        # The C library's headers of this machine do; they ask for one that only its 32-bit library has.
        pathlib.Path(folder, "gnu").mkdir()
        pathlib.Path(folder, "gnu/stubs-32.h").touch()
        system = [f"-isystem{folder}", *system_headers()]
        subprocess.run([*CORTEX_M4, *system, f"-I{package.includedir}", "-c", f"{folder}/net.c", "-o",
                        f"{folder}/net.o"], check=True, capture_output=True)
        subprocess.run(["ld.lld-19", "--gc-sections", "--entry=run", "--unresolved-symbols=ignore-all",
                        "-o", f"{folder}/net", f"{folder}/net.o"], check=True, capture_output=True)
        listing = subprocess.run(["llvm-size-19", "-A", f"{folder}/net"], check=True, capture_output=True, text=True)
        undefined = subprocess.run(["llvm-nm-19", "--undefined-only", "--format=just-symbols", f"{folder}/net"],
                                   check=True, capture_output=True, text=True)
    sizes = {words[0]: int(words[1]) for words in map(str.split, listing.stdout.splitlines()) if len(words) == 3
             and words[0].startswith(".")}
    code = sum(size for name, size in sizes.items() if name.startswith(".text"))
    memory = sum(size for name, size in sizes.items() if name.startswith((".bss", ".data")))
    calls = ", ".join(undefined.stdout.split())
    return {"code": code, "memory": memory, "note": "for a Cortex-M4" + (f"; it calls {calls}" if calls else "")}


def litert():
    return {"code": library("ai_edge_litert", "libLiteRt.so", "libpywrap_litert_common.so"),
            "note": "its libraries for this machine"}


def onnxruntime():
    return {"code": library("onnxruntime", "capi/libonnxruntime.so.*"), "note": "its library for this machine"}


sizes = {}
for peer in (tflite_micro, emlearn, litert, onnxruntime):
    try:
        sizes[peer.__name__] = peer()
    except Exception as error:
        sizes[peer.__name__] = {"note": f"{type(error).__name__}: {error}"}
print(json.dumps(sizes))
