#include "tests/embedded/device.h"

#include <fmt/format.h>

#include <stdexcept>

#include "tests/support/process.h"

namespace kiln::testing {
namespace {

void execute(const std::string& command) {
  kiln::testing::execute(command, "clang-19 and lld-19");
}

constexpr const char* qemu_board =
    "timeout 120 qemu-system-arm -nographic -monitor none -semihosting-config enable=on,target=native -M ";

/// WebAssembly has functions, no processes: what main returns is printed.
Outcome run_in_wasm(const std::string& folder, const std::string& objects) {
  execute(fmt::format("cd {} && wasm-ld-19 --no-entry --export=__main_void -o program main.o {}", folder,
                      objects));
  Outcome outcome = run_command(fmt::format("cd {} && wasm-interp program --run-all-exports", folder));
  const std::string before = "__main_void() => i32:";
  const std::size_t at = outcome.output.find(before);
  outcome.status = at == std::string::npos ? -1 : std::stoi(outcome.output.substr(at + before.size()));
  return outcome;
}

}  // namespace

const Device devices[] = {
    {"x86_64", {.target = "x86_64-linux-gnu"}, "--target=x86_64-linux-gnu", ""},
    {"x86_64_avx2", {.target = "x86_64-linux-gnu", .cpu = "x86-64-v3"}, "--target=x86_64-linux-gnu", ""},
    {"x86_64_avx512", {.target = "x86_64-linux-gnu", .cpu = "x86-64-v4"}, "--target=x86_64-linux-gnu", ""},
    {"x86_64_avx2_size",
     {.target = "x86_64-linux-gnu", .cpu = "x86-64-v3", .optimize = "size"},
     "--target=x86_64-linux-gnu",
     ""},
    {"aarch64", {.target = "aarch64-linux-gnu"}, "--target=aarch64-linux-gnu", "qemu-aarch64"},
    {"riscv64", {.target = "riscv64-linux-gnu"}, "--target=riscv64-linux-gnu -march=rv64gc", "qemu-riscv64"},
    {"riscv64_v",
     {.target = "riscv64-linux-gnu", .features = "+m,+a,+f,+d,+c,+v"},
     "--target=riscv64-linux-gnu -march=rv64gcv",
     "qemu-riscv64 -cpu rv64,v=true,vlen=128"},
    {"riscv32",
     {.target = "riscv32-unknown-elf"},
     "--target=riscv32-unknown-elf -march=rv32imfc -mabi=ilp32f",
     "qemu-riscv32"},
    {"cortex_m4",
     {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"},
     "--target=thumbv7em-none-eabihf -mcpu=cortex-m4",
     "mps2-an386 -kernel",
     "0",
     "0x20000000"},
    {"cortex_m7",
     {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m7"},
     "--target=thumbv7em-none-eabihf -mcpu=cortex-m7",
     "mps2-an500 -kernel",
     "0",
     "0x20000000"},
    {"cortex_m33",
     {.target = "thumbv8m.main-none-eabihf", .cpu = "cortex-m33"},
     "--target=thumbv8m.main-none-eabihf -mcpu=cortex-m33",
     "mps2-an505 -kernel",
     "0x10000000",
     "0x38000000"},
    {"wasm32",
     {.target = "wasm32-unknown-unknown"},
     "--target=wasm32-unknown-unknown -msimd128",
     "wasm-interp"},
};
const std::size_t device_count = std::size(devices);

const Device& device(const std::string& name) {
  for (const Device& d : devices)
    if (d.name == name) return d;
  throw std::runtime_error("there is no device " + name);
}

bool runs_here(const Device& device) {
  if (device.args.cpu == "x86-64-v3") return __builtin_cpu_supports("x86-64-v3");
  if (device.args.cpu == "x86-64-v4") return __builtin_cpu_supports("x86-64-v4");
  return true;
}

Outcome run_on(const Device& device, const TemporaryFolder& folder, const std::string& objects,
               const std::string& source, const std::string& options) {
  const bool is_board = *device.ram != 0;
  const std::string at = folder.path(), starts = KILN_EMBEDDED_EXAMPLES_DIR;
  const std::string compile = fmt::format(
      "cd {} && clang-19 {} -std=c11 -O1 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-pic -I . -I "
      "{} {} -c",
      at, device.compile, starts, options);
  execute(fmt::format("{} -o main.o {}", compile, source));
  if (device.args.target.starts_with("wasm")) return run_in_wasm(at, objects);
  execute(
      fmt::format("{} -o start.o {}/{}", compile, starts, is_board ? "start_cortex_m.c" : "start_linux.c"));
  std::string link = "--gc-sections";
  if (is_board)
    link += fmt::format(" --entry=reset --defsym=CODE={} --defsym=RAM={} -T {}/board.ld", device.code,
                        device.ram, starts);
  execute(fmt::format("cd {} && ld.lld-19 {} -o program main.o start.o {}", at, link, objects));
  return run_command(fmt::format("cd {} && {}{} ./program", at, is_board ? qemu_board : "", device.run));
}

int selftest_on(const Device& device, const Model& model, const TemporaryFolder& folder) {
  model.export_library(folder / "net", device.args);
  return run_selftest(device, folder);
}

int run_selftest(const Device& device, const TemporaryFolder& folder) {
  const std::string source = std::string(KILN_DEVICE_DIR) + "/selftest.c";
  return run_on(device, folder, "net.o", source, "-include net.h -DNET_SCORES_TYPE=float").status;
}

}  // namespace kiln::testing
