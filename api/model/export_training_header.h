#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kiln/codegen/export.h"
#include "kiln/model.h"

namespace kiln::internal {

/// An array of the memory that a device trains in.
struct DeviceArray {
  enum class Kind : std::uint8_t { weight, learning_rate, other };
  Kind kind;
  std::string path;  ///< a weight's
  Tensor storage;
};

/// The C99 header of an exported training step, whose names begin with `prefix`. `arrays` are parallel to
/// program.offsets, `has_loss` to the model's outputs.
std::string export_training_header(const Model& model, const codegen::ExportedTraining& program,
                                   const ExportTrainingArgs& args, const std::vector<DeviceArray>& arrays,
                                   const std::vector<bool>& has_loss, const std::string& prefix);

}  // namespace kiln::internal
