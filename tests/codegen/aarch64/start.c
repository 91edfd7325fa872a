// Runs one compiled program on AArch64 Linux, without a C library. Standard input holds
//
//     entries    i64, of the table
//     bytes      i64, of the memory
//     error      i64, where in the memory the error record lies
//     table      entries times i64, where in the memory each buffer begins
//     memory     bytes
//
// and standard output gets what the entry returned, as i64, and the memory afterwards.
typedef long i64;

extern int kiln_entry(void** table, void* error, int threads);

enum { sys_read = 63, sys_write = 64, sys_exit = 93, sys_mmap = 222 };

static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f) {
  register i64 x8 __asm__("x8") = number;
  register i64 x0 __asm__("x0") = a;
  register i64 x1 __asm__("x1") = b;
  register i64 x2 __asm__("x2") = c;
  register i64 x3 __asm__("x3") = d;
  register i64 x4 __asm__("x4") = e;
  register i64 x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}

static void leave(int code) {
  for (;;) call(sys_exit, code, 0, 0, 0, 0, 0);
}

static void transfer(i64 number, i64 file, char* data, i64 bytes) {
  while (bytes > 0) {
    const i64 done = call(number, file, (i64)data, bytes, 0, 0, 0);
    if (done <= 0) leave(2);
    data += done;
    bytes -= done;
  }
}

static char* new_memory(i64 bytes) {
  const i64 read_and_write = 3, private_and_anonymous = 0x22;
  const i64 address = call(sys_mmap, 0, bytes + 1, read_and_write, private_and_anonymous, -1, 0);
  if (address < 0) leave(3);
  return (char*)address;
}

void _start(void) {
  i64 head[3];
  transfer(sys_read, 0, (char*)head, sizeof head);
  const i64 entries = head[0], bytes = head[1], error = head[2];
  i64* table = (i64*)new_memory(entries * 8);
  char* memory = new_memory(bytes);
  transfer(sys_read, 0, (char*)table, entries * 8);
  transfer(sys_read, 0, memory, bytes);
  for (i64 i = 0; i < entries; ++i) table[i] += (i64)memory;
  i64 result = kiln_entry((void**)table, memory + error, 1);
  transfer(sys_write, 1, (char*)&result, sizeof result);
  transfer(sys_write, 1, memory, bytes);
  leave(0);
}

// With one thread the entry calls none of these.
#define NOT_CALLED(name) \
  void name(void) {      \
    leave(4);            \
  }
NOT_CALLED(__kmpc_global_thread_num)
NOT_CALLED(__kmpc_push_num_threads)
NOT_CALLED(__kmpc_fork_call)
NOT_CALLED(__kmpc_barrier)
NOT_CALLED(omp_get_thread_num)
NOT_CALLED(omp_get_num_threads)
