#include <fmt/format.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Operator.h>

#include <numeric>

#include "codegen/elementwise.h"
#include "codegen/emitter.h"
#include "codegen/faults.h"
#include "codegen/weight_pairs.h"

namespace kiln::codegen {

void KernelEmitter::make_alias_scopes() {
  llvm::MDBuilder metadata(context_);
  llvm::MDNode* domain = metadata.createAnonymousAliasScopeDomain(kernel_.name);
  std::vector<llvm::MDNode*> scopes;
  for (std::size_t i = 0; i < kernel_.buffers.size(); ++i) {
    scopes.push_back(metadata.createAnonymousAliasScope(domain, fmt::format("b{}", i)));
  }
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    std::vector<llvm::Metadata*> others;
    for (std::size_t j = 0; j < scopes.size(); ++j) {
      const bool may_overlap = kernel_.buffers[i].may_alias && kernel_.buffers[j].may_alias;
      if (i != j && !may_overlap) others.push_back(scopes[j]);
    }
    own_scope_.push_back(llvm::MDNode::get(context_, {scopes[i]}));
    other_scopes_.push_back(llvm::MDNode::get(context_, others));
  }
}

template <class Instruction>
Instruction* KernelEmitter::mark(Instruction* access, int buffer) {
  access->setMetadata(llvm::LLVMContext::MD_alias_scope, own_scope_[static_cast<std::size_t>(buffer)]);
  access->setMetadata(llvm::LLVMContext::MD_noalias, other_scopes_[static_cast<std::size_t>(buffer)]);
  return access;
}

llvm::Type* KernelEmitter::stored_type(int buffer, int lanes) const {
  const BufferParam& param = parameter(buffer);
  llvm::Type* element =
      param.storage == Storage::whole ? memory_type(context_, param.dtype) : llvm::Type::getInt16Ty(context_);
  return lanes == 1 ? element : llvm::VectorType::get(element, static_cast<unsigned>(lanes), false);
}

llvm::Align KernelEmitter::alignment(int buffer) const {
  const BufferParam& param = parameter(buffer);
  return llvm::Align(param.storage == Storage::whole ? size_of(param.dtype) : 2);
}

bool KernelEmitter::masks_loads(int buffer) const {
  const BufferParam& param = parameter(buffer);
  return param.storage == Storage::whole ? target_.masks_loads(param.dtype)
                                         : target_.masked_access == MaskedAccess::all;
}

/// Two bytes are widened by whole-number instructions, which every CPU has. An f16 has another base of its
/// exponent than an f32: a product with 2^112 sets it right, subnormals too. It holds no infinity and no NaN.
llvm::Value* KernelEmitter::from_memory(llvm::Value* loaded, int buffer) {
  const BufferParam& param = parameter(buffer);
  if (param.storage == Storage::whole)
    return param.dtype == DType::bool_ ? b_.CreateIsNotNull(loaded) : loaded;
  llvm::Type* integer = loaded->getType()->getWithNewType(b_.getInt32Ty());
  llvm::Type* real = loaded->getType()->getWithNewType(b_.getFloatTy());
  const auto bits = [&](std::uint64_t n) { return llvm::ConstantInt::get(integer, n); };
  llvm::Value* wide = b_.CreateZExt(loaded, integer);
  if (param.storage == Storage::bfloat16) return b_.CreateBitCast(b_.CreateShl(wide, bits(16)), real);
  llvm::Value* size = b_.CreateBitCast(b_.CreateShl(b_.CreateAnd(wide, bits(0x7fff)), bits(13)), real);
  size = b_.CreateFMul(size, llvm::ConstantFP::get(real, 0x1p112));
  llvm::Value* sign = b_.CreateShl(b_.CreateAnd(wide, bits(0x8000)), bits(16));
  return b_.CreateBitCast(b_.CreateOr(b_.CreateBitCast(size, integer), sign), real);
}

llvm::Value* KernelEmitter::to_memory(llvm::Value* value, DType dtype) {
  if (dtype != DType::bool_) return value;
  return b_.CreateZExt(value, memory_type(context_, dtype, value->getType()->isVectorTy() ? lanes() : 1));
}

