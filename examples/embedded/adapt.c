// A device that learns: it classifies test pictures, trains on pictures of its own, and classifies them
// again. The step was made by export_training.cpp, for batches of LENET_SCORES_LABELS_ELEMENTS pictures.
#include "device.h"
#include "lenet.h"
#include "pictures.h"

#include <stdint.h>

static _Alignas(LENET_STATE_ALIGN) uint8_t state[LENET_STATE_BYTES];
// Training and predictions take turns, so one piece of memory serves both.
static _Alignas(LENET_SCRATCH_ALIGN) union {
  uint8_t train[LENET_TRAIN_SCRATCH_BYTES];
  uint8_t predict[LENET_PREDICT_SCRATCH_BYTES];
} scratch;

// How many test pictures it knows; -1 if it can't predict.
static int right_of_tests(void) {
  int right = 0;
  for (int i = 0; i < TESTS; i++) {
    float scores[LENET_SCORES_ELEMENTS];
    if (lenet_predict(tests + i * LENET_IMAGE_ELEMENTS, scores, state, scratch.predict)) return -1;
    int best = 0;
    for (int k = 1; k < LENET_SCORES_ELEMENTS; k++)
      if (scores[k] > scores[best]) best = k;
    right += best == test_classes[i];
  }
  return right;
}

static void report(const char* when, int right, int on_the_host) {
  print(when);
  print_number(right);
  print(" of ");
  print_number(TESTS);
  print("; on the host: ");
  print_number(on_the_host);
  print("\n");
}

int main(void) {
  if (lenet_init(state)) return 1;
  const int before = right_of_tests();
  if (before < 0) return 2;
  report("before training: ", before, RIGHT_BEFORE);

  for (int first = 0; first < PICTURES; first += LENET_TRAIN_BATCH) {
    int32_t labels[LENET_TRAIN_BATCH];
    for (int i = 0; i < LENET_TRAIN_BATCH; i++) labels[i] = picture_classes[first + i];
    float loss;
    if (lenet_train_on_batch(pictures + first * LENET_IMAGE_ELEMENTS, labels, &loss, state, scratch.train))
      return 3;
  }

  const int after = right_of_tests();
  if (after < 0) return 2;
  report("after training: ", after, RIGHT_AFTER);
  return 0;
}
