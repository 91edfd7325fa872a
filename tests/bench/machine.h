#pragma once

namespace kiln::bench {

/// What no program can exceed, measured now: the rows' rooflines are made of it.
struct Machine {
  double gflops;             ///< float32 multiply-adds in registers, two operations each
  double gbytes_per_second;  ///< reading memory
};
Machine measure_machine(int threads);

}  // namespace kiln::bench
