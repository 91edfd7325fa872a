// Classifies images with an exported LeNet; tensors and files are those of Kiln's runtime.
#include <kiln/runtime/tensor.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "images.h"
#include "lenet.h"

int main() {
  std::vector<double> scratch((LENET_SCRATCH_BYTES + 7) / 8);
  int as_on_the_host = 0;
  for (int i = 0; i < IMAGES; i++) {
    kiln::Tensor scores({LENET_SCORES_ELEMENTS}, kiln::DType::f32);
    if (lenet_predict(images + i * LENET_IMAGE_ELEMENTS, scores.data<float>(), scratch.data()) != 0) return 1;
    const std::vector<float> all = scores.to_vector<float>();
    as_on_the_host += std::max_element(all.begin(), all.end()) - all.begin() == guesses[i];
  }
  std::printf("%d of %d as on the host\n", as_on_the_host, IMAGES);
  return as_on_the_host == IMAGES ? 0 : 2;
}
