#include "codegen/digest.h"

#include <llvm/Support/BLAKE3.h>

namespace kiln::codegen {

struct DigestOf::State {
  llvm::BLAKE3 hasher;
};

DigestOf::DigestOf() : state_(std::make_unique<State>()) {}
DigestOf::~DigestOf() = default;

void DigestOf::add(std::string_view bytes) {
  state_->hasher.update(llvm::StringRef(bytes.data(), bytes.size()));
}

Digest DigestOf::result() const {
  return state_->hasher.final();
}

}  // namespace kiln::codegen
