#pragma once
#include <string>

#include "codegen/loop.h"

/// Weights of two bytes in pairs of vectors. Where a kernel reads a constant in whole vectors alone, one read
/// of 32-bit elements can bring two of them, each widened by one instruction: the first vector's bf16 lie in
/// the elements' lower halves, the second one's in the upper halves. In order, each vector is a read of half
/// the width and a conversion that takes the CPU as long as the reads that were saved.
namespace kiln::codegen {

/// A load in whole vectors of which it is known, when code is made, whether it is the first or the second of
/// its pair. `loop`: the vector loop around it.
bool reads_of_a_pair(const ExprNode& load, const Stmt& loop);

/// The lanes of the vectors in which a kernel reads a parameter, if pairs of them serve all its loads; else
/// 0.
int pair_lanes(const Kernel& kernel, int buffer);

/// Elements of two bytes, a multiple of 2 * lanes of them, put in pairs of vectors.
std::string in_pairs(const std::string& halves, int lanes);

}  // namespace kiln::codegen
