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

// The stack below main's frame, filled before a call and looked at behind it. MARGIN is for what the compiler
// keeps there between the two. WebAssembly's calls have a stack of their own; and vectors whose size only the
// CPU knows come beside NET_STACK_BYTES.
#if !defined __wasm__ && !defined __riscv_v
#define STACK (4 * NET_STACK_BYTES + 4096)
#define MARGIN 128
__attribute__((noinline)) static void fill_stack(volatile uint8_t* top) {
  for (int i = MARGIN; i < STACK; i++) top[-i] = FILL;
}
__attribute__((noinline)) static int stayed_in_stack(volatile uint8_t* top) {
  int used = STACK - 1;
  while (used >= MARGIN && top[-used] == FILL) used--;
  return used <= NET_STACK_BYTES + MARGIN;
}
#define FRAME __builtin_frame_address(0)
#else
#define FRAME 0
#define fill_stack(top) (void)(top)
#define stayed_in_stack(top) 1
#endif

// Shows that a device's start-up code brings data with their values into memory.
static volatile uint32_t initialised = 0x600dda7a;

int main(void);

int main(void) {
  if (initialised++ != 0x600dda7a) return 7;
  uint8_t* scratch = memory + GUARD + (NET_SCRATCH_BYTES > 0 ? NET_SCRATCH_ALIGN : 0);
  const uint8_t* end = memory + sizeof memory;
  for (uint8_t* p = memory; p < end; p++) *p = FILL;
  volatile uint8_t* top = FRAME;
  fill_stack(top);
  const int failed = net_selftest(scores, scratch);
  if (failed) return 10 + failed;
  if (!stayed_in_stack(top)) return 6;
  for (const uint8_t* p = memory; p < scratch; p++)
    if (*p != FILL) return 2;
  for (const uint8_t* p = scratch + NET_SCRATCH_BYTES; p < end; p++)
    if (*p != FILL) return 3;
  // A second run finds the scratch memory in another state.
  if (net_selftest(scores, scratch)) return 4;
  if (NET_SCRATCH_ALIGN > 1 && net_selftest(scores, scratch + 1) != -1) return 5;
  return 0;
}
