#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "kiln/model.h"

/// The networks that the tests of exports run, each with an output "scores", and what they are fed.
namespace kiln::testing {

Model mlp();
Model lenet();
Model lenet_with(const std::string& activation);
Model depthwise();  ///< depthwise-separable, as microcontrollers run them
Model vgg();        ///< a quarter of VGG-11's channels
Model inception();  ///< one of GoogLeNet's blocks: four branches, concatenated
Model embedding();  ///< words by number: gathers, and a check of the numbers
Model averages();   ///< sigmoid before the pooling, tanh behind it
Model wide();       ///< large Dense layers, of whose inputs half are zero
Model tower();      ///< layers of few kinds and many sizes, which share kernels where code is to be short

struct Case {
  const char* name;
  Model (*make)();
  bool is_small;  ///< a microcontroller has room for it
};
/// mlp, lenet, depthwise, embedding, tower and averages, which are small, vgg, inception and wide.
extern const std::span<const Case> cases;

/// Of the model's only input: floats between -1 and 1, or whole numbers below 7.
Tensor random_input(const Model& model, std::int64_t rows);

}  // namespace kiln::testing