llvm::Value* KernelEmitter::element_pointer(int buffer, llvm::Value* index) {
  llvm::Type* element = stored_type(buffer);
  llvm::Value* base = buffers_[static_cast<std::size_t>(buffer)];
  // A constant apart, so that it becomes the instruction's displacement: LLVM makes one of a sum's constant,
  // too, but searches long. Kernels that stand alone may become one function (share_kernels.cpp), which
  // passes what differs between them, constants of sums too, as arguments.
  auto* sum = llvm::dyn_cast<llvm::AddOperator>(index);
  if (!constants_apart_ || sum == nullptr || !llvm::isa<llvm::ConstantInt>(sum->getOperand(1)))
    return b_.CreateGEP(element, base, index);
  return b_.CreateGEP(element, b_.CreateGEP(element, base, sum->getOperand(0)), sum->getOperand(1));
}

llvm::Value* KernelEmitter::lane_pointers(int buffer, const Index& index, const Address& a) {
  llvm::Type* element = stored_type(buffer);
  // The uniform part goes into the base, so that the lanes' part is one vector of small offsets.
  llvm::Value* offsets = spread({number(0), a.stride, a.lanes}, lane_type(index));
  return b_.CreateGEP(element, element_pointer(buffer, a.uniform), offsets);
}

llvm::Value* KernelEmitter::lane_mask(llvm::Value* mask, const Lanes* predicate) {
  if (predicate == nullptr) return mask;
  llvm::Value* lanes = splat(*predicate);
  return mask == nullptr ? lanes : b_.CreateAnd(mask, lanes);
}

/// Eight zero bytes that loads with a false predicate read.
llvm::Value* KernelEmitter::zero_cell() {
  const std::string name = "zero";
  if (llvm::GlobalVariable* cell = module_.getNamedGlobal(name)) return cell;
  auto* cell = new llvm::GlobalVariable(module_, b_.getInt64Ty(), true, llvm::GlobalValue::PrivateLinkage,
                                        b_.getInt64(0), name);
  cell->setAlignment(llvm::Align(8));
  return cell;
}

namespace {

/// The number of lanes of a constant mask that leaves the first ones; -1 for other masks.
int first_lanes(const llvm::Value* mask, int lanes) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(mask);
  if (constant == nullptr) return -1;
  int count = 0;
  while (count < lanes && constant->getAggregateElement(static_cast<unsigned>(count))->isOneValue()) ++count;
  for (int lane = count; lane < lanes; ++lane)
    if (!constant->getAggregateElement(static_cast<unsigned>(lane))->isNullValue()) return -1;
  return count;
}

/// Calls body(start, size) for parts of [0, count) whose sizes are powers of two, the largest first.
template <class Body>
void each_part(int count, Body body) {
  for (int start = 0; start < count;) {
    int size = 1;
    while (2 * size <= count - start) size *= 2;
    body(start, size);
    start += size;
  }
}

}  // namespace

llvm::Value* KernelEmitter::load_part(int buffer, llvm::Value* pointer, int first, int count) {
  llvm::Value* result = llvm::Constant::getNullValue(stored_type(buffer, lanes()));
  each_part(count, [&](int start, int size) {
    llvm::Type* type = stored_type(buffer, size);
    llvm::Value* place =
        b_.CreateConstGEP1_32(stored_type(buffer), pointer, static_cast<unsigned>(first + start));
    llvm::Value* part = mark(b_.CreateAlignedLoad(type, place, alignment(buffer)), buffer);
    if (size == 1) {
      result = b_.CreateInsertElement(result, part, static_cast<std::uint64_t>(first + start));
      return;
    }
    // First as wide as the result, then into its place.
    std::vector<int> widen, blend;
    for (int lane = 0; lane < lanes(); ++lane) {
      const int of_part = lane - first - start;
      const bool inside = of_part >= 0 && of_part < size;
      widen.push_back(inside ? of_part : llvm::PoisonMaskElem);
      blend.push_back(inside ? lanes() + lane : lane);
    }
    result = b_.CreateShuffleVector(result, b_.CreateShuffleVector(part, widen), blend);
  });
  return result;
}

llvm::Value* KernelEmitter::load_all_or_some(int buffer, llvm::Value* pointer, llvm::Value* mask) {
  llvm::Type* type = stored_type(buffer, lanes());
  const llvm::Align align = alignment(buffer);
  llvm::Value *whole = nullptr, *some = nullptr;
  llvm::BasicBlock *after_whole = nullptr, *after_some = nullptr;
  branch(
      b_.CreateAndReduce(mask),
      [&] {
        whole = mark(b_.CreateAlignedLoad(type, pointer, align), buffer);
        after_whole = b_.GetInsertBlock();
      },
      [&] {
        llvm::Value* zero = llvm::Constant::getNullValue(type);
        some = mark(b_.CreateMaskedLoad(type, pointer, align, mask, zero), buffer);
        after_some = b_.GetInsertBlock();
      });
  llvm::PHINode* loaded = b_.CreatePHI(type, 2);
  loaded->addIncoming(whole, after_whole);
  loaded->addIncoming(some, after_some);
  return loaded;
}

