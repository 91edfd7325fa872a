#pragma once
#include <llvm/IR/Function.h>

#include <span>

namespace kiln::codegen {

/// Makes one function of kernels that are the same but for numbers: extents of loops, distances between
/// elements, scales. What differs becomes an argument, where that makes the code shorter: a microcontroller
/// then has one Dense for all layers of that kind. `kernels` are functions of one module that only calls use,
/// not optimised yet; those that others serve for are erased.
void share_kernels(std::span<llvm::Function* const> kernels);

}  // namespace kiln::codegen
