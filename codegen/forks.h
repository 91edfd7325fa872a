#pragma once

/// Compiling takes locks: LLVM's, the cache's, those of function-local constants. A child process gets them
/// as they were when its parent forked, and one that another thread held is never released there.
namespace kiln::codegen {

/// While one lives, this thread compiles or frees code, and a fork waits for its end. Meanwhile new ones wait
/// for the fork, but not those inside another one of their thread.
class Compiling {
 public:
  Compiling();
  ~Compiling();
  Compiling(const Compiling&) = delete;
  Compiling& operator=(const Compiling&) = delete;
};

}  // namespace kiln::codegen
