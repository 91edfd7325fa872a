#pragma once
#include <optional>
#include <string>

#include "codegen/loop.h"

/// bf16 weights in pairs of vectors. Where kernels read a constant in whole vectors alone, one read of 32-bit
/// elements can bring two of them, each widened by one instruction: the first vector's bf16 lie in the
/// elements' lower halves, the second one's in the upper halves. In order, each vector is a read of half the
/// width and two instructions, which take most of the time that the shorter reads save.
namespace kiln::codegen {

/// Where in a pair of vectors a load's first vector begins, if that is known when code is made: 0 or `lanes`.
/// `variable` is the one of the vector loop around it.
std::optional<std::int64_t> place_in_pair(const Index& index, const Var& variable, int lanes);

/// A load in whole vectors, each known to be the first or the second of its pair.
bool reads_of_a_pair(const ExprNode& load, const Stmt& vector_loop);

/// The lanes of the vectors in which a kernel reads a parameter, if pairs of them serve all its loads, or 0.
int pair_lanes(const Kernel& kernel, int buffer);

/// Elements of two bytes, a multiple of 2 * lanes of them, put in pairs of vectors.
std::string in_pairs(const std::string& halves, int lanes);

}  // namespace kiln::codegen
