#pragma once
#include <llvm/IR/IRBuilder.h>

#include "codegen/target.h"

/// What microcontrollers of 32 bits have no instructions for, and LLVM would call a library for.
namespace kiln::codegen {

bool needs_wide_arithmetic(const Target& target);

/// i64 to f32. Exact below 2^24, as any float32, rounded once below 2^32, and twice above.
llvm::Value* convert_wide(llvm::IRBuilder<>& b, llvm::Value* x);
/// The truncated quotient of i64; y is neither 0 nor -1. A function of the module, which all divisions call.
llvm::Value* divide_wide(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y);

}  // namespace kiln::codegen
