#pragma once
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <map>
#include <string>
#include <vector>

#include "codegen/elementwise.h"
#include "codegen/emit.h"
#include "codegen/export_module.h"

namespace kiln::codegen {

/// What the functions of an exported module are written with.
struct ExportBuilder {
  ExportBuilder(const Target& a_target, const std::string& a_prefix, llvm::Module& a_module)
      : target(a_target),
        prefix(a_prefix),
        module(a_module),
        context(module.getContext()),
        b(context),
        word_type(b.getIntNTy(static_cast<unsigned>(target.pointer_bits))) {}

  /// Read-only data; the same bytes of one type lie there once.
  llvm::GlobalVariable* array(std::string_view bytes, llvm::Type* element, const std::string& name) {
    const std::uint64_t size = element->getScalarSizeInBits() / 8;
    llvm::Constant* value =
        llvm::ConstantDataArray::getRaw({bytes.data(), bytes.size()}, bytes.size() / size, element);
    llvm::GlobalVariable*& global = arrays[value];
    if (global != nullptr) return global;
    global = new llvm::GlobalVariable(module, value->getType(), true, llvm::GlobalValue::InternalLinkage,
                                      value, fmt::format("{}_{}", prefix, name));
    // Lines of a cache where there is one.
    const bool has_cache = !target.is_small || target.has_vectors();
    global->setAlignment(llvm::Align(has_cache ? StoredWeights::alignment : size));
    return global;
  }
  llvm::GlobalVariable* array(const Tensor& t, const std::string& name) {
    const Tensor dense = t.contiguous();
    return array({static_cast<const char*>(dense.raw()), dense.nbytes()}, memory_type(context, t.dtype()),
                 name);
  }

  /// Short code comes first on microcontrollers.
  void shrink(llvm::Function* function) const {
    if (target.is_small) function->addFnAttr(llvm::Attribute::OptimizeForSize);
  }

  /// A function that everybody sees, PREFIX_NAME, of so many addresses; what follows is its body.
  llvm::Function* begin(const std::string& name, std::size_t pointers) {
    return begin(name, std::vector<llvm::Type*>(pointers, b.getPtrTy()));
  }
  llvm::Function* begin(const std::string& name, const std::vector<llvm::Type*>& parameters) {
    auto* type = llvm::FunctionType::get(b.getInt32Ty(), parameters, false);
    auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage,
                                            fmt::format("{}_{}", prefix, name), module);
    set_function_attributes(*function, target);
    shrink(function);
    b.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
    return function;
  }
  /// Memory on the stack, in the function's frame: an alloca that stands elsewhere than at its beginning
  /// would come beside it.
  llvm::Value* local(llvm::Type* type) {
    llvm::BasicBlock& entry = b.GetInsertBlock()->getParent()->getEntryBlock();
    return llvm::IRBuilder<>(&entry, entry.begin()).CreateAlloca(type);
  }
  /// A number as wide as an address.
  llvm::Value* word(std::int64_t n) {
    return llvm::ConstantInt::get(word_type, static_cast<std::uint64_t>(n));
  }
  llvm::Value* at(llvm::Value* pointer, std::int64_t bytes) {
    return bytes == 0 ? pointer : b.CreateGEP(b.getInt8Ty(), pointer, word(bytes));
  }
  llvm::Value* minus_one() { return b.getInt32(static_cast<std::uint32_t>(-1)); }

  /// What an address has to be: a multiple of `alignment`, and not null, unless nothing is read or written
  /// there.
  struct Address {
    std::int64_t alignment = 1;
    bool is_used = true;
  };
  /// Returns -1 if one of the function's addresses isn't so.
  void return_if_wrong(llvm::Function* function, const std::vector<Address>& addresses) {
    llvm::Value *low = word(0), *null = b.getFalse();
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      llvm::Value* address = b.CreatePtrToInt(function->getArg(static_cast<unsigned>(i)), word_type);
      low = b.CreateOr(low, b.CreateAnd(address, word(addresses[i].alignment - 1)));
      if (addresses[i].is_used) null = b.CreateOr(null, b.CreateIsNull(address));
    }
    return_if(b.CreateOr(b.CreateIsNotNull(low), null), minus_one());
  }
  void return_if(llvm::Value* condition, llvm::Value* result) {
    llvm::Function* function = b.GetInsertBlock()->getParent();
    auto* out = llvm::BasicBlock::Create(context, "leave", function);
    auto* on = llvm::BasicBlock::Create(context, "go_on", function);
    b.CreateCondBr(condition, out, on);
    b.SetInsertPoint(out);
    b.CreateRet(result);
    b.SetInsertPoint(on);
  }

  /// Copies bytes, a multiple of 4, from one array to another; from null: zeros. A loop of our own, since
  /// there may be no memcpy to call.
  void copy(llvm::Value* to, llvm::Value* from, std::int64_t bytes) {
    if (bytes == 0) return;
    llvm::Type* unit = b.getInt32Ty();
    loop(word(bytes / copied_bytes), [&](llvm::Value* i) {
      const auto element = [&](llvm::Value* array) { return b.CreateGEP(unit, array, i); };
      llvm::Value* value = b.getInt32(0);
      if (from != nullptr) value = b.CreateAlignedLoad(unit, element(from), llvm::Align(copied_bytes));
      b.CreateAlignedStore(value, element(to), llvm::Align(copied_bytes));
    });
  }
  /// A loop of `count` times, at least one.
  template <class Body>
  void loop(llvm::Value* count, Body body) {
    llvm::BasicBlock* before = b.GetInsertBlock();
    auto* head = llvm::BasicBlock::Create(context, "loop", before->getParent());
    auto* done = llvm::BasicBlock::Create(context, "done", before->getParent());
    b.CreateBr(head);
    b.SetInsertPoint(head);
    llvm::PHINode* i = b.CreatePHI(word_type, 2);
    i->addIncoming(word(0), before);
    body(i);
    llvm::Value* next = b.CreateAdd(i, word(1));
    i->addIncoming(next, b.GetInsertBlock());
    b.CreateCondBr(b.CreateICmpULT(next, count), head, done);
    b.SetInsertPoint(done);
  }

  static constexpr std::int64_t copied_bytes = 4;  ///< at a time

  const Target& target;
  const std::string& prefix;
  llvm::Module& module;
  llvm::LLVMContext& context;
  llvm::IRBuilder<> b;
  llvm::IntegerType* word_type;
  std::map<llvm::Constant*, llvm::GlobalVariable*> arrays;  ///< by content: LLVM has equal constants once
};

/// PREFIX_selftest: calls `predict` with `parts`' inputs, adds up the file of weights, if there is one, and
/// compares what came out.
void emit_selftest(ExportBuilder& builder, const ExportParts& parts, const StoredWeights& weights,
                   llvm::Function* predict);
/// PREFIX_init, PREFIX_get_weights, PREFIX_set_weights, PREFIX_set_learning_rate.
void emit_memory_functions(ExportBuilder& builder, const DeviceMemory& memory);

}  // namespace kiln::codegen
