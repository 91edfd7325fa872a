#include "kiln/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/model/model_impl.h"
#include "api/model/predictor.h"
#include "api/model/run_loops.h"
#include "api/model/trainer.h"
#include "kiln/model.h"

namespace kiln {
namespace {

using internal::BatchTypes;
using internal::Mode;
using internal::Step;
using runtime::ArenaValue;

constexpr std::size_t arrays_in_table = 12;

std::int64_t bytes_of(const Tensor& t) {
  return static_cast<std::int64_t>(t.nbytes());
}

std::int64_t bytes_of(const std::vector<runtime::BufferDesc>& buffers) {
  std::int64_t bytes = 0;
  for (const runtime::BufferDesc& b : buffers)
    bytes += b.shape.elements() * static_cast<std::int64_t>(size_of(b.dtype));
  return bytes;
}

/// What is in use during a step, largest first. An array that is written over another is in use with it.
std::vector<const ArenaValue*> in_use(const runtime::Program& program, std::size_t step) {
  std::vector<const ArenaValue*> values;
  for (const ArenaValue& v : program.arena_values) {
    if (v.first > step || v.last < step) continue;
    const auto shared = std::find_if(values.begin(), values.end(),
                                     [&](const ArenaValue* other) { return other->offset == v.offset; });
    if (shared == values.end())
      values.push_back(&v);
    else
      *shared = &v;
  }
  std::sort(values.begin(), values.end(), [](const ArenaValue* a, const ArenaValue* b) {
    return a->bytes != b->bytes ? a->bytes > b->bytes : a < b;
  });
  return values;
}

void describe_peak(const runtime::Program& program, StepMemory& memory) {
  std::vector<const ArenaValue*> most;
  std::int64_t most_bytes = -1;
  for (std::size_t step = 0; step < program.steps.size(); step++) {
    std::vector<const ArenaValue*> values = in_use(program, step);
    std::int64_t bytes = 0;
    for (const ArenaValue* v : values) bytes += v->bytes;
    if (bytes <= most_bytes) continue;
    most_bytes = bytes;
    most = std::move(values);
    memory.peak = static_cast<std::int64_t>(step);
  }
  for (const ArenaValue* v : most)
    memory.arrays.push_back({program.steps[v->first].name, v->type, v->bytes,
                             static_cast<std::int64_t>(v->first), static_cast<std::int64_t>(v->last)});
}

/// The addresses of what holds weights, and of what belongs to the optimizer.
struct Owners {
  std::vector<const void*> weights, optimizer;

  static bool holds(const std::vector<const void*>& owned, const Tensor& t) {
    return std::find(owned.begin(), owned.end(), t.raw()) != owned.end();
  }
};

StepMemory memory_of(const char* mode, std::int64_t batch_size, const Step& step, const Owners& owners) {
  const std::shared_ptr<const runtime::Program> program = step.program();
  if (program == nullptr)
    throw StateError("memory: nothing is compiled, since KILN_BACKEND=interpreter; unset it");
  StepMemory memory;
  memory.mode = mode;
  memory.batch_size = batch_size;
  for (const Tensor& state : step.states())
    (Owners::holds(owners.weights, state)     ? memory.weights
     : Owners::holds(owners.optimizer, state) ? memory.optimizer
                                              : memory.others) += bytes_of(state);
  for (const Tensor& constant : program->constants) memory.constants += bytes_of(constant);
  memory.inputs = bytes_of(program->inputs);
  memory.outputs = bytes_of(program->outputs);
  memory.arena = program->arena_bytes;
  memory.scratch = program->scratch_bytes * runtime::num_threads();
  memory.intermediates = program->intermediate_bytes;
  memory.kernels = static_cast<std::int64_t>(program->steps.size());
  describe_peak(*program, memory);
  return memory;
}

double mebibytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

std::string arrays_table(const StepMemory& step) {
  std::string text = fmt::format(
      "\nthe largest arrays of the {} step's arena while kernel {} of {} runs\n{:>10} {:>11}  {}\n",
      step.mode, step.peak, step.kernels, "MiB", "kernels", "array, made by");
  const std::size_t shown = std::min(arrays_in_table, step.arrays.size());
  for (std::size_t i = 0; i < shown; i++) {
    const ArrayMemory& a = step.arrays[i];
    text +=
        fmt::format("{:>10.3f} {:>5}-{:<5}  {}  {}\n", mebibytes(a.bytes), a.first, a.last, a.type, a.kernel);
  }
  std::int64_t rest = 0;
  for (std::size_t i = shown; i < step.arrays.size(); i++) rest += step.arrays[i].bytes;
  if (shown < step.arrays.size())
    text += fmt::format("{:>10.3f} {:>11}  {} more\n", mebibytes(rest), "", step.arrays.size() - shown);
  return text;
}

}  // namespace

Memory Model::memory(MemoryArgs args) {
  ModelImpl& model = model_impl();
  internal::check_batch_size("memory", args.batch_size);
  if (!model.connected())
    throw StateError(
        fmt::format("memory: model \"{}\" isn't built: it has no Input yet; give it one, or call "
                    "build({{None, ...}}) first",
                    model.name()));
  Owners owners;
  for (const auto& [name, weight] : named_weights()) owners.weights.push_back(weight.storage().raw());
  Memory memory;
  const auto add = [&](const char* mode, std::int64_t rows, const Step& step) {
    memory.steps.push_back(memory_of(mode, rows, step, owners));
  };
  if (model.compiled()) {
    internal::Trainer& trainer = model.trainer("memory");
    const BatchTypes types = trainer.prepare(args.batch_size);
    for (const Tensor& state : trainer.optimizer().impl().variables())
      owners.optimizer.push_back(state.raw());
    add("train", args.batch_size, *trainer.step(Mode::train, types));
    add("test", args.batch_size, *trainer.step(Mode::test, types));
  }
  internal::Predictor& predictor = model.predictor();
  const std::int64_t rows = predictor.rows_at_once(args.batch_size);
  add("predict", rows, *predictor.step(predictor.expected_types(rows)));
  return memory;
}

const StepMemory& Memory::step(const std::string& mode) const {
  std::string known;
  for (const StepMemory& s : steps) {
    if (s.mode == mode) return s;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", s.mode);
  }
  throw ValueError(fmt::format("memory: there is no step \"{}\"; there are {}", mode, known));
}

std::string Memory::to_string() const {
  std::string text = fmt::format("{:<14}", "MiB");
  for (const StepMemory& s : steps)
    text += fmt::format(" {:>14}", fmt::format("{} x{}", s.mode, s.batch_size));
  const auto row = [&](const char* name, auto bytes) {
    text += fmt::format("\n{:<14}", name);
    for (const StepMemory& s : steps) text += fmt::format(" {:>14.3f}", mebibytes(bytes(s)));
  };
  row("weights", [](const StepMemory& s) { return s.weights; });
  row("optimizer", [](const StepMemory& s) { return s.optimizer; });
  row("metrics, rest", [](const StepMemory& s) { return s.others; });
  row("constants", [](const StepMemory& s) { return s.constants; });
  row("inputs", [](const StepMemory& s) { return s.inputs; });
  row("outputs", [](const StepMemory& s) { return s.outputs; });
  row("arena", [](const StepMemory& s) { return s.arena; });
  row("scratch", [](const StepMemory& s) { return s.scratch; });
  row("total", [](const StepMemory& s) { return s.total(); });
  row("intermediates", [](const StepMemory& s) { return s.intermediates; });
  text += "\n";
  return steps.empty() ? text : text + arrays_table(steps.front());
}

}  // namespace kiln
