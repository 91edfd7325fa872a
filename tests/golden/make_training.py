"""Twenty training steps of an MLP and of LeNet with real Keras in float64, for each optimizer.

Writes training_MODEL_OPTIMIZER.safetensors; README.md in this folder says what is in them. Run by ./dev golden.
`make_training.py --check-float32` shows how far Keras in float32 is from Keras in float64 instead.
"""

import sys

from oracle import save  # before keras

from formula import describe_update, float32, glorot, labels, uniform

import keras
import numpy as np
from keras.ops import convert_to_numpy as numpy

STEPS = 20
BATCH = 32
SMALL = 4096  # variables up to this size are stored whole
SAMPLE = 1024
PROJECTIONS = 8
POOL_MARGIN = 2e-6  # see `undecided`
RELU_MARGIN = 1e-4


def mlp():
    return keras.Sequential([
        keras.layers.Input((28, 28, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(256, activation="relu", name="dense"),
        keras.layers.Dense(10, name="dense_1"),
    ])


def lenet():
    return keras.Sequential([
        keras.layers.Input((28, 28, 1)),
        keras.layers.Conv2D(6, 5, padding="same", activation="sigmoid", name="conv2d"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(16, 5, activation="sigmoid", name="conv2d_1"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(120, activation="sigmoid", name="dense"),
        keras.layers.Dense(84, activation="sigmoid", name="dense_1"),
        keras.layers.Dense(10, name="dense_2"),
    ])


MODELS = {"mlp": mlp, "lenet": lenet}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(learning_rate=0.2),
    "momentum": lambda: keras.optimizers.SGD(learning_rate=0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(learning_rate=1e-3),
    "adagrad": lambda: keras.optimizers.Adagrad(learning_rate=1e-2),
    "adam": lambda: keras.optimizers.Adam(learning_rate=1e-3),
}


def variable_paths(model):
    """conv2d/kernel, conv2d/bias, dense/kernel, ... in the order of the weights"""
    return [f"{layer.name}/{v.name}" for layer in model.layers for v in layer.trainable_variables]


def initial_weights(model_name, model):
    """Kernels by glorot("MODEL/LAYER/kernel"), biases zero."""
    return [glorot(f"{model_name}/{path}", v.shape) if v.name == "kernel" else np.zeros(v.shape)
            for path, v in zip(variable_paths(model), model.trainable_variables)]


def image(step, row, attempt):
    return float32(uniform(f"images/{step}/{row}/{attempt}", (28, 28, 1)))


def undecided(model, images):
    """For each image: does float32 rounding perhaps decide which way its gradient goes?

    That is so where the two largest elements of a pooling window, or a relu's argument and zero, are very close.
    One such window in a batch moves the gradient of LeNet's first kernel by a few thousandths, and Adam makes a
    relu that only one image switches on as important as any other: an image that has one is replaced, so that the
    tests' bounds can be tight.
    """
    images = keras.ops.convert_to_tensor(images)
    result = np.zeros(len(images), bool)
    for layer in model.layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            x = numpy(keras.Model(model.inputs, layer.input)(images))
            n, h, w, c = x.shape[0], x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
            windows = x[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, c).transpose(0, 1, 3, 5, 2, 4)
            windows = np.sort(windows.reshape(n, -1, 4), axis=-1)
            result |= np.min(windows[..., 3] - windows[..., 2], axis=1) < POOL_MARGIN
        elif isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.relu:
            x = numpy(keras.Model(model.inputs, layer.input)(images))
            z = x @ numpy(layer.kernel) + numpy(layer.bias)
            result |= np.min(np.abs(z), axis=1) < RELU_MARGIN
    return result


def choose_attempts(model, step):
    """For each row of the batch, the first attempt whose image is not undecided."""
    attempts = np.zeros(BATCH, np.int32)
    while True:
        bad = undecided(model, np.stack([image(step, row, attempts[row]) for row in range(BATCH)]))
        if not bad.any():
            return attempts
        attempts[bad] += 1


def batch(step, attempts):
    images = np.stack([image(step, row, attempts[row]) for row in range(BATCH)])
    return images, labels(f"labels/{step}", BATCH, 10)


def train(model_name, optimizer_name, floatx="float64", attempts=None):
    """Trains on the given attempts, or chooses them.

    Returns the attempts, the loss of each step, the variables' paths, and the weights before the first step, after
    it, and after the last.
    """
    keras.backend.clear_session()
    keras.config.set_floatx(floatx)
    model = MODELS[model_name]()
    model.compile(optimizer=OPTIMIZERS[optimizer_name](),
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.set_weights(initial_weights(model_name, model))
    weights = [model.get_weights()]
    losses, chosen = [], []
    for step in range(STEPS):
        chosen.append(choose_attempts(model, step) if attempts is None else attempts[step])
        images, targets = batch(step, chosen[-1])
        model.reset_metrics()
        losses.append(float(model.train_on_batch(images.astype(floatx), targets)))
        if step in (0, STEPS - 1):
            weights.append(model.get_weights())
    return np.stack(chosen), np.array(losses), variable_paths(model), weights


def main():
    for model_name in MODELS:
        for optimizer_name in OPTIMIZERS:
            attempts, losses, paths, (start, first, last) = train(model_name, optimizer_name)
            tensors = {"attempts": attempts, "losses": losses}
            for i, path in enumerate(paths):
                for step, weights in ((1, first), (STEPS, last)):
                    update = describe_update(weights[i] - start[i], SMALL, SAMPLE, PROJECTIONS)
                    for key, value in update.items():
                        tensors[f"step{step}/{path}/{key}"] = value
            save(f"training_{model_name}_{optimizer_name}", tensors)


def check_float32():
    for model_name in MODELS:
        for optimizer_name in OPTIMIZERS:
            attempts, losses, paths, weights = train(model_name, optimizer_name)
            _, rough_losses, _, rough_weights = train(model_name, optimizer_name, "float32", attempts)
            print(f"{model_name} {optimizer_name}: losses {np.max(np.abs(rough_losses / losses - 1)):.1e}")
            for i, path in enumerate(paths):
                for t, step in ((1, 1), (2, STEPS)):
                    want = weights[t][i] - weights[0][i]
                    got = rough_weights[t][i].astype(np.float64) - rough_weights[0][i]
                    print(f"  {path} step {step}: {np.linalg.norm(got - want) / np.linalg.norm(want):.1e}")


if __name__ == "__main__":
    check_float32() if "--check-float32" in sys.argv else main()
