// Counts the instructions of a prediction on a Cortex-M in qemu, whose -icount shift=0 lets the clock go on
// by 1 ns with each: prints how many ticks of the processor's clock RUNS predictions take.
#include "device.h"
#include "net.h"

#include <stdint.h>

static _Alignas(8) uint8_t scratch[NET_SCRATCH_BYTES];
static float input[NET_INPUT_ELEMENTS], output[NET_OUTPUT_ELEMENTS];

static volatile uint32_t* const systick = (volatile uint32_t*)0xe000e010;
enum { CONTROL, RELOAD, NOW };

int main(void) {
  for (int i = 0; i < NET_INPUT_ELEMENTS; i++) input[i] = (float)(i % 17) / 17;
  const uint32_t most = 0xffffff, on_by_processor_clock = 5;
  systick[RELOAD] = most;
  systick[NOW] = 0;
  systick[CONTROL] = on_by_processor_clock;
  while (systick[NOW] == 0) {  // it begins at the next tick
  }
  const uint32_t start = systick[NOW];
  for (int run = 0; run < RUNS; run++)
    if (net_predict(input, output, scratch)) return 1;
  const uint32_t end = systick[NOW], went_round = 1u << 16;
  if (systick[CONTROL] & went_round || end > start) return 2;
  print_number((int)(start - end));
  print("\n");
  return 0;
}
