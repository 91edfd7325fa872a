#pragma once
#include <map>
#include <string>
#include <vector>

#include "kiln/runtime/tensor.h"

namespace kiln::files {

/// A tensor in a file.
struct NamedTensor {
  std::string name;
  Tensor value;
};

/// What a safetensors file holds.
struct Safetensors {
  std::vector<NamedTensor> tensors;             ///< in the order of their bytes in the file
  std::map<std::string, std::string> metadata;  ///< the header's "__metadata__"

  /// The tensor of that name, or null.
  const Tensor* find(const std::string& name) const;
};

/// Reads a safetensors file (https://huggingface.co/docs/safetensors: header length, JSON header, data) with
/// elements of the types F32, F64, I32, I64, U8 and BOOL. The whole header is compared with itself and with
/// the file's size before any tensor is allocated. Throws FileError naming the file, the tensor and the
/// reason.
KILN_API Safetensors load_safetensors(const std::string& path);

/// Writes tensors into a safetensors file, atomically: under `path` there is always a whole file, the old one
/// or the new one. Tensors of wide elements come first, so that all are aligned; those of one width keep
/// their order. Throws ValueError for a name that is used twice or is not UTF-8, FileError if the file can't
/// be written.
KILN_API void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

}  // namespace kiln::files
