"""Keras 3 on TensorFlow, forward and training step each one XLA-compiled function."""

from common import NETWORKS, serve
from keras_model import keras, keras_model, tf


def prepare(row):
    if row["mode"] == "kernel":
        raise NotImplementedError("it runs networks only")
    model = keras_model(row)
    if row["mode"] == "predict":
        run = tf.function(lambda x: model(x, training=False), jit_compile=True)
        return lambda x, y: run(tf.convert_to_tensor(x)).numpy()

    sgd = row["optimizer"] == "sgd"
    optimizer = keras.optimizers.SGD(0.01) if sgd else keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    mse = NETWORKS[row["network"]].get("loss") == "mse"
    loss_of = keras.losses.MeanSquaredError() if mse else keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=True)
    def run(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(x if mse else y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return lambda x, y: run(tf.convert_to_tensor(x), tf.convert_to_tensor(y)).numpy()


serve(prepare)
