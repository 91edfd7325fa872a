#include "codegen/program_image.h"

#include "codegen/binary.h"

namespace kiln::codegen {

using runtime::ArenaValue;
using runtime::BufferDesc;
using runtime::BufferRef;
using runtime::Program;
using runtime::Step;

// The one list of what is kept of each structure. A field that is added to one of them must be added here, or
// this file doesn't compile: then say in archive(...) that it is kept, or don't and set it in load().

template <class Archive, Either<BufferRef> T>
static void fields(Archive& archive, T& buffer) {
  auto& [space, index, offset] = buffer;
  archive(space, index, offset);
}

template <class Archive, Either<Step> T>
static void fields(Archive& archive, T& step) {
  auto& [fn, name, buffers, barrier_before, serial, prepared, leave_on_error, flops, bytes, kernel] = step;
  archive(name, buffers, barrier_before, serial, prepared, leave_on_error, flops, bytes, kernel);
}

template <class Archive, Either<BufferDesc> T>
static void fields(Archive& archive, T& description) {
  auto& [name, dtype, shape] = description;
  archive(name, dtype, shape);
}

template <class Archive, Either<ArenaValue> T>
static void fields(Archive& archive, T& value) {
  auto& [offset, bytes, first, last, type] = value;
  archive(offset, bytes, first, last, type);
}

template <class Archive, Either<Program> T>
static void fields(Archive& archive, T& program) {
  auto& [name, inputs, states, outputs, constants, checks, steps, entry, arena_bytes, intermediate_bytes,
         scratch_bytes, graph_nodes, distinct_kernels, compile_seconds, from_cache, red_zones, arena_values,
         code] = program;
  archive(name, inputs, states, outputs, constants, checks, steps, arena_bytes, intermediate_bytes,
          scratch_bytes, graph_nodes, distinct_kernels, red_zones, arena_values);
}

template <class Archive, Either<ObjectCode> T>
static void fields(Archive& archive, T& object) {
  auto& [symbol, bytes] = object;
  archive(symbol, bytes);
}

std::string encode(const ProgramImage& image) {
  std::string bytes;
  BinaryWriter writer([&](std::string_view block) { bytes += block; });
  writer(image.program, image.objects.size());
  for (const auto& object : image.objects) writer(*object);
  writer.flush();
  return bytes;
}

ProgramImage decode(std::string_view bytes) {
  ProgramImage image;
  BinaryReader reader(bytes);
  std::vector<ObjectCode> objects;
  reader(image.program, objects);
  if (reader.left() != 0) throw FileError("the bytes of a program go on behind its end");
  for (ObjectCode& object : objects)
    image.objects.push_back(std::make_shared<const ObjectCode>(std::move(object)));
  return image;
}

std::shared_ptr<Program> load(const ProgramImage& image) {
  /// What keeps the code of a program; those compiled later may take its objects over.
  struct Code {
    std::vector<std::shared_ptr<const ObjectCode>> objects;
    std::shared_ptr<const LinkedCode> linked;
  };
  const std::shared_ptr<const LinkedCode> linked = link(image.objects);
  auto program = std::make_shared<Program>(image.program);
  for (Step& step : program->steps) {
    step.fn = reinterpret_cast<runtime::KernelFn>(linked->address(static_cast<std::size_t>(step.kernel)));
  }
  program->entry = reinterpret_cast<runtime::EntryFn>(linked->address(image.objects.size() - 1));
  program->code = std::make_shared<Code>(image.objects, linked);
  return program;
}

}  // namespace kiln::codegen
