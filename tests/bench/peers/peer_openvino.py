"""OpenVINO with the latency hint, prediction only."""

import openvino
from common import THREADS, serve
from onnx_model import channels_first, onnx_model


def prepare(row):
    core = openvino.Core()
    model = core.read_model(onnx_model(row).SerializeToString())
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def predict(x, y):
        return request.infer([channels_first(x)], share_inputs=True)[0]

    return predict


serve(prepare)
