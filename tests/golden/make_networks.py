"""Ten training steps of the books' networks with real Keras in float64.

Writes networks.json and networks.safetensors; README.md in this folder says what is in them. Run by ./dev golden.
"""

from oracle import save, save_index  # before keras

from formula import describe_update, float32, glorot, labels, uniform

import keras
import numpy as np
from keras import layers
from keras.src import backend
from keras.src.backend.common import dtypes


def widest(*types, standard=dtypes.result_type):
    """Keras 3.15.1 computes means and batch normalization in float32 even where floatx is float64."""
    return "float64" if "float64" in types else standard(*types)


dtypes.result_type = backend.result_type = widest

STEPS = 10
SMALL = 1024  # variables up to this size are stored whole
SAMPLE = 256
PROJECTIONS = 2


def conv(x, filters, kernel, strides=1, padding="same"):
    return layers.Conv2D(filters, kernel, strides=strides, padding=padding, activation="relu")(x)


def alexnet():
    image = x = layers.Input((224, 224, 1))
    x = layers.MaxPooling2D(3, strides=2)(conv(x, 96, 11, 4, "valid"))
    x = layers.MaxPooling2D(3, strides=2)(conv(x, 256, 5))
    x = conv(conv(conv(x, 384, 3), 384, 3), 256, 3)
    x = layers.Flatten()(layers.MaxPooling2D(3, strides=2)(x))
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(x)
    return keras.Model(image, layers.Dense(10)(x))


def vgg(divisor=4):
    image = x = layers.Input((96, 96, 1))
    for convolutions, filters in ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512)):
        for _ in range(convolutions):
            x = conv(x, filters // divisor, 3)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(2048 // divisor, activation="relu")(x)
    return keras.Model(image, layers.Dense(10)(x))


def nin():
    def block(x, filters, kernel, strides, padding):
        return conv(conv(conv(x, filters, kernel, strides, padding), filters, 1), filters, 1)

    image = x = layers.Input((224, 224, 1))
    x = layers.MaxPooling2D(3, strides=2)(block(x, 96, 11, 4, "valid"))
    x = layers.MaxPooling2D(3, strides=2)(block(x, 256, 5, 1, "same"))
    x = layers.MaxPooling2D(3, strides=2)(block(x, 384, 3, 1, "same"))
    x = block(x, 10, 3, 1, "same")
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def googlenet():
    def shrink(x):
        return layers.MaxPooling2D(3, strides=2, padding="same")(x)

    def inception(x, one, three_in, three, five_in, five, pool):
        pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
        return layers.Concatenate()([
            conv(x, one, 1), conv(conv(x, three_in, 1), three, 3), conv(conv(x, five_in, 1), five, 5),
            conv(pooled, pool, 1)])

    image = x = layers.Input((96, 96, 1))
    x = shrink(conv(x, 64, 7, 2))
    x = shrink(conv(conv(x, 64, 1), 192, 3))
    x = inception(x, 64, 96, 128, 16, 32, 32)
    x = shrink(inception(x, 128, 128, 192, 32, 96, 64))
    x = inception(x, 192, 96, 208, 16, 48, 64)
    x = inception(x, 160, 112, 224, 24, 64, 64)
    x = inception(x, 128, 128, 256, 24, 64, 64)
    x = inception(x, 112, 144, 288, 32, 64, 64)
    x = shrink(inception(x, 256, 160, 320, 32, 128, 128))
    x = inception(x, 256, 160, 320, 32, 128, 128)
    x = inception(x, 384, 192, 384, 48, 128, 128)
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def resnet():
    def convolution(x, filters, kernel, strides):
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def residual(x, filters, strides):
        y = layers.ReLU()(convolution(x, filters, 3, strides))
        y = convolution(y, filters, 3, 1)
        same = strides == 1 and x.shape[-1] == filters
        return layers.ReLU()(layers.Add()([y, x if same else convolution(x, filters, 1, strides)]))

    image = x = layers.Input((96, 96, 1))
    x = layers.ReLU()(convolution(x, 64, 7, 2))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for filters in (64, 128, 256, 512):
        x = residual(x, filters, 1 if filters == 64 else 2)
        x = residual(x, filters, 1)
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


# Model, batch size, learning rate.
NETWORKS = {
    "alexnet": (alexnet, 4, 0.01),
    "vgg": (vgg, 8, 0.05),
    "nin": (nin, 4, 0.005),
    "googlenet": (googlenet, 4, 0.05),
    "resnet": (resnet, 8, 0.005),
}


def initial_weight(network, i, variable):
    """Kernels by glorot("NETWORK/I"), I being the variable's place among all; the others as Keras has them."""
    if variable.name == "kernel":
        return glorot(f"{network}/{i}", variable.shape)
    return np.asarray(variable.numpy())


def main():
    keras.config.set_floatx("float64")
    tensors, index = {}, []
    for name, (make, batch_size, learning_rate) in NETWORKS.items():
        keras.backend.clear_session()
        model = make()
        model.compile(optimizer=keras.optimizers.SGD(learning_rate),
                      loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.set_weights([initial_weight(name, i, v) for i, v in enumerate(model.weights)])
        start = model.get_weights()
        losses = []
        for step in range(STEPS):
            images = float32(uniform(f"images/{step}", (batch_size, *model.input_shape[1:])))
            model.reset_metrics()
            losses.append(float(model.train_on_batch(images, labels(f"labels/{step}", batch_size, 10))))
            if step in (0, STEPS - 1):
                for i, (before, after) in enumerate(zip(start, model.get_weights())):
                    update = describe_update((after - before).ravel(), SMALL, SAMPLE, PROJECTIONS)
                    for key, value in update.items():
                        tensors[f"{name}/step{step + 1}/{i}/{key}"] = value
        print(name, losses)
        tensors[f"{name}/losses"] = np.array(losses)
        keras.config.set_floatx("float32")  # the model that is read computes in float32
        keras.backend.clear_session()
        index.append({"name": name, "batch_size": batch_size, "learning_rate": learning_rate,
                      "json": make().to_json()})
        keras.config.set_floatx("float64")
    save("networks", tensors)
    save_index("networks", {"networks": index})


if __name__ == "__main__":
    main()
