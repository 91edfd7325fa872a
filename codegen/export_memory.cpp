#include "codegen/export_builder.h"

namespace kiln::codegen {

void emit_memory_functions(ExportBuilder& e, const DeviceMemory& memory) {
  const auto image_bytes = static_cast<std::int64_t>(memory.image.size());
  llvm::Function* init = e.begin("init", 1);
  e.return_if_misaligned(init, {memory_alignment});
  if (image_bytes > 0)
    e.copy(init->getArg(0), e.array(memory.image, e.b.getInt32Ty(), "initial_state"), image_bytes);
  e.copy(e.at(init->getArg(0), image_bytes), nullptr, memory.bytes - image_bytes);
  e.b.CreateRet(e.b.getInt32(0));

  for (const bool get : {true, false}) {
    llvm::Function* function = e.begin(get ? "get_weights" : "set_weights", 2);
    llvm::Value *state = function->getArg(0), *weights = function->getArg(1);
    e.return_if_misaligned(function, {memory_alignment, ExportBuilder::copied_bytes});
    e.copy(get ? weights : state, get ? state : weights, memory.weight_bytes);
    e.b.CreateRet(e.b.getInt32(0));
  }
}

}  // namespace kiln::codegen
