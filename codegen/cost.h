#pragma once
#include "codegen/loop.h"

/// Estimates, made by looking at the loop form: for choices between two ways of writing a kernel, and for
/// profiles.
namespace kiln::codegen {

/// Instructions, roughly, of one pass through a vector loop's body over `var`. Neighbouring elements are
/// cheap to load, elements at a stride cost a load each, and other places a division or two on top.
double vector_cost(const Block& body, const Var& var, int lanes);

/// True if every address in the block is affine in `var`: a loop over it then needs no division.
bool all_affine(const Block& body, const Var& var);

/// Scalar operations an element, roughly.
double scalar_work(const Block& body);

/// Floating-point operations of a run of the kernel: a multiply-add counts two, functions one.
double count_flops(const Kernel& kernel);

}  // namespace kiln::codegen