void KernelEmitter::store_part(int buffer, DType dtype, llvm::Value* pointer, llvm::Value* value, int count) {
  each_part(count, [&](int start, int size) {
    std::vector<int> taken;
    for (int lane = start; lane < start + size; ++lane) taken.push_back(lane);
    llvm::Value* part = size == 1 ? b_.CreateExtractElement(value, static_cast<std::uint64_t>(start))
                                  : b_.CreateShuffleVector(value, taken);
    llvm::Value* place =
        b_.CreateConstGEP1_32(memory_type(context_, dtype), pointer, static_cast<unsigned>(start));
    mark(b_.CreateAlignedStore(part, place, llvm::Align(size_of(dtype))), buffer);
  });
}

// ---- loads ------------------------------------------------------------------------------------------------

KernelEmitter::Lanes KernelEmitter::load(const ExprNode& e) {
  std::optional<Lanes> predicate;
  if (e.predicate) predicate = expr(e.predicate);
  const Lanes* condition = predicate ? &*predicate : nullptr;
  if (parameter(e.buffer).pair_lanes > 0) return {load_of_pair(e), true};
  const Address a = address(e.index);
  if (!a.varies()) {
    llvm::Value* value = load_uniform(e, a, condition);
    if (condition == nullptr || !condition->varies) return {value};
    llvm::Value* lanes_of_value = splat({value});
    llvm::Value* zero = llvm::Constant::getNullValue(lanes_of_value->getType());
    return {b_.CreateSelect(condition->value, lanes_of_value, zero), true};
  }
  return {load_vector(e, a, lane_mask(vector_->mask, condition)), true};
}

/// One element for all lanes. Where the predicate is false the address is that of a zero: no branch, and the
/// buffer isn't touched. If the predicate differs between lanes, one true lane is enough to read.
llvm::Value* KernelEmitter::load_uniform(const ExprNode& e, const Address& a, const Lanes* predicate) {
  llvm::Value* pointer = element_pointer(e.buffer, a.uniform);
  llvm::Type* type = stored_type(e.buffer);
  const llvm::Align align = alignment(e.buffer);
  if (predicate == nullptr)
    return from_memory(mark(b_.CreateAlignedLoad(type, pointer, align), e.buffer), e.buffer);
  llvm::Value* condition =
      predicate->varies ? b_.CreateOrReduce(lane_mask(vector_->mask, predicate)) : predicate->value;
  pointer = b_.CreateSelect(condition, pointer, zero_cell());
  // The zero is constant: what may or may not overlap the buffer's accesses holds for both.
  return from_memory(mark(b_.CreateAlignedLoad(type, pointer, align), e.buffer), e.buffer);
}

llvm::Value* KernelEmitter::load_vector(const ExprNode& e, const Address& a, llvm::Value* mask) {
  llvm::Type* type = stored_type(e.buffer, lanes());
  const llvm::Align align = alignment(e.buffer);
  llvm::Value* zero = llvm::Constant::getNullValue(type);
  llvm::Value* loaded;
  const bool contiguous = a.lanes == nullptr && (a.stride == 1 || a.stride == -1);
  if (contiguous) {
    const bool reversed = a.stride == -1;
    llvm::Value* first = reversed ? b_.CreateSub(a.uniform, number(lanes() - 1)) : a.uniform;
    llvm::Value* pointer = element_pointer(e.buffer, first);
    if (mask == nullptr) {
      loaded = mark(b_.CreateAlignedLoad(type, pointer, align), e.buffer);
    } else if (const int count = first_lanes(mask, lanes()); count >= 0 && !masks_loads(e.buffer)) {
      loaded = load_part(e.buffer, pointer, reversed ? lanes() - count : 0, count);
    } else {
      llvm::Value* in_order = reversed ? b_.CreateVectorReverse(mask) : mask;
      loaded = masks_loads(e.buffer)
                   ? mark(b_.CreateMaskedLoad(type, pointer, align, in_order, zero), e.buffer)
                   : load_all_or_some(e.buffer, pointer, in_order);
    }
    if (reversed && planted() != Fault::unreversed_load) loaded = b_.CreateVectorReverse(loaded);
  } else {
    llvm::Value* pointers = lane_pointers(e.buffer, e.index, a);
    loaded = mark(b_.CreateMaskedGather(type, pointers, align, mask, zero), e.buffer);
  }
  return from_memory(loaded, e.buffer);
}

