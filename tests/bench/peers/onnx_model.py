"""A network as an ONNX model of one batch size, NCHW, for the peers that only run models."""

import numpy as np
from common import NETWORKS, Walk, channels_first_kernels, same, shapes_of, statistics_of, weights_of
from onnx import TensorProto, helper, numpy_helper


def channels_first_shape(shape):
    return shape if len(shape) < 3 else [shape[2], *shape[:2]]


class Ops:
    def __init__(self, weights, statistics):
        self.weights, self.statistics, self.nodes, self.constants = weights, statistics, [], []

    def node(self, op, inputs, **attributes):
        result = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attributes))
        return result

    def activated(self, x, activation):
        return self.node({"relu": "Relu", "sigmoid": "Sigmoid", "gelu": "Gelu"}[activation], [x]) if activation else x

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights_of(self, name):
        return [self.constant(array) for array in self.weights[name]]

    def conv(self, x, name, filters, kernel, strides, padding, activation, bias):
        pad = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
        return self.activated(self.node("Conv", [x, *self.weights_of(name)], strides=[strides] * 2, **pad), activation)

    def conv_transpose(self, x, name, filters, kernel, strides, activation):
        y = self.node("ConvTranspose", [x, *self.weights_of(name)], strides=[strides] * 2,
                      pads=np.repeat(same(strides, kernel, strides), 2))  # of any multiple of the strides
        return self.activated(y, activation)

    def dense(self, x, name, units, activation):
        w, b = self.weights_of(name)
        return self.activated(self.node("Add", [self.node("MatMul", [x, w]), b]), activation)

    def batch_norm(self, x, name, activation):
        statistics = map(self.constant, self.statistics[name])
        y = self.node("BatchNormalization", [x, *self.weights_of(name), *statistics], epsilon=1e-3)
        return self.activated(y, activation)

    def layer_norm(self, x, name):
        return self.node("LayerNormalization", [x, *self.weights_of(name)], epsilon=1e-3)

    def attention(self, x, project, output, width, heads, rate):
        parts = [f"{project}/{part}" for part in "qkv"]
        self.nodes.append(
            helper.make_node("Split", [self.dense(x, project, 3 * width, None)], parts, axis=-1, num_outputs=3))
        return self.dense(self.node("Attention", parts, q_num_heads=heads, kv_num_heads=heads), output, width, None)

    def positions(self, x, name):
        return self.node("Add", [x, *self.weights_of(name)])

    def max_pool(self, x, size, strides, padding):
        pad = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
        return self.node("MaxPool", [x], kernel_shape=[size] * 2, strides=[strides] * 2, **pad)

    def concatenate(self, xs):
        return self.node("Concat", xs, axis=1)

    def add(self, a, b, activation):
        return self.activated(self.node("Add", [a, b]), activation)

    def flatten(self, x):
        return self.node("Flatten", [x])

    def reshape(self, x, shape):
        """To an image, or from one to tokens."""
        if len(shape) == 2:
            x = self.node("Transpose", [x], perm=[0, 2, 3, 1])
        return self.node("Reshape", [x, self.constant([-1, *channels_first_shape(shape)])])

    def global_average_pool(self, x):
        return self.node("Flatten", [self.node("GlobalAveragePool", [x])])

    def average_tokens(self, x):
        return self.node("ReduceMean", [x, self.constant([1])], keepdims=0)

    def dropout(self, x, rate):
        return x


def onnx_model(row):
    """The model; NotImplementedError for a row of training."""
    if row["mode"] != "predict":
        raise NotImplementedError("it only predicts")
    network = NETWORKS[row["network"]]
    weights, shapes = channels_first_kernels(row["network"], weights_of(row["network"])), shapes_of(row["network"])
    for name, image in shapes.images.items():  # a copy less: the dense layer gives its results in NCHW order
        weights[name] = [np.moveaxis(a.reshape(*a.shape[:-1], *image), -1, -3).reshape(a.shape) for a in weights[name]]
    ops = Ops(weights, statistics_of(row["network"]))
    y = Walk(ops).run(network["layers"], "x")

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [row["batch"], *channels_first_shape(shape)])

    graph = helper.make_graph(
        ops.nodes, row["network"], [value("x", network["input"])], [value(y, shapes.result)],
        ops.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 11
    return model


def channels_first(x):
    """All networks' images have one channel, so that NHWC and NCHW are the same bytes."""
    return x.reshape(x.shape[0], x.shape[3], x.shape[1], x.shape[2]) if x.ndim == 4 else x
