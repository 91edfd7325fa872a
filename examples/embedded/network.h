// The network of the programs beside this file: LeNet on images of bytes.
#pragma once
#include <kiln/kiln.h>

inline kiln::Sequential lenet() {
  using namespace kiln;
  using namespace kiln::layers;
  return Sequential({
      Input({28, 28, 1}, {.dtype = DType::u8, .name = "image"}),
      Rescaling(1.0 / 255),
      Conv2D(6, 5, {.padding = "same", .activation = "relu"}),
      MaxPooling2D(2),
      Conv2D(16, 5, {.activation = "relu"}),
      MaxPooling2D(2),
      Flatten(),
      Dense(120, {.activation = "relu"}),
      Dense(84, {.activation = "relu"}),
      Dense(10, {.name = "scores"}),
  });
}
