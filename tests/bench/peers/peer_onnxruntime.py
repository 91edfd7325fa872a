"""ONNX Runtime, prediction only."""

import onnxruntime
from common import THREADS, serve
from onnx_model import channels_first, onnx_model


def prepare(row):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(onnx_model(row).SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return lambda x, y: session.run(None, {"x": channels_first(x)})[0]


serve(prepare)
