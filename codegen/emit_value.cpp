#include <fmt/format.h>
#include <llvm/IR/Constants.h>

#include <array>
#include <limits>

#include "codegen/elementwise.h"
#include "codegen/emitter.h"
#include "codegen/faults.h"

namespace kiln::codegen {

// ---- values -----------------------------------------------------------------------------------------------

KernelEmitter::Lanes KernelEmitter::expr(const Expr& e) {
  switch (e->kind) {
    case ExprKind::constant: {
      llvm::Type* type = value_type(context_, e->dtype);
      if (is_float(e->dtype)) return {llvm::ConstantFP::get(type, e->number)};
      return {llvm::ConstantInt::get(type, static_cast<std::uint64_t>(e->integer), true)};
    }
    case ExprKind::load:
      return load(*e);
    case ExprKind::read: {
      llvm::AllocaInst* cell = element(e->reg, e->subscripts);
      return {b_.CreateLoad(cell->getAllocatedType(), cell), cell->getAllocatedType()->isVectorTy()};
    }
    case ExprKind::temporary:
      return temporaries_.at(e->temporary);
    case ExprKind::index: {
      llvm::Type* type = value_type(context_, e->dtype);
      const Address a = address(e->index);
      if (!a.varies()) return {b_.CreateSExtOrTrunc(a.uniform, type)};
      llvm::Value* lanes = spread(a, lane_type(e->index));
      return {b_.CreateSExtOrTrunc(lanes, llvm::VectorType::get(type, this->lanes(), false)), true};
    }
    case ExprKind::less:
      return less(*e);
    case ExprKind::fold_lanes:
      return fold(*e);
    case ExprKind::apply:
    case ExprKind::fma:
      break;
  }
  return apply(*e);
}

llvm::Value* KernelEmitter::splat(const Lanes& x) {
  if (x.varies || lanes() == 1) return x.value;
  return b_.CreateVectorSplat(static_cast<unsigned>(lanes()), x.value);
}

llvm::Value* KernelEmitter::uniform(const Expr& e, const char* what) {
  const Lanes x = expr(e);
  if (x.varies) fail(fmt::format("{} differs between the lanes of loop {}", what, vector_->variable->name));
  return x.value;
}

KernelEmitter::Lanes KernelEmitter::apply(const ExprNode& e) {
  std::vector<Lanes> x;
  bool varies = false;
  for (const Expr& operand : e.operands) {
    x.push_back(expr(operand));
    varies = varies || x.back().varies;
  }
  std::vector<llvm::Value*> values;
  for (const Lanes& value : x) values.push_back(varies ? splat(value) : value.value);
  // A select by a uniform condition needs no vector of conditions.
  if (e.op == graph::Op::select && e.kind == ExprKind::apply && !x[0].varies) values[0] = x[0].value;

  const DType operand = e.operands.back()->dtype;
  if (e.kind == ExprKind::fma) return {emit_fma(b_, target_, values[0], values[1], values[2]), varies};
  if (e.op == graph::Op::convert) return {emit_convert(b_, target_, values[0], operand, e.dtype), varies};
  if (e.op == graph::Op::compare) {
    return {emit_compare(b_, e.direction, operand, values[0], values[1]), varies};
  }
  return {emit_elementwise(b_, target_, e.op, operand, values), varies};
}

/// Halves: (0 1 2 3 4 5 6 7) -> (0+4 1+5 2+6 3+7) -> ...: one order for every kernel, and few instructions.
KernelEmitter::Lanes KernelEmitter::fold(const ExprNode& e) {
  llvm::AllocaInst* cell = element(e.reg, e.subscripts);
  llvm::Value* x = b_.CreateLoad(cell->getAllocatedType(), cell);
  int width = e.reg->lane_count;
  if ((width & (width - 1)) != 0) fail(fmt::format("register {} of {} lanes is folded", e.reg->name, width));
  while (width > 1) {
    width /= 2;
    std::vector<int> low, high;
    for (int i = 0; i < width; ++i) {
      low.push_back(i);
      high.push_back(width + i);
    }
    llvm::Value *a, *b;
    if (width == 1) {
      a = b_.CreateExtractElement(x, std::uint64_t{0});
      b = b_.CreateExtractElement(x, std::uint64_t{1});
    } else {
      a = b_.CreateShuffleVector(x, low);
      b = b_.CreateShuffleVector(x, high);
    }
    if (planted() == Fault::fold_half) {
      x = a;
      continue;
    }
    const std::array operands = {a, b};
    x = emit_elementwise(b_, target_, e.op, e.dtype, operands);
  }
  return {x};
}

KernelEmitter::Lanes KernelEmitter::less(const ExprNode& e) {
  const Address a = address(e.index), c = address(e.other);
  if (!a.varies() && !c.varies()) return {b_.CreateICmpSLT(a.uniform, c.uniform)};
  // Both sides in the wider of their types.
  llvm::Type* type = lane_type(e.index)->isIntegerTy(64) ? lane_type(e.index) : lane_type(e.other);
  llvm::Value* right = spread(address(e.other, type), type);
  return {b_.CreateICmpSLT(spread(address(e.index, type), type), right), true};
}

// ---- indices ----------------------------------------------------------------------------------------------

namespace {

bool fits_i32(const Index& index) {
  if (index->low < std::numeric_limits<std::int32_t>::min() ||
      index->high - 1 > std::numeric_limits<std::int32_t>::max()) {
    return false;
  }
  const bool divides = index->kind == IndexKind::floor_div || index->kind == IndexKind::mod;
  if (divides && index->constant > std::numeric_limits<std::int32_t>::max()) return false;
  for (const Index& operand : index->operands) {
    if (!fits_i32(operand)) return false;
  }
  return true;
}

}  // namespace

llvm::Type* KernelEmitter::lane_type(const Index& index) {
  return fits_i32(index) ? b_.getInt32Ty() : index_type_;
}

llvm::Value* KernelEmitter::spread(const Address& a, llvm::Type* lane_type) {
  const auto count = static_cast<unsigned>(lanes());
  llvm::Value* start = b_.CreateSExtOrTrunc(a.uniform, lane_type);
  llvm::Value* result = b_.CreateVectorSplat(count, start);
  if (a.stride != 0) {
    std::vector<llvm::Constant*> steps;
    for (unsigned lane = 0; lane < count; ++lane) {
      steps.push_back(llvm::ConstantInt::get(lane_type, static_cast<std::uint64_t>(a.stride * lane), true));
    }
    result = b_.CreateAdd(result, llvm::ConstantVector::get(steps));
  }
  return a.lanes == nullptr ? result : b_.CreateAdd(result, a.lanes);
}

KernelEmitter::Address KernelEmitter::address(const Index& index, llvm::Type* lane_type) {
  switch (index->kind) {
    case IndexKind::constant:
      return {number(index->constant)};
    case IndexKind::variable: {
      const bool lane = vector_ && vector_->variable == index->variable && vector_->lanes > 1;
      return {variables_.at(index->variable.get()), lane ? 1 : 0};
    }
    case IndexKind::add: {
      // Constants last: addresses that differ in them only then share a register, and the constants become
      // the instructions' displacements.
      Address sum{number(0)};
      llvm::Value* constants = number(0);
      for (const Index& operand : index->operands) {
        const Address part = address(operand, lane_type);
        llvm::Value*& total = llvm::isa<llvm::ConstantInt>(part.uniform) ? constants : sum.uniform;
        total = b_.CreateNSWAdd(total, part.uniform);
        sum.stride += part.stride;
        if (part.lanes != nullptr) {
          sum.lanes = sum.lanes == nullptr ? part.lanes : b_.CreateAdd(sum.lanes, part.lanes);
        }
      }
      sum.uniform = b_.CreateNSWAdd(sum.uniform, constants);
      return sum;
    }
    case IndexKind::mul: {
      Address product = address(index->operands[0], lane_type);
      product.uniform = b_.CreateNSWMul(product.uniform, number(index->constant));
      product.stride *= index->constant;
      if (product.lanes != nullptr) {
        llvm::Value* factor = llvm::ConstantInt::get(product.lanes->getType(),
                                                     static_cast<std::uint64_t>(index->constant), true);
        product.lanes = b_.CreateMul(product.lanes, factor);
      }
      return product;
    }
    case IndexKind::floor_div:
    case IndexKind::mod: {
      const Index& operand = index->operands[0];
      const Address a = address(operand, lane_type);
      llvm::Value* x = a.varies() ? spread(a, lane_type) : a.uniform;
      llvm::Value* divisor =
          llvm::ConstantInt::get(x->getType(), static_cast<std::uint64_t>(index->constant));
      const bool quotient = index->kind == IndexKind::floor_div;
      llvm::Value* result;
      if (operand->low >= 0) {
        result = quotient ? b_.CreateUDiv(x, divisor) : b_.CreateURem(x, divisor);
      } else {
        // Division truncates; where the remainder is negative, step down once.
        llvm::Value* zero = llvm::Constant::getNullValue(x->getType());
        llvm::Value* remainder = b_.CreateSRem(x, divisor);
        llvm::Value* below = b_.CreateICmpSLT(remainder, zero);
        llvm::Value* step = b_.CreateSExt(below, x->getType());
        result = quotient ? b_.CreateAdd(b_.CreateSDiv(x, divisor), step)
                          : b_.CreateSelect(below, b_.CreateAdd(remainder, divisor), remainder);
      }
      if (a.varies()) return {number(0), 0, result};
      return {result};
    }
    case IndexKind::value:
      break;
  }
  const Lanes x = expr(index->value);
  const DType dtype = index->value->dtype;
  const auto widen = [&](llvm::Type* type) {
    return dtype == DType::u8 ? b_.CreateZExtOrTrunc(x.value, type) : b_.CreateSExtOrTrunc(x.value, type);
  };
  if (!x.varies) return {widen(index_type_)};
  return {number(0), 0, widen(llvm::VectorType::get(lane_type, static_cast<unsigned>(lanes()), false))};
}

}  // namespace kiln::codegen
