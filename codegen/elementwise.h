#pragma once
#include <llvm/IR/IRBuilder.h>

#include <span>
#include <string_view>

#include "codegen/target.h"
#include "kiln/graph/graph.h"

/// The graph's elementwise ops as LLVM instructions, on scalars or vectors alike. What they mean is said in
/// kiln/graph/ops.h; every case is defined (division by zero, shifts out of range, NaN to integer), and no
/// instruction carries fast-math flags: fused and unfused graphs give the same bits.
namespace kiln::codegen {

/// LLVM's type of a value in a register: bool is i1. `lanes` 1 gives a scalar.
llvm::Type* value_type(llvm::LLVMContext& context, DType dtype, int lanes = 1);
/// In memory: bool is a byte.
llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype, int lanes = 1);

/// The op on operands of element type `dtype` (select: of its last two operands); all scalars, or all vectors
/// of one length. May end the builder's block and go on in another (loops inside `rem`, `sin`, `cos`).
llvm::Value* emit_elementwise(llvm::IRBuilder<>& b, const Target& target, graph::Op op, DType dtype,
                              std::span<llvm::Value* const> x);
llvm::Value* emit_compare(llvm::IRBuilder<>& b, std::string_view direction, DType dtype, llvm::Value* x,
                          llvm::Value* y);
llvm::Value* emit_convert(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, DType from, DType to);
/// x * y + z: one instruction, rounded once, or, where the target has none, a product and a sum.
llvm::Value* emit_fma(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y,
                      llvm::Value* z);

}  // namespace kiln::codegen
