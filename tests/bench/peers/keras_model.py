"""A network as a Keras model on TensorFlow, for the peers that begin with one."""

import os
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
from common import NETWORKS, THREADS, Walk, weights_of
from keras import layers

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


class Positions(layers.Layer):
    """Adds a weight for each place."""

    def build(self, shape):
        self.places = self.add_weight(shape=shape[1:])

    def call(self, x):
        return x + self.places


class Ops:
    def __init__(self, weights, dropout):
        self.weights, self.enabled = weights, dropout

    def weighted(self, layer, x, name):
        y = layer(x)
        layer.set_weights(self.weights[name])
        return y

    def conv(self, x, name, filters, kernel, strides, padding, activation, bias):
        layer = layers.Conv2D(filters, kernel, strides, padding, activation=activation, use_bias=bias)
        return self.weighted(layer, x, name)

    def conv_transpose(self, x, name, filters, kernel, strides, activation):
        return self.weighted(layers.Conv2DTranspose(filters, kernel, strides, "same", activation=activation), x, name)

    def dense(self, x, name, units, activation):
        return self.weighted(layers.Dense(units, activation), x, name)

    def batch_norm(self, x, name, activation):  # its weights are ones and zeros anyway
        return layers.Activation(activation)(layers.BatchNormalization()(x))

    def layer_norm(self, x, name):
        return layers.LayerNormalization()(x)

    def attention(self, x, project, output, width, heads, rate):
        layer = layers.MultiHeadAttention(heads, width // heads, dropout=rate if self.enabled else 0)
        y = layer(x, x)
        inner = [part for pair in zip(*(np.split(a, 3, -1) for a in self.weights[project])) for part in pair]
        values = (*inner, *self.weights[output])
        layer.set_weights([v.reshape(w.shape) for v, w in zip(values, layer.get_weights())])
        return y

    def positions(self, x, name):
        return self.weighted(Positions(), x, name)

    def max_pool(self, x, size, strides, padding):
        return layers.MaxPooling2D(size, strides, padding)(x)

    def concatenate(self, xs):
        return layers.Concatenate()(xs)

    def add(self, a, b, activation):
        return layers.Activation(activation)(layers.Add()([a, b]))

    def flatten(self, x):
        return layers.Flatten()(x)

    def reshape(self, x, shape):
        return layers.Reshape(shape)(x)

    def global_average_pool(self, x):
        return layers.GlobalAveragePooling2D()(x)

    def average_tokens(self, x):
        return layers.GlobalAveragePooling1D()(x)

    def dropout(self, x, rate):
        return layers.Dropout(rate)(x) if self.enabled else x


def keras_model(row):
    network = NETWORKS[row["network"]]
    inputs = keras.Input(network["input"])
    ops = Ops(weights_of(row["network"]), row["dropout"])
    return keras.Model(inputs, Walk(ops).run(network["layers"], inputs))


def flatbuffer(row):
    """The network in TensorFlow Lite's format."""
    model = keras_model(row)
    signature = keras.InputSpec(shape=[row["batch"], *NETWORKS[row["network"]]["input"]], dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, input_signature=[signature], verbose=False)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()
