// What a device runs in the tests of exported models: the model's own test, with memory that is watched.
// Compiled without a library, with -include MODEL.h and -DNET_... below; the exit status is 0, or says what
// went wrong.
#include <stdint.h>

// Of a model that was exported as "net", with one output that is called "scores".
static NET_SCORES_TYPE scores[NET_SCORES_ELEMENTS];

// The scratch memory, with bytes around it that nobody may touch. It is aligned as little as it may be.
#define GUARD 64
#define FILL 0xa5
static _Alignas(NET_SCRATCH_ALIGN > GUARD
                    ? NET_SCRATCH_ALIGN
                    : GUARD) uint8_t memory[2 * GUARD + NET_SCRATCH_ALIGN + NET_SCRATCH_BYTES];

int main(void);

int main(void) {
  uint8_t* scratch = memory + GUARD + (NET_SCRATCH_BYTES > 0 ? NET_SCRATCH_ALIGN : 0);
  const uint8_t* end = memory + sizeof memory;
  for (uint8_t* p = memory; p < end; p++) *p = FILL;
  const int failed = net_selftest(scores, scratch);
  if (failed) return 10 + failed;
  for (const uint8_t* p = memory; p < scratch; p++)
    if (*p != FILL) return 2;
  for (const uint8_t* p = scratch + NET_SCRATCH_BYTES; p < end; p++)
    if (*p != FILL) return 3;
  // A second run finds the scratch memory in another state.
  if (net_selftest(scores, scratch)) return 4;
  if (NET_SCRATCH_ALIGN > 1 && net_selftest(scores, scratch + 1) != -1) return 5;
  return 0;
}