llvm::Value* KernelEmitter::load_of_pair(const ExprNode& e) {
  const int n = lanes();
  const std::int64_t base = llvm::cast<llvm::ConstantInt>(vector_->base)->getSExtValue();
  const bool second = (*place_in_pair(e.index, vector_->variable, n) + base) / n % 2 == 1;
  // The same address for both, so that one load serves them.
  llvm::Value* pair = element_pointer(e.buffer, address(second ? e.index - n : e.index).uniform);
  llvm::Type* type = llvm::VectorType::get(b_.getInt32Ty(), static_cast<unsigned>(n), false);
  llvm::Value* halves = mark(b_.CreateAlignedLoad(type, pair, llvm::Align(4)), e.buffer);
  const auto bits = [&](std::uint64_t x) { return llvm::ConstantInt::get(type, x); };
  llvm::Value* wide = second ? b_.CreateAnd(halves, bits(0xffff0000)) : b_.CreateShl(halves, bits(16));
  return b_.CreateBitCast(wide, llvm::VectorType::get(b_.getFloatTy(), static_cast<unsigned>(n), false));
}

// ---- stores -----------------------------------------------------------------------------------------------

void KernelEmitter::store(const Stmt& s) {
  Lanes value = expr(s.value);
  std::optional<Lanes> predicate;
  if (s.predicate) predicate = expr(s.predicate);
  const Address a = address(s.index);
  const DType dtype = s.value->dtype;
  if (a.varies()) {
    store_vector(s, a, to_memory(splat(value), dtype),
                 lane_mask(vector_->store_mask, predicate ? &*predicate : nullptr));
    return;
  }
  if (vector_ && vector_->variable->extent == 1) {  // the only lane that exists
    const auto first = [&](Lanes& x) {
      if (x.varies) x = {b_.CreateExtractElement(x.value, std::uint64_t{0}), false};
    };
    first(value);
    if (predicate) first(*predicate);
  }
  if (value.varies || (predicate && predicate->varies)) {
    fail(fmt::format("all lanes of loop {} store to one element of b{}", vector_->variable->name, s.buffer));
  }
  llvm::BasicBlock* after = nullptr;
  if (predicate) {
    auto* inside = llvm::BasicBlock::Create(context_, "store", function_);
    after = llvm::BasicBlock::Create(context_, "stored", function_);
    b_.CreateCondBr(predicate->value, inside, after);
    b_.SetInsertPoint(inside);
  }
  llvm::Value* pointer = element_pointer(s.buffer, a.uniform);
  mark(b_.CreateAlignedStore(to_memory(value.value, dtype), pointer, llvm::Align(size_of(dtype))), s.buffer);
  if (predicate) {
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }
}

void KernelEmitter::prefetch(const Stmt& s) {
  constexpr unsigned for_reading = 0, into_all_caches = 3, into_the_second = 2, data = 1;
  const unsigned locality = s.into == CacheLevel::second ? into_the_second : into_all_caches;
  llvm::Value* pointer = element_pointer(s.buffer, address(s.index).uniform);
  b_.CreateIntrinsic(llvm::Intrinsic::prefetch, {pointer->getType()},
                     {pointer, b_.getInt32(for_reading), b_.getInt32(locality), b_.getInt32(data)});
}

void KernelEmitter::store_vector(const Stmt& s, const Address& a, llvm::Value* value, llvm::Value* mask) {
  const llvm::Align align(size_of(s.value->dtype));
  if (a.lanes != nullptr || a.stride != 1) {
    mark(b_.CreateMaskedScatter(value, lane_pointers(s.buffer, s.index, a), align, mask), s.buffer);
    return;
  }
  llvm::Value* pointer = element_pointer(s.buffer, a.uniform);
  if (mask == nullptr) {
    mark(b_.CreateAlignedStore(value, pointer, align), s.buffer);
  } else if (const int count = first_lanes(mask, lanes());
             count >= 0 && target_.masked_access != MaskedAccess::all) {
    store_part(s.buffer, s.value->dtype, pointer, value, count);
  } else {
    mark(b_.CreateMaskedStore(value, pointer, align, mask), s.buffer);
  }
}

}  // namespace kiln::codegen
