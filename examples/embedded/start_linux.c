// Starts a program on Linux, without a C library: x86-64, AArch64, RISC-V of 32 and 64 bits.
#include "device.h"

static long call(long number, long a, long b, long c) {
#if defined __x86_64__
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#elif defined __aarch64__
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#elif defined __riscv
  register long a7 __asm__("a7") = number;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
  return a0;
#endif
}

#if defined __x86_64__
enum { sys_write = 1, sys_exit = 60 };
#else
enum { sys_write = 64, sys_exit = 93 };
#endif

void print(const char* text) {
  long length = 0;
  while (text[length]) length++;
  while (length > 0) {
    const long written = call(sys_write, 1, (long)text, length);
    if (written <= 0) return;
    text += written;
    length -= written;
  }
}

__attribute__((used)) static void begin(void) {
  const int status = main();
  for (;;) call(sys_exit, status, 0, 0);
}

// The stack is aligned as functions expect it.
#if defined __x86_64__
__asm__(".globl _start\n_start:\n  and $-16, %rsp\n  call begin\n");
#elif defined __aarch64__
__asm__(".globl _start\n_start:\n  bl begin\n");
#elif defined __riscv
__asm__(".globl _start\n_start:\n  andi sp, sp, -16\n  call begin\n");
#endif
