#include "tests/codegen/aarch64/machine.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>

#include "kiln/codegen/compile.h"
#include "tests/support/process.h"

namespace kiln::codegen {
namespace {

using Space = runtime::BufferRef::Space;

void execute(const std::string& command) {
  kiln::testing::execute(command, "clang-19, lld-19 and qemu-user");
}

/// The memory of a run, array by array, with room between them: what reads or writes a little beyond an array
/// meets NaN, not the next one.
class Memory {
 public:
  std::int64_t add(std::int64_t bytes) {
    constexpr std::int64_t room = 256;
    const auto start = static_cast<std::int64_t>(bytes_.size() + room - 1) / 64 * 64 + 64;
    bytes_.resize(static_cast<std::size_t>(start + bytes + room), '\xff');
    return start;
  }
  std::int64_t add(const Tensor& t) {
    const std::int64_t start = add(static_cast<std::int64_t>(t.nbytes()));
    std::memcpy(&bytes_[static_cast<std::size_t>(start)], t.raw(), t.nbytes());
    return start;
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

template <class Arrays>
std::vector<std::int64_t> add_all(Memory& memory, const Arrays& arrays) {
  std::vector<std::int64_t> places;
  for (const Tensor& t : arrays) places.push_back(memory.add(t));
  return places;
}

void append(std::string& text, std::int64_t number) {
  text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::vector<Tensor> empty_tensors(const std::vector<runtime::BufferDesc>& descriptions) {
  std::vector<Tensor> result;
  for (const runtime::BufferDesc& d : descriptions) result.emplace_back(d.shape, d.dtype);
  return result;
}

}  // namespace

AArch64Program::AArch64Program(const graph::Graph& graph, const CompileOptions& options)
    : image_(make_image(graph, options, Target::of("aarch64-linux-gnu", "generic"))) {
  std::string objects;
  for (const auto& object : image_.objects) {
    const std::string path = folder_ / (object->symbol + ".o");
    kiln::testing::write_file(path, object->bytes);
    objects += " " + path;
  }
  execute(
      fmt::format("clang-19 --target=aarch64-linux-gnu -O1 -ffreestanding -nostdlib -static -fuse-ld=lld-19 "
                  "-Dkiln_entry={} -o {}/program {}/start.c{}",
                  image_.objects.back()->symbol, folder_.path(), KILN_AARCH64_DIR, objects));
}

AArch64Program::Results AArch64Program::run(const std::vector<Tensor>& inputs,
                                            const std::vector<Tensor>& states) const {
  const runtime::Program& program = image_.program;
  Results results{0, empty_tensors(program.outputs), empty_tensors(program.states)};
  Memory memory;
  const auto input_places = add_all(memory, inputs), state_places = add_all(memory, states),
             output_places = add_all(memory, results.outputs),
             constant_places = add_all(memory, program.constants);
  const std::int64_t arena = memory.add(program.arena_bytes), scratch = memory.add(program.scratch_bytes),
                     error = memory.add(sizeof(runtime::ErrorRecord));
  const runtime::ErrorRecord no_error;
  std::memcpy(&memory.bytes()[static_cast<std::size_t>(error)], &no_error, sizeof no_error);

  std::string table;
  for (const runtime::Step& step : program.steps) {
    for (const runtime::BufferRef& b : step.buffers) {
      const auto index = static_cast<std::size_t>(b.index);
      append(table, b.space == Space::input      ? input_places.at(index)
                    : b.space == Space::state    ? state_places.at(index)
                    : b.space == Space::output   ? output_places.at(index)
                    : b.space == Space::constant ? constant_places.at(index)
                    : b.space == Space::arena    ? arena + b.offset
                    : b.space == Space::scratch  ? scratch
                                                 : error);
    }
  }
  std::string in;
  append(in, static_cast<std::int64_t>(table.size() / sizeof(std::int64_t)));
  append(in, static_cast<std::int64_t>(memory.bytes().size()));
  append(in, error);
  kiln::testing::write_file(folder_ / "in", in + table + memory.bytes());
  execute(fmt::format("qemu-aarch64 {0}/program < {0}/in > {0}/out", folder_.path()));

  std::ifstream out(folder_ / "out", std::ios::binary);
  std::int64_t failed = 0;
  out.read(reinterpret_cast<char*>(&failed), sizeof failed);
  out.read(memory.bytes().data(), static_cast<std::streamsize>(memory.bytes().size()));
  if (!out) throw Error("qemu-aarch64 wrote too little");
  results.failed = static_cast<int>(failed);
  const auto take = [&](std::vector<Tensor>& tensors, const std::vector<std::int64_t>& places) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      std::memcpy(tensors[i].raw(), &memory.bytes()[static_cast<std::size_t>(places[i])],
                  tensors[i].nbytes());
  };
  take(results.outputs, output_places);
  take(results.states, state_places);
  return results;
}

}  // namespace kiln::codegen
