// A user's program: LeNet on Fashion-MNIST, and a functional model with branches. Compiled only (install.headers).
#include <kiln/kiln.h>
using namespace kiln;
using namespace kiln::layers;

void branches() {
  auto x = Input({96, 96, 1});
  auto a = Conv2D(64, 1, {.activation = "relu"})(x);
  auto b = Conv2D(128, 3, {.padding = "same", .activation = "relu"})(Conv2D(96, 1, {.activation = "relu"})(x));
  auto y = Dense(10)(GlobalAveragePooling2D()(Concatenate()({a, b})));
  Model model({.inputs = {x}, .outputs = {y}});
}

int main() {
  auto [train, test] = datasets::fashion_mnist::load_data();  // u8 images (N, 28, 28, 1), i32 labels (N)

  Sequential model({
      Input({28, 28, 1}),
      Rescaling(1.0 / 255),
      Conv2D(6, 5, {.padding = "same", .activation = "sigmoid"}),
      MaxPooling2D(2),
      Conv2D(16, 5, {.activation = "sigmoid"}),
      MaxPooling2D(2),
      Flatten(),
      Dense(120, {.activation = "sigmoid"}),
      Dense(84, {.activation = "sigmoid"}),
      Dense(10),
  });
  model.summary();

  model.compile({.optimizer = optimizers::Adam({.learning_rate = 5e-3}),
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  History history = model.fit(train.x, train.y, {.batch_size = 128, .epochs = 10});
  auto result = model.evaluate(test.x, test.y);  // result["loss"], result["accuracy"]
  Tensor logits = model.predict(test.x);
  model.save_weights("lenet.safetensors");
  branches();
}
