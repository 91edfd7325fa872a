#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kiln/runtime/error.h"

namespace kiln {

struct ProfileArgs {
  /// At most all samples of x; of predictions, as many of its rows as go through the model at once.
  std::int64_t batch_size = 32;
  std::int64_t repeats = 20;  ///< runs; each kernel's time is the median of as many
};

/// One kernel of a step, in the order of running.
struct KernelProfile {
  std::string name;    ///< the layers and ops that it computes, "grad/" before what belongs to the gradient
  double seconds = 0;  ///< from barrier to barrier
  double flops = 0;    ///< floating-point operations, a multiply-add counting two
  double bytes = 0;    ///< size of the arrays that it reads and writes
  double limit_seconds = 0;  ///< the least time by the machine's roofline, were all bytes beyond the caches
  bool prepared = false;     ///< hangs on weights alone: a prediction computes it once after they changed
};

/// Where a step's time goes: what `Model::profile` returns.
struct KILN_API Profile {
  std::string name;  ///< of the step
  int threads = 1;
  double flops_per_second = 0, bytes_per_second = 0;  ///< the machine's limits, measured in this process
  std::vector<KernelProfile> kernels;

  /// The sum over all kernels but the prepared ones. A step by itself takes less: there, most kernels follow
  /// without a barrier.
  double seconds() const;
  /// A table: for each kernel its time, share of the step ("once": prepared), GF/s, GB/s, and the roofline's
  /// time as a share of its own (beyond 100 % where the arrays were in the caches).
  std::string to_string() const;
  /// Writes a trace of a step, without what is prepared, that Chrome (chrome://tracing) and Perfetto
  /// (ui.perfetto.dev) show. Throws FileError.
  void save_trace(const std::string& path) const;
};

}  // namespace kiln
