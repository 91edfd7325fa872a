#pragma once
#include <string>

#include "kiln/codegen/export.h"
#include "kiln/model.h"

namespace kiln::internal {

/// The C99 header of an exported model, whose names begin with `prefix`.
std::string export_header(const Model& model, const codegen::ExportedProgram& program, const ExportArgs& args,
                          const std::string& prefix);

}  // namespace kiln::internal
