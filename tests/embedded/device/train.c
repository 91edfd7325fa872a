// What a device runs in the tests of exported training steps: steps on known batches, whose losses must be
// the host's, then predictions with what was learned. Compiled without a library; data.h beside net.h has the
// data.
#include "data.h"
#include "device.h"
#include "net.h"

#include <stdint.h>

// The memory, with bytes around it that nobody may touch.
#define GUARD 64
#define FILL 0xa5
struct Watched {
  uint8_t before[GUARD];
  _Alignas(8) uint8_t state[NET_STATE_BYTES];
  uint8_t between[GUARD];
  _Alignas(8) uint8_t train_scratch[NET_TRAIN_SCRATCH_BYTES];
  uint8_t after_train[GUARD];
  _Alignas(8) uint8_t predict_scratch[NET_PREDICT_SCRATCH_BYTES];
  uint8_t after[GUARD];
};
static struct Watched memory;

static void fill(uint8_t* bytes) {
  for (int i = 0; i < GUARD; i++) bytes[i] = FILL;
}
static int is_filled(const uint8_t* bytes) {
  for (int i = 0; i < GUARD; i++)
    if (bytes[i] != FILL) return 0;
  return 1;
}

int main(void) {
  fill(memory.before);
  fill(memory.between);
  fill(memory.after_train);
  fill(memory.after);
  if (net_init(memory.state)) return 1;
  for (int step = 0; step < STEPS; step++) {
    const int batch = step % BATCHES;
    float loss = 0;
    if (net_train_on_batch(images + batch * NET_IMAGE_TRAIN_ELEMENTS,
                           labels + batch * NET_SCORES_LABELS_ELEMENTS, &loss, memory.state,
                           memory.train_scratch))
      return 2;
    const float difference = loss - losses[step];
    if (!(difference <= 1e-4f * losses[step] && -difference <= 1e-4f * losses[step])) return 3;
  }
  int as_on_the_host = 0;
  for (int i = 0; i < TESTS; i++) {
    float scores[NET_SCORES_ELEMENTS];
    if (net_predict(images + i * NET_IMAGE_ELEMENTS, scores, memory.state, memory.predict_scratch)) return 4;
    int best = 0;
    for (int k = 1; k < NET_SCORES_ELEMENTS; k++)
      if (scores[k] > scores[best]) best = k;
    as_on_the_host += best == guesses[i];
  }
  if (!is_filled(memory.before) || !is_filled(memory.between) || !is_filled(memory.after_train) ||
      !is_filled(memory.after))
    return 5;
  return as_on_the_host == TESTS ? 0 : 6;
}
