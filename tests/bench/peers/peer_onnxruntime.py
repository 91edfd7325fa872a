"""ONNX Runtime, prediction only."""

import sys

import onnxruntime
from common import serve
from onnx_model import channels_first, onnx_model

threads = int(sys.argv[sys.argv.index("--threads") + 1])


def prepare(row):
    if row["mode"] != "predict":
        raise NotImplementedError("it only predicts")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_model(row).SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return lambda x, y: session.run(None, {"x": channels_first(x)})[0]


serve(prepare)
