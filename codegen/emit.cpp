#include "codegen/emit.h"

#include <fmt/format.h>

#include <algorithm>

#include "codegen/elementwise.h"
#include "codegen/emitter.h"
#include "codegen/faults.h"

namespace kiln::codegen {

KernelEmitter::KernelEmitter(const Kernel& kernel, const Target& target, llvm::Module& module)
    : kernel_(kernel),
      target_(target),
      module_(module),
      context_(module.getContext()),
      b_(context_),
      index_type_(b_.getIntNTy(static_cast<unsigned>(target.pointer_bits))) {}

void KernelEmitter::fail(const std::string& reason) const {
  throw InternalError(fmt::format("no code for kernel {}: {}\n{}", kernel_.name, reason, print(kernel_)));
}

void KernelEmitter::begin(const std::string& symbol, KernelAbi abi) {
  constants_apart_ = abi == KernelAbi::table;
  llvm::Type* pointer = b_.getPtrTy();
  std::vector<llvm::Type*> parameters(abi == KernelAbi::table ? 1 : kernel_.buffers.size(), pointer);
  if (abi == KernelAbi::table) parameters.insert(parameters.end(), 2, index_type_);
  auto* type = llvm::FunctionType::get(b_.getVoidTy(), parameters, false);
  function_ = llvm::Function::Create(
      type, abi == KernelAbi::table ? llvm::Function::ExternalLinkage : llvm::Function::InternalLinkage,
      symbol, module_);
  set_function_attributes(*function_, target_);
  entry_ = llvm::BasicBlock::Create(context_, "entry", function_);
  b_.SetInsertPoint(entry_);
  const auto argument = [&](std::size_t i) { return function_->getArg(static_cast<unsigned>(i)); };
  thread_ = abi == KernelAbi::alone ? static_cast<llvm::Value*>(number(0)) : argument(parameters.size() - 2);
  threads_ = abi == KernelAbi::alone ? static_cast<llvm::Value*>(number(1)) : argument(parameters.size() - 1);
  for (std::size_t i = 0; i < kernel_.buffers.size(); ++i) {
    if (abi != KernelAbi::table) {
      buffers_.push_back(argument(i));
    } else {
      auto* cell = b_.CreateConstInBoundsGEP1_64(pointer, argument(0), i);
      auto* buffer = b_.CreateLoad(pointer, cell, fmt::format("b{}", i));
      buffer->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
      buffers_.push_back(buffer);
    }
    const BufferParam& param = kernel_.buffers[i];
    if (param.scratch < 0) continue;
    llvm::Value* own = b_.CreateMul(thread_, number(kernel_.scratch_stride));
    buffers_.back() = b_.CreateGEP(b_.getInt8Ty(), buffers_.back(), b_.CreateAdd(own, number(param.scratch)));
  }
}

llvm::Function* KernelEmitter::emit(const std::string& symbol, KernelAbi abi) {
  begin(symbol, abi);
  make_alias_scopes();
  const bool shared = std::any_of(kernel_.body.begin(), kernel_.body.end(), [](const Stmt& s) {
    return s.kind == StmtKind::loop && s.loop == LoopKind::parallel;
  });
  if (shared || abi == KernelAbi::alone) {
    block(kernel_.body);
  } else {
    branch(b_.CreateICmpEQ(thread_, number(0)), [&] { block(kernel_.body); }, [] {});
  }
  b_.CreateRetVoid();
  return function_;
}

// ---- loops ------------------------------------------------------------------------------------------------

template <class Body>
void KernelEmitter::counted_loop(const std::string& name, llvm::Value* begin, llvm::Value* end,
                                 std::int64_t step, Body body) {
  llvm::BasicBlock* before = b_.GetInsertBlock();
  auto* head = llvm::BasicBlock::Create(context_, name, function_);
  b_.CreateBr(head);
  b_.SetInsertPoint(head);
  llvm::PHINode* counter = b_.CreatePHI(index_type_, 2, name);
  counter->addIncoming(begin, before);
  body(counter);
  llvm::Value* next = b_.CreateAdd(counter, number(step), "", true, true);
  counter->addIncoming(next, b_.GetInsertBlock());
  auto* exit = llvm::BasicBlock::Create(context_, name + ".end", function_);
  b_.CreateCondBr(b_.CreateICmpULT(next, end), head, exit);
  b_.SetInsertPoint(exit);
}

void KernelEmitter::loop(const Stmt& s) {
  if (s.variable->extent == 0) return;
  switch (s.loop) {
    case LoopKind::parallel:
      return parallel_loop(s);
    case LoopKind::unrolled:
      return unrolled_loop(s);
    case LoopKind::vector:
      return vector_loop(s);
    case LoopKind::serial:
      break;
  }
  if (s.variable->extent == 1) return unrolled_loop(s);
  counted_loop(s.variable->name, number(0), number(s.variable->extent), 1, [&](llvm::Value* counter) {
    variables_[s.variable.get()] = counter;
    block(s.body);
  });
}

void KernelEmitter::unrolled_loop(const Stmt& s) {
  std::int64_t extent = s.variable->extent;
  if (planted() == Fault::shifted_unroll && extent > 1) --extent;
  for (std::int64_t i = 0; i < extent; ++i) {
    variables_[s.variable.get()] = number(i);
    block(s.body);
  }
}

void KernelEmitter::parallel_loop(const Stmt& s) {
  const std::int64_t extent = s.variable->extent - (planted() == Fault::last_tile_skipped ? 1 : 0);
  llvm::Value* tiles = number(extent);
  const auto share = [&](llvm::Value* t) { return b_.CreateUDiv(b_.CreateNUWMul(tiles, t), threads_); };
  llvm::Value* begin = share(thread_);
  llvm::Value* end = share(b_.CreateNUWAdd(thread_, number(1)));
  const auto body = [&] {
    counted_loop(s.variable->name, begin, end, 1, [&](llvm::Value* counter) {
      variables_[s.variable.get()] = counter;
      block(s.body);
    });
  };
  branch(b_.CreateICmpULT(begin, end), body, [] {});
}

void KernelEmitter::vector_loop(const Stmt& s) {
  const std::int64_t extent = s.variable->extent;
  const std::int64_t full = extent / s.lanes, tail = extent % s.lanes;
  if (s.unroll || full == 1) {
    for (std::int64_t chunk = 0; chunk < full; ++chunk) vector_chunk(s, number(chunk * s.lanes), s.lanes);
  } else if (full > 1) {
    counted_loop(s.variable->name, number(0), number(full * s.lanes), s.lanes,
                 [&](llvm::Value* base) { vector_chunk(s, base, s.lanes); });
  }
  if (tail > 0) vector_chunk(s, number(full * s.lanes), tail);
}

void KernelEmitter::vector_chunk(const Stmt& s, llvm::Value* base, std::int64_t lanes_in_use) {
  VectorLoop chunk{s.variable, s.lanes, base, nullptr, nullptr};
  const auto first_lanes = [&](std::int64_t count) {
    std::vector<llvm::Constant*> bits;
    for (std::int64_t lane = 0; lane < s.lanes; ++lane) bits.push_back(b_.getInt1(lane < count));
    return llvm::ConstantVector::get(bits);
  };
  if (lanes_in_use < s.lanes) {
    chunk.store_mask = chunk.mask = first_lanes(lanes_in_use);
    if (planted() == Fault::tail_lane_less) chunk.store_mask = chunk.mask = first_lanes(lanes_in_use - 1);
    if (planted() == Fault::tail_lane_more) chunk.mask = first_lanes(lanes_in_use + 1);
  }
  vector_ = chunk;
  variables_[s.variable.get()] = base;
  block(s.body);
  vector_.reset();
}

// ---- the other statements ---------------------------------------------------------------------------------

void KernelEmitter::block(const Block& statements) {
  for (const Stmt& s : statements) statement(s);
}

void KernelEmitter::statement(const Stmt& s) {
  switch (s.kind) {
    case StmtKind::loop:
      loop(s);
      break;
    case StmtKind::let:
      temporaries_[s.temporary] = expr(s.value);
      break;
    case StmtKind::store:
      store(s);
      break;
    case StmtKind::write:
      write(s);
      break;
    case StmtKind::branch:
      branch(uniform(s.value, "a branch's condition"), [&] { block(s.body); }, [&] { block(s.otherwise); });
      break;
    case StmtKind::prefetch:
      prefetch(s);
      break;
    case StmtKind::turn:
      turn(s);
      break;
  }
}

void KernelEmitter::write(const Stmt& s) {
  llvm::AllocaInst* cell = element(s.reg, s.subscripts);
  if (s.reg->kind == RegisterKind::scalar) {
    b_.CreateStore(uniform(s.value, "a scalar register's value"), cell);
    return;
  }
  Lanes value = expr(s.value);
  if (planted() == Fault::reduction_start && s.value->kind == ExprKind::constant &&
      is_float(s.value->dtype)) {
    value.value = llvm::ConstantFP::get(value.value->getType(), s.value->number + 1);
  }
  llvm::Value* vector = value.value;
  if (!value.varies && s.reg->lane_count > 1) {
    vector = b_.CreateVectorSplat(static_cast<unsigned>(s.reg->lane_count), vector);
  }
  // Accumulators keep the lanes that the tail doesn't have. In a tile they are of no meaning.
  if (s.reg->kind == RegisterKind::lanes && vector_ && vector_->mask != nullptr) {
    vector = b_.CreateSelect(vector_->mask, vector, b_.CreateLoad(cell->getAllocatedType(), cell));
  }
  b_.CreateStore(vector, cell);
}

/// By halves: the blocks off the diagonal change places, then those within each block, down to single units.
void KernelEmitter::turn(const Stmt& s) {
  const int n = static_cast<int>(s.reg->dims[0]), lane_count = s.reg->lane_count;
  std::vector<llvm::AllocaInst*> cells;
  std::vector<llvm::Value*> rows;
  for (int row = 0; row < n; ++row) {
    cells.push_back(element(s.reg, row, n));
    rows.push_back(b_.CreateLoad(cells.back()->getAllocatedType(), cells.back()));
  }
  for (int half = n / 2; half > 0; half /= 2) {
    const int lanes_apart = half * s.unit;
    std::vector<int> upper, lower;
    for (int lane = 0; lane < lane_count; ++lane) {
      const bool first = (lane & lanes_apart) == 0;
      upper.push_back(first ? lane : lane_count + lane - lanes_apart);
      lower.push_back(first ? lane + lanes_apart : lane_count + lane);
    }
    for (int row = 0; row < n; ++row) {
      if ((row & half) != 0) continue;
      llvm::Value*& a = rows[static_cast<std::size_t>(row)];
      llvm::Value*& b = rows[static_cast<std::size_t>(row + half)];
      llvm::Value* turned = b_.CreateShuffleVector(a, b, upper);
      b = b_.CreateShuffleVector(a, b, lower);
      a = turned;
    }
  }
  for (std::size_t row = 0; row < rows.size(); ++row) b_.CreateStore(rows[row], cells[row]);
}

llvm::AllocaInst* KernelEmitter::element(const Reg& reg, const std::vector<Index>& subscripts) {
  const std::int64_t lane_count = reg->kind == RegisterKind::scalar ? 1 : reg->lane_count;
  const std::int64_t chunks =
      reg->kind == RegisterKind::tile ? (reg->extent + lane_count - 1) / lane_count : 1;
  std::int64_t position = 0;
  const auto constant = [&](llvm::Value* value) {
    const auto* number = llvm::dyn_cast<llvm::ConstantInt>(value);
    if (number == nullptr) fail(fmt::format("a subscript of register {} isn't constant", reg->name));
    return number->getSExtValue();
  };
  for (std::size_t i = 0; i < reg->dims.size(); ++i) {
    position = position * reg->dims[i] + constant(address(subscripts[i]).uniform);
  }
  if (reg->kind == RegisterKind::tile) position = position * chunks + constant(vector_->base) / lane_count;

  std::int64_t count = chunks;
  for (std::int64_t d : reg->dims) count *= d;
  return element(reg, position, count);
}

llvm::AllocaInst* KernelEmitter::element(const Reg& reg, std::int64_t position, std::int64_t count) {
  std::vector<llvm::AllocaInst*>& cells = registers_[reg.get()];
  cells.resize(static_cast<std::size_t>(count));
  llvm::AllocaInst*& cell = cells.at(static_cast<std::size_t>(position));
  if (cell == nullptr) {
    const int lane_count = reg->kind == RegisterKind::scalar ? 1 : reg->lane_count;
    llvm::IRBuilder<> at_entry(entry_, entry_->begin());
    cell = at_entry.CreateAlloca(value_type(context_, reg->dtype, lane_count), nullptr, reg->name);
  }
  return cell;
}

void set_function_attributes(llvm::Function& function, const Target& target) {
  const std::string width = std::to_string(target.vector_bits);
  function.addFnAttr(llvm::Attribute::NoUnwind);
  function.addFnAttr("no-builtins");
  function.addFnAttr("prefer-vector-width", width);
  function.addFnAttr("min-legal-vector-width", width);
}

std::unique_ptr<llvm::Module> emit_kernel(const Kernel& kernel, const Target& target,
                                          const std::string& symbol, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(symbol, context);
  KernelEmitter(kernel, target, *module).emit(symbol, KernelAbi::table);
  return module;
}

llvm::Function* emit_kernel_into(llvm::Module& module, const Kernel& kernel, const Target& target,
                                 const std::string& symbol, KernelAbi abi) {
  return KernelEmitter(kernel, target, module).emit(symbol, abi);
}

}  // namespace kiln::codegen
