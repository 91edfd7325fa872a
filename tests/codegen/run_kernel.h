#pragma once
#include <memory>
#include <vector>

#include "codegen/jit.h"
#include "kiln/runtime/executable.h"
#include "tests/support/cpus.h"

/// Compiles and runs single kernels, without a graph or a runtime around them.
namespace kiln::codegen {

class RunnableKernel {
 public:
  explicit RunnableKernel(const Kernel& kernel, const Target& target = Target::host())
      : object_(compile_kernels(std::span(&kernel, 1), target).front()),
        code_(link(std::span(&object_, 1))) {}

  /// Every share, one after the other.
  void operator()(std::vector<void*> buffers, int threads = 1) const {
    for (int t = 0; t < threads; ++t) share(buffers, t, threads);
  }
  void share(const std::vector<void*>& buffers, int thread, int threads) const {
    reinterpret_cast<runtime::KernelFn>(code_->address(0))(buffers.data(), thread, threads);
  }
  const ObjectCode* object() const { return object_.get(); }

 private:
  std::shared_ptr<const ObjectCode> object_;
  std::shared_ptr<const LinkedCode> code_;
};

/// The widths this machine has.
inline std::vector<int> vector_widths() {
  std::vector<int> widths;
  for (int bits = 128; bits <= Target::host().vector_bits; bits *= 2) widths.push_back(bits);
  return widths;
}

/// This machine at every width, and older CPUs without AVX-512 (no masks in
/// registers, no conversions of 64-bit integers), without AVX2 (no multiply-add, no masked loads) and without
/// SSE4 (no rounding).
inline std::vector<Target> targets() {
  std::vector<Target> result;
  for (int bits : vector_widths()) result.push_back(Target::host(bits));
  for (const std::string& cpu : testing::older_cpus()) result.push_back(Target::host(0, cpu));
  return result;
}

inline Reg make_register(std::string name, RegisterKind kind, int lanes, std::vector<std::int64_t> dims = {},
                         std::int64_t extent = 0, DType dtype = DType::f32) {
  return std::make_shared<const Register>(
      Register{std::move(name), dtype, kind, std::move(dims), extent, lanes});
}

}  // namespace kiln::codegen
