// Starts a program on a Cortex-M without an operating system. Its console is the debugger's (here qemu).
#include "device.h"

#include <stdint.h>

extern uint32_t stack_top[], bss_begin[], bss_end[], data_begin[], data_end[], data_source[];

// Arm's semihosting (Arm document IHI 0100): number in r0, argument in r1.
static int host(int operation, const void* argument) {
  register int r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void print(const char* text) {
  const int write0 = 0x04;
  host(write0, text);
}

static void leave(int status) {
  const int exit_extended = 0x20;
  const uint32_t application_exit = 0x20026;
  const uint32_t block[] = {application_exit, (uint32_t)status};
  for (;;) host(exit_extended, block);
}

static void fault(void) {
  leave(99);
}

__attribute__((used)) void reset(void) {
  *(volatile uint32_t*)0xe000ed88 |= 0xfu << 20;  // CPACR: the floating-point unit may be used
  __asm__ volatile("dsb\n  isb" ::: "memory");
  for (uint32_t *p = data_begin, *from = data_source; p < data_end; p++, from++) *p = *from;
  for (uint32_t* p = bss_begin; p < bss_end; p++) *p = 0;
  leave(main());
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))stack_top, reset, fault, fault, fault, fault, fault};
