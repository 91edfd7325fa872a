#pragma once
#include "codegen/float_builder.h"

/// The pieces that the functions of math.h are made of.
namespace kiln::codegen {

using V = llvm::Value*;

// ---- math_exp.cpp ----
V emit_exp(FloatBuilder& f, V x);
/// exp(high + low) of an argument in two parts.
V emit_exp(FloatBuilder& f, FloatBuilder::Pair x);
V emit_expm1(FloatBuilder& f, V x);
V emit_tanh(FloatBuilder& f, V x);
V emit_sigmoid(FloatBuilder& f, V x);
V emit_erf(FloatBuilder& f, V x);

// ---- math_log.cpp ----
/// x = (1 + fraction) 2^exponent with 1 + fraction in [sqrt(1/2), sqrt(2)); x > 0 and finite.
struct Decomposed {
  V fraction, exponent;  ///< floats
};
Decomposed decompose(FloatBuilder& f, V x);
V emit_log(FloatBuilder& f, V x);
V emit_log1p(FloatBuilder& f, V x);

// ---- math_trig.cpp ----
V emit_sin_cos(FloatBuilder& f, V x, bool cosine);

}  // namespace kiln::codegen
