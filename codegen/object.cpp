#include "codegen/object.h"

#include <fmt/format.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/Instrumentation/AddressSanitizer.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

/// Collects the errors that LLVM reports while this lives. Without it LLVM prints the first one and ends the
/// process.
class Diagnostics {
 public:
  explicit Diagnostics(llvm::LLVMContext& context)
      : context_(context), before_(context.getDiagnosticHandler()) {
    context.setDiagnosticHandler(std::make_unique<Handler>(errors_));
  }
  ~Diagnostics() { context_.setDiagnosticHandler(std::move(before_)); }
  Diagnostics(const Diagnostics&) = delete;
  Diagnostics& operator=(const Diagnostics&) = delete;

  const std::string& errors() const { return errors_; }

 private:
  struct Handler : llvm::DiagnosticHandler {
    explicit Handler(std::string& errors) : errors(errors) {}
    bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
      if (info.getSeverity() != llvm::DS_Error) return true;  // warnings and remarks are for compiler writers
      llvm::raw_string_ostream stream(errors);
      llvm::DiagnosticPrinterRawOStream printer(stream);
      info.print(printer);
      stream << '\n';
      return true;
    }
    std::string& errors;
  };

  llvm::LLVMContext& context_;
  std::unique_ptr<llvm::DiagnosticHandler> before_;
  std::string errors_;
};

// AddressSanitizer makes a branch of every lane that a masked access may touch. Of unrolled loops that makes
// tens of thousands of blocks, for which LLVM's analyses take many minutes.
bool too_many_blocks(const llvm::Module& module) {
  constexpr std::size_t most = 3000;
  for (const llvm::Function& function : module)
    if (function.hasFnAttribute(llvm::Attribute::SanitizeAddress) && function.size() > most) return true;
  return false;
}

/// LLVM knows the architectures that it was told of. Both at once would cost each start of a program some
/// milliseconds.
void initialise_target(const Target& target) {
  if (llvm::Triple(target.triple).isAArch64()) {
    [[maybe_unused]] static const bool once = [] {
      LLVMInitializeAArch64TargetInfo();
      LLVMInitializeAArch64Target();
      LLVMInitializeAArch64TargetMC();
      LLVMInitializeAArch64AsmPrinter();
      return true;
    }();
  } else {
    [[maybe_unused]] static const bool once = [] {
      LLVMInitializeX86TargetInfo();
      LLVMInitializeX86Target();
      LLVMInitializeX86TargetMC();
      LLVMInitializeX86AsmPrinter();
      return true;
    }();
  }
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target) {
  initialise_target(target);
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(target.triple, error);
  if (found == nullptr) throw InternalError(fmt::format("LLVM has no target {}: {}", target.triple, error));
  llvm::TargetOptions options;
  // A product and a sum are fused only where the loop form says fma.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(target.triple, target.cpu, target.features, options, llvm::Reloc::PIC_,
                                 llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default, /*JIT=*/true));
}

}  // namespace

std::string text_of(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

/// The passes of LLVM's code generator, and where they write.
class ObjectMaker::Generator {
 public:
  Generator(llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
    if (machine.addPassesToEmitFile(passes_, stream_, nullptr, type)) {
      throw InternalError(fmt::format("LLVM can't write code for {}", machine.getTargetTriple().str()));
    }
  }
  std::string operator()(llvm::Module& module) {
    bytes_.clear();
    const Diagnostics diagnostics(module.getContext());
    passes_.run(module);
    if (!diagnostics.errors().empty())
      throw InternalError(fmt::format("LLVM refuses code: {}{}", diagnostics.errors(), text_of(module)));
    return {bytes_.begin(), bytes_.end()};
  }

 private:
  llvm::SmallVector<char, 0> bytes_;
  llvm::raw_svector_ostream stream_{bytes_};
  llvm::legacy::PassManager passes_;
};

ObjectMaker::ObjectMaker(const Target& target) : machine_(make_machine(target)) {}
ObjectMaker::~ObjectMaker() = default;

void ObjectMaker::optimize(llvm::Module& module, bool instrument) {
  module.setTargetTriple(machine_->getTargetTriple().str());
  module.setDataLayout(machine_->createDataLayout());
  std::string error;
  llvm::raw_string_ostream stream(error);
  if (llvm::verifyModule(module, &stream)) {
    throw InternalError(fmt::format("broken LLVM IR: {}\n{}", stream.str(), text_of(module)));
  }

  llvm::PassBuilder builder(machine_.get());
  llvm::LoopAnalysisManager loop_analyses;
  llvm::FunctionAnalysisManager function_analyses;
  llvm::CGSCCAnalysisManager call_graph_analyses;
  llvm::ModuleAnalysisManager module_analyses;
  builder.registerModuleAnalyses(module_analyses);
  builder.registerCGSCCAnalyses(call_graph_analyses);
  builder.registerFunctionAnalyses(function_analyses);
  builder.registerLoopAnalyses(loop_analyses);
  builder.crossRegisterProxies(loop_analyses, function_analyses, call_graph_analyses, module_analyses);

  // No InstCombine: it fits constants to the tails' masks lane by lane (0 -> {0, 0, poison, ...}), after
  // which the code generator no longer knows them as splats.
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(
      llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
  passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));

  llvm::ModulePassManager pipeline;
  pipeline.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
  if (instrument) {
    for (llvm::Function& function : module) {
      if (!function.isDeclaration()) function.addFnAttr(llvm::Attribute::SanitizeAddress);
    }
    pipeline.addPass(llvm::AddressSanitizerPass(llvm::AddressSanitizerOptions(), /*UseGlobalGC=*/false,
                                                /*UseOdrIndicator=*/false, llvm::AsanDtorKind::None));
  }
  pipeline.run(module, module_analyses);
}

std::string ObjectMaker::make_object(llvm::Module& module) {
  if (too_many_blocks(module)) {
    const llvm::CodeGenOptLevel level = machine_->getOptLevel();
    machine_->setOptLevel(llvm::CodeGenOptLevel::None);
    std::string object = Generator(*machine_, llvm::CodeGenFileType::ObjectFile)(module);
    machine_->setOptLevel(level);
    return object;
  }
  if (objects_ == nullptr)
    objects_ = std::make_unique<Generator>(*machine_, llvm::CodeGenFileType::ObjectFile);
  return (*objects_)(module);
}

std::string ObjectMaker::make_assembly(const llvm::Module& module) {
  // Code generation changes the module.
  const std::unique_ptr<llvm::Module> copy = llvm::CloneModule(module);
  return Generator(*machine_, llvm::CodeGenFileType::AssemblyFile)(*copy);
}

}  // namespace kiln::codegen
