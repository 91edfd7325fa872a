#pragma once
#include <llvm/IR/IRBuilder.h>

#include "codegen/target.h"
#include "kiln/graph/graph.h"

/// Kiln's own maths for generated code, f32 and f64, scalars and vectors alike (so the tail of a loop gives
/// the bits of its body). No call remains. Largest errors in ulp (tests/codegen/math_test.cpp measures them
/// against libm in double or long double precision, subnormals, infinities and NaN included):
///
///               exp  expm1  log  log1p  sqrt  rsqrt  tanh  sigmoid  erf  sin  cos  pow
///     f32         1    2     1     1    0.5    1.5     3      3      2    1    1    1
///     f64         1    2     1     1    0.5    1.5     3      3      5    1    1    1.5
///
/// sin and cos reduce arguments of any size exactly enough for that bound. floor, ceil, round and remainders
/// are exact. NaN gives NaN; which NaN is not said.
namespace kiln::codegen {

/// exp, expm1, log, log1p, sqrt, rsqrt, tanh, sigmoid, erf, sin, cos.
llvm::Value* emit_math(llvm::IRBuilder<>& b, const Target& target, graph::Op op, llvm::Value* x);
/// IEEE 754's pow, with all of its special cases.
llvm::Value* emit_pow(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y);
/// C's fmod: exact, with the sign of x.
llvm::Value* emit_remainder(llvm::IRBuilder<>& b, const Target& target, llvm::Value* x, llvm::Value* y);

}  // namespace kiln::codegen
