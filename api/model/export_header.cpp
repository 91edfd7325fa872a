#include "api/model/export_header.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "api/model/c_header.h"

namespace kiln::internal {
namespace {

class PredictionHeader {
 public:
  PredictionHeader(const Model& model, const codegen::ExportedProgram& program, const ExportArgs& args,
                   const std::string& prefix)
      : header_(prefix), model_(model), program_(program), args_(args) {
    for (const SymbolicTensor& x : model.inputs()) inputs_.push_back(header_.name_of(x.layer(), "input"));
    for (const SymbolicTensor& y : model.outputs()) outputs_.push_back(header_.name_of(y.layer(), "output"));
  }

  std::string text() {
    const codegen::ExportedFunction& predict = program_.predict;
    header_.describe(model_, program_, std::to_string(args_.batch_size),
                     args_.weight_storage + (args_.weights == "separate" ? ", in a file of their own" : ""),
                     std::to_string(predict.multiply_adds), false);
    header_.begin();
    header_.line("/* Rows of a call. */\n#define {}_BATCH {}\n", header_.macro(), args_.batch_size);
    header_.describe("input", inputs_, predict.inputs);
    header_.describe("output", outputs_, predict.outputs);
    memory();
    header_.begin_functions();
    functions();
    return header_.finish();
  }

 private:
  bool separate() const { return args_.weights == "separate"; }

  void memory() {
    const std::string& macro = header_.macro();
    header_.line(
        "/* Memory that predict needs while it runs, and its alignment; it may serve others between calls. "
        "*/");
    // At least 1, so that an array can have that size.
    header_.line("#define {}_SCRATCH_BYTES {}", macro,
                 std::max<std::int64_t>(1, program_.predict.scratch_bytes));
    header_.line("#define {}_SCRATCH_ALIGN {}", macro, program_.predict.scratch_alignment);
    header_.describe_stack(program_, args_.threads == "openmp",
                           std::max(program_.predict.stack_bytes, program_.selftest_stack_bytes));
    if (separate()) {
      header_.line("/* The file {}.weights: weights is the address of its content in memory, aligned so. */",
                   header_.prefix());
      header_.line("#define {}_WEIGHT_ALIGN {}", macro, program_.weight_alignment);
    } else {
      header_.line("/* Constants in the object file's read-only data. */");
    }
    header_.line("#define {}_WEIGHT_BYTES {}\n", macro, program_.constant_bytes);
  }

  std::string parameters(bool with_inputs) const {
    std::vector<std::string> all;
    if (with_inputs) add_parameters(all, "const ", inputs_, program_.predict.inputs);
    add_parameters(all, "", outputs_, program_.predict.outputs);
    if (separate()) all.emplace_back("const void *weights");
    all.emplace_back("void *scratch");
    return fmt::format("{}", fmt::join(all, ", "));
  }

  void functions() {
    header_.line("/* Predicts. No two of the arrays may overlap. Returns 0, or");
    std::string misaligned = "-1 if an address is null, or lacks the alignment of its type, or of scratch";
    if (separate()) misaligned += " or weights";
    header_.line("{} */", meaning_of_results(misaligned, program_.predict.checks));
    header_.line("int32_t {}_predict({});", header_.prefix(), parameters(true));
    if (!args_.selftest) return;
    header_.line(
        "\n/* Predicts for inputs known to it ({} bytes in the object file, with the results), into the "
        "arrays",
        program_.selftest_bytes);
    header_.line(
        " * given. Returns 0 if the results are right, the number of an output that isn't, from 1, or -1 if");
    header_.line("{}", separate() ? " * predict fails, or -2 if weights hasn't the bytes of the file. */"
                                  : " * predict fails. */");
    header_.line("int32_t {}_selftest({});", header_.prefix(), parameters(false));
  }

  CHeader header_;
  const Model& model_;
  const codegen::ExportedProgram& program_;
  const ExportArgs& args_;
  std::vector<std::string> inputs_, outputs_;
};

}  // namespace

std::string export_header(const Model& model, const codegen::ExportedProgram& program, const ExportArgs& args,
                          const std::string& prefix) {
  return PredictionHeader(model, program, args, prefix).text();
}

}  // namespace kiln::internal
