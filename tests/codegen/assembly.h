#pragma once
#include <string>
#include <vector>

#include "codegen/target.h"
#include "graph/plan.h"

/// Reading machine code as text, x86's and AArch64's.
namespace kiln::codegen {

using Lines = std::vector<std::string>;

/// The instructions, without labels, directives and comments.
Lines instructions(const std::string& assembly);
/// The loops that hold no other loop, each as its instructions: from the label that a later jump goes back to
/// up to that jump.
std::vector<Lines> innermost_loops(const std::string& assembly);

/// Lines in which a pattern (ECMAScript's) is found.
int count(const Lines& lines, const std::string& pattern);
int count(const std::string& assembly, const std::string& pattern);

/// Vector registers stored to the stack.
int spills(const Lines& lines);
/// Vectors read from the stack: spilled ones, or constants that are as well read from there as from
/// elsewhere.
int reloads(const Lines& lines);
/// Multiply-adds of vectors: fused ones, or pairs of a product and a sum.
int multiply_adds(const Lines& lines);
/// The innermost loop that has most of them.
Lines busiest_loop(const std::string& assembly);

struct KernelAssembly {
  std::string name, assembly;
};
/// The kernels that a graph becomes, in order, for any target.
std::vector<KernelAssembly> kernels_of(const graph::Graph& graph, const Target& target,
                                       const graph::PlanOptions& options = {});

}  // namespace kiln::codegen
