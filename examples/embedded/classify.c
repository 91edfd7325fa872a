// Classifies images of Fashion-MNIST with an exported model and prints how many it knows. No library is
// needed: this runs on a microcontroller as it does on Linux.
#include "device.h"
#include "images.h"
#include "lenet.h"

#include <stdint.h>

static _Alignas(LENET_SCRATCH_ALIGN) uint8_t scratch[LENET_SCRATCH_BYTES];
static float scores[LENET_SCORES_ELEMENTS];

int main(void) {
  if (lenet_selftest(scores, scratch)) {
    print("the self test failed\n");
    return 1;
  }
  int right = 0, as_on_the_host = 0;
  for (int i = 0; i < IMAGES; i++) {
    if (lenet_predict(images + 784 * i, scores, scratch)) return 2;
    int best = 0;
    for (int k = 1; k < LENET_SCORES_ELEMENTS; k++)
      if (scores[k] > scores[best]) best = k;
    right += best == classes[i];
    as_on_the_host += best == guesses[i];
  }
  print("right: ");
  print_number(right);
  print(" of ");
  print_number(IMAGES);
  print("; as on the host: ");
  print_number(as_on_the_host);
  print("\n");
  return 0;
}
