#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

/// From object files to machine code in this process. Only linker.cpp includes LLVM's ORC headers, which are
/// slow to compile.
namespace kiln::codegen {

/// An object file in memory and the function that it defines.
struct ObjectCode {
  std::string symbol;
  std::string bytes;
};

/// Object files linked together; frees their memory when the last owner goes.
class LinkedCode {
 public:
  virtual ~LinkedCode() = default;
  /// Address of the function of object `index`.
  virtual void* address(std::size_t index) const = 0;
};

/// Links objects, whose functions may call each other and what the process has, libomp among it. Functions of
/// other links are not seen, so symbols need to differ only within one. Throws InternalError if something is
/// missing or an object is damaged; nothing of them stays then.
std::shared_ptr<const LinkedCode> link(std::span<const std::shared_ptr<const ObjectCode>> objects);

}  // namespace kiln::codegen
