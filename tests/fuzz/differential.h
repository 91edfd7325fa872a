#pragma once
#include <string>
#include <vector>

#include "kiln/codegen/compile.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"

namespace kiln::fuzz {

/// Options of the random program with this number: from 12 ops up, every third with its gradient, every
/// eighth with NaN, infinities and -0 in its inputs.
graph::RandomProgramOptions options_of(std::int64_t seed);

/// The same program with its convolutions in the form of one algorithm, and wherever possible the batch as
/// the images' last axis, if `batch_last` says so. The bounds follow.
graph::RandomProgram in_form(const graph::RandomProgram& random, graph::ConvAlgorithm algorithm,
                             bool batch_last);

struct Results {
  std::vector<Tensor> outputs, states;
};

/// Allocates results, runs the program with a team of `threads`, and gives what it wrote.
Results run(const std::shared_ptr<const runtime::Program>& program, const graph::RandomProgram& random,
            int threads);
/// The same without a team: the shares of `threads` threads serially in an order of the seed's choice.
Results run_shuffled(const std::shared_ptr<const runtime::Program>& program,
                     const graph::RandomProgram& random, int threads, std::uint64_t seed);

/// Empty if both are equal to the bit, else what differs.
std::string difference(const Results& a, const Results& b);

/// Everything one random program is tested for: compiled code within the bounds at one thread, the same bits
/// at 2, 3 and 5 threads and in shuffled order. Empty, or the first complaint; `agreement` gets the counts.
std::string complaint(const graph::RandomProgram& random, const codegen::CompileOptions& options = {},
                      graph::Agreement* agreement = nullptr);

}  // namespace kiln::fuzz
