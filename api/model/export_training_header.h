#pragma once
#include <string>
#include <vector>

#include "kiln/codegen/export.h"
#include "kiln/model.h"

namespace kiln::internal {

/// An array of the memory that a device trains in.
struct DeviceArray {
  std::string name;  ///< as the header calls it; "": not at all
  Tensor storage;
  bool is_weight = false;
};

/// The C99 header of an exported training step, whose names begin with `prefix`. `arrays` are parallel to
/// program.offsets, `has_loss` to the model's outputs.
std::string export_training_header(const Model& model, const codegen::ExportedTraining& program,
                                   const ExportTrainingArgs& args, const std::vector<DeviceArray>& arrays,
                                   const std::vector<bool>& has_loss, const std::string& prefix);

}  // namespace kiln::internal
