"""A network as an ONNX model of one batch size, NCHW, for the peers that only run models."""

from common import NETWORKS, Walk, channels_first_kernels, weights_of
from onnx import TensorProto, helper, numpy_helper


class Ops:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], []

    def node(self, op, inputs, **attributes):
        result = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attributes))
        return result

    def activated(self, x, activation):
        return self.node({"relu": "Relu", "sigmoid": "Sigmoid"}[activation], [x]) if activation else x

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x, name, filters, kernel, strides, padding, activation):
        w, b = self.weights[name]
        inputs = [x, self.constant(name + "/kernel", w), self.constant(name + "/bias", b)]
        pad = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
        return self.activated(self.node("Conv", inputs, strides=[strides] * 2, **pad), activation)

    def dense(self, x, name, units, activation):
        w, b = self.weights[name]
        inputs = [x, self.constant(name + "/kernel", w), self.constant(name + "/bias", b)]
        return self.activated(self.node("Gemm", inputs), activation)

    def max_pool(self, x, size, strides, padding):
        pad = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
        return self.node("MaxPool", [x], kernel_shape=[size] * 2, strides=[strides] * 2, **pad)

    def concatenate(self, xs):
        return self.node("Concat", xs, axis=1)

    def flatten(self, x):
        return self.node("Flatten", [x])

    def global_average_pool(self, x):
        return self.node("Flatten", [self.node("GlobalAveragePool", [x])])

    def dropout(self, x, rate):
        return x


def onnx_model(row):
    """The model; NotImplementedError for a row of training."""
    if row["mode"] != "predict":
        raise NotImplementedError("it only predicts")
    network = NETWORKS[row["network"]]
    ops = Ops(channels_first_kernels(row["network"], weights_of(row["network"])))
    y = Walk(ops).run(network["layers"], "x")
    shape = network["input"]
    if len(shape) == 3:
        shape = [shape[2], shape[0], shape[1]]
    graph = helper.make_graph(
        ops.nodes, row["network"],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [row["batch"], *shape])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, [row["batch"], 10])], ops.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def channels_first(x):
    """All networks' images have one channel, so that NHWC and NCHW are the same bytes."""
    return x.reshape(x.shape[0], x.shape[3], x.shape[1], x.shape[2]) if x.ndim == 4 else x
