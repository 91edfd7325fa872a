"""Keras 3 on TensorFlow, forward and training step each one XLA-compiled function."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import tensorflow as tf
from common import NETWORKS, THREADS, Walk, serve, weights_of
from keras import layers

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


class Ops:
    def __init__(self, dropout):
        self.enabled = dropout

    def conv(self, x, name, filters, kernel, strides, padding, activation):
        return layers.Conv2D(filters, kernel, strides, padding, activation=activation, name=name)(x)

    def dense(self, x, name, units, activation):
        return layers.Dense(units, activation, name=name)(x)

    def max_pool(self, x, size, strides, padding):
        return layers.MaxPooling2D(size, strides, padding)(x)

    def concatenate(self, xs):
        return layers.Concatenate()(xs)

    def flatten(self, x):
        return layers.Flatten()(x)

    def global_average_pool(self, x):
        return layers.GlobalAveragePooling2D()(x)

    def dropout(self, x, rate):
        return layers.Dropout(rate)(x) if self.enabled else x


def prepare(row):
    if row["mode"] == "kernel":
        raise NotImplementedError("it runs networks only")
    network = NETWORKS[row["network"]]
    inputs = keras.Input(network["input"])
    model = keras.Model(inputs, Walk(Ops(row["dropout"])).run(network["layers"], inputs))
    for name, pair in weights_of(row["network"]).items():
        model.get_layer(name).set_weights(pair)

    if row["mode"] == "predict":
        run = tf.function(lambda x: model(x, training=False), jit_compile=True)
        return lambda x, y: run(tf.convert_to_tensor(x)).numpy()

    sgd = row["optimizer"] == "sgd"
    optimizer = keras.optimizers.SGD(0.01) if sgd else keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=True)
    def run(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda x, y: run(tf.convert_to_tensor(x), tf.convert_to_tensor(y)).numpy()


serve(prepare)
