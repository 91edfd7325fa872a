#include "codegen/export_builder.h"

namespace kiln::codegen {
namespace {

void emit_set_learning_rate(ExportBuilder& e, const DeviceMemory& memory) {
  llvm::IRBuilder<>& b = e.b;
  llvm::Type* type = memory.rate_dtype == DType::f64 ? b.getDoubleTy() : b.getFloatTy();
  llvm::Function* function = e.begin("set_learning_rate", {b.getPtrTy(), type});
  llvm::Value* rate = function->getArg(1);
  e.return_if_wrong(function, {{memory_alignment}});
  llvm::Value* is_rate = b.CreateAnd(b.CreateFCmpOGE(rate, llvm::ConstantFP::get(type, 0)),
                                     b.CreateFCmpOLT(rate, llvm::ConstantFP::getInfinity(type)));
  e.return_if(b.CreateNot(is_rate), e.minus_one());
  b.CreateAlignedStore(rate, e.at(function->getArg(0), memory.rate_offset),
                       llvm::Align(size_of(memory.rate_dtype)));
  b.CreateRet(b.getInt32(0));
}

}  // namespace

void emit_memory_functions(ExportBuilder& e, const DeviceMemory& memory) {
  const auto image_bytes = static_cast<std::int64_t>(memory.image.size());
  llvm::Function* init = e.begin("init", 1);
  e.return_if_wrong(init, {{memory_alignment}});
  if (image_bytes > 0)
    e.copy(init->getArg(0), e.array(memory.image, e.b.getInt32Ty(), "initial_state"), image_bytes);
  e.copy(e.at(init->getArg(0), image_bytes), nullptr, memory.bytes - image_bytes);
  e.b.CreateRet(e.b.getInt32(0));

  for (const bool get : {true, false}) {
    llvm::Function* function = e.begin(get ? "get_weights" : "set_weights", 2);
    llvm::Value *state = function->getArg(0), *weights = function->getArg(1);
    e.return_if_wrong(function, {{memory_alignment}, {ExportBuilder::copied_bytes}});
    e.copy(get ? weights : state, get ? state : weights, memory.weight_bytes);
    e.b.CreateRet(e.b.getInt32(0));
  }
  if (memory.rate_offset >= 0) emit_set_learning_rate(e, memory);
}

}  // namespace kiln::codegen
