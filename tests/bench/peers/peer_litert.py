"""LiteRT, which was TensorFlow Lite, with its XNNPACK kernels; prediction only."""

from ai_edge_litert.interpreter import Interpreter
from common import THREADS, serve
from keras_model import flatbuffer


def prepare(row):
    if row["mode"] != "predict":
        raise NotImplementedError("it only predicts")
    interpreter = Interpreter(model_content=flatbuffer({**row, "dropout": False}), num_threads=THREADS)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def predict(x, y):
        interpreter.set_tensor(inputs, x)
        interpreter.invoke()
        return interpreter.get_tensor(outputs)

    return predict


serve(prepare)
