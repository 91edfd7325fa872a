#include "codegen/object.h"

#include <fmt/format.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/PassInfo.h>
#include <llvm/PassRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/Instrumentation/AddressSanitizer.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include <set>

#include "codegen/llvm_target.h"
#include "kiln/runtime/error.h"

namespace kiln::codegen {
namespace {

/// Collects the errors that LLVM reports while this lives, and the sizes of stack frames. Without it LLVM
/// prints the first error and ends the process.
class Diagnostics {
 public:
  Diagnostics(llvm::LLVMContext& context, std::map<std::string, std::int64_t>& frame_bytes)
      : context_(context), before_(context.getDiagnosticHandler()) {
    context.setDiagnosticHandler(std::make_unique<Handler>(errors_, frame_bytes));
  }
  ~Diagnostics() { context_.setDiagnosticHandler(std::move(before_)); }
  Diagnostics(const Diagnostics&) = delete;
  Diagnostics& operator=(const Diagnostics&) = delete;

  const std::string& errors() const { return errors_; }

 private:
  struct Handler : llvm::DiagnosticHandler {
    Handler(std::string& errors, std::map<std::string, std::int64_t>& frame_bytes)
        : errors(errors), frame_bytes(frame_bytes) {}
    bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
      if (const auto* frame = llvm::dyn_cast<llvm::DiagnosticInfoStackSize>(&info))
        frame_bytes[frame->getFunction().getName().str()] = static_cast<std::int64_t>(frame->getStackSize());
      if (info.getSeverity() != llvm::DS_Error) return true;  // warnings and remarks are for compiler writers
      llvm::raw_string_ostream stream(errors);
      llvm::DiagnosticPrinterRawOStream printer(stream);
      info.print(printer);
      stream << '\n';
      return true;
    }
    std::string& errors;
    std::map<std::string, std::int64_t>& frame_bytes;
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

/// The calling convention's name, where there are several: RISC-V passes floats in registers as wide as it
/// has.
std::string abi_name(const Target& target) {
  const llvm::Triple triple(target.triple);
  if (!triple.isRISCV()) return "";
  return fmt::format("{}{}", triple.isArch64Bit() ? "lp64" : "ilp32", target.has_double ? "d" : "f");
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target, LinkedInto place) {
  llvm::TargetOptions options;
  // A product and a sum are fused only where the loop form says fma.
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.MCOptions.ABIName = abi_name(target);
  const bool jit = place == LinkedInto::process;
  // A linker can leave out what a program doesn't use.
  options.FunctionSections = options.DataSections = !jit;
  const llvm::Triple triple(target.triple);
  // RISC-V's small model reaches the first two GiB only.
  const auto model = triple.isRISCV() ? llvm::CodeModel::Medium : llvm::CodeModel::Small;
  const bool is_bare = triple.getOS() == llvm::Triple::UnknownOS;
  const auto relocations = is_bare && !jit ? llvm::Reloc::Static : llvm::Reloc::PIC_;
  return std::unique_ptr<llvm::TargetMachine>(
      llvm_target(target.triple)
          .createTargetMachine(target.triple, target.cpu, target.features, options, relocations, model,
                               llvm::CodeGenOptLevel::Default, jit));
}

}  // namespace

std::string text_of(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

namespace {

/// Passes of LLVM's code generator, by their arguments, that don't pay for kernels of a running program. On
/// x86-64 they took a third of its time, and one kernel of the bench got slower without (a Winograd
/// convolution, by 2 to 4 %): addresses have the form that instructions take, the CPU orders instructions
/// itself, masks need no other registers. Two of them do pay elsewhere. Tiles for sixteen vector registers
/// spill without the machine scheduler. And small kernels, softmax or exp, are 2 % faster in the order of the
/// scheduler after register allocation, whose time grows faster than the kernel.
std::vector<llvm::StringRef> passes_left_out(const Target& target, LinkedInto place, bool large) {
  if (place == LinkedInto::program || !llvm::Triple(target.triple).isX86()) return {};
  std::vector<llvm::StringRef> passes = {"canon-freeze", "loop-reduce", "x86-domain-reassignment"};
  if (target.vector_registers >= 32) passes.push_back("machine-scheduler");
  if (large) passes.push_back("post-RA-sched");
  return passes;
}

/// Larger than the kernels that the last scheduler does something for: of these softmax has the most, 410.
bool is_large(const llvm::Module& module) {
  return module.getInstructionCount() > 450;
}

/// A pass manager that takes all passes but some.
class PassesBut : public llvm::legacy::PassManager {
 public:
  explicit PassesBut(std::vector<llvm::StringRef> left_out) : left_out_(std::move(left_out)) {}

  void add(llvm::Pass* pass) override {
    const llvm::PassInfo* info = llvm::PassRegistry::getPassRegistry()->getPassInfo(pass->getPassID());
    if (info == nullptr || !llvm::is_contained(left_out_, info->getPassArgument()))
      return llvm::legacy::PassManager::add(pass);
    met_.insert(info->getPassArgument());
    delete pass;  // this owns what it is given
  }

  /// Passes that were to be left out, but that nobody added: another LLVM may have other names for them.
  std::vector<llvm::StringRef> never_met() const {
    std::vector<llvm::StringRef> names;
    for (const llvm::StringRef name : left_out_)
      if (met_.count(name) == 0) names.push_back(name);
    return names;
  }

 private:
  std::vector<llvm::StringRef> left_out_;
  std::set<llvm::StringRef> met_;
};

}  // namespace

/// The passes over IR, and what they find out.
class ObjectMaker::Optimizer {
 public:
  Optimizer(llvm::TargetMachine& machine, LinkedInto place) {
    llvm::PassBuilder builder(&machine);
    builder.registerModuleAnalyses(module_analyses_);
    builder.registerCGSCCAnalyses(call_graph_analyses_);
    builder.registerFunctionAnalyses(function_analyses_);
    builder.registerLoopAnalyses(loop_analyses_);
    builder.crossRegisterProxies(loop_analyses_, function_analyses_, call_graph_analyses_, module_analyses_);

    // No InstCombine: it fits constants to the tails' masks lane by lane (0 -> {0, 0, poison, ...}), after
    // which the code generator no longer knows them as splats.
    llvm::FunctionPassManager passes;
    passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
    passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
    passes.addPass(llvm::SimplifyCFGPass());
    passes.addPass(
        llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
    // What the invariants of several loops have in common. For a running program it isn't worth the time.
    if (place == LinkedInto::program) passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
    tidying_.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
    instrumenting_.addPass(llvm::AddressSanitizerPass(llvm::AddressSanitizerOptions(), /*UseGlobalGC=*/false,
                                                      /*UseOdrIndicator=*/false, llvm::AsanDtorKind::None));
  }

  void operator()(llvm::Module& module, bool instrument) {
    run(tidying_, module);
    if (!instrument) return;
    for (llvm::Function& function : module) {
      if (!function.isDeclaration()) function.addFnAttr(llvm::Attribute::SanitizeAddress);
    }
    run(instrumenting_, module);
  }

 private:
  void run(llvm::ModulePassManager& passes, llvm::Module& module) {
    passes.run(module, module_analyses_);
    module_analyses_.clear();  // and with it what was found out about functions and loops
  }

  llvm::LoopAnalysisManager loop_analyses_;
  llvm::FunctionAnalysisManager function_analyses_;
  llvm::CGSCCAnalysisManager call_graph_analyses_;
  llvm::ModuleAnalysisManager module_analyses_;
  llvm::ModulePassManager tidying_, instrumenting_;
};

/// The passes of LLVM's code generator, and where they write.
class ObjectMaker::Generator {
 public:
  Generator(llvm::TargetMachine& machine, std::vector<llvm::StringRef> left_out, llvm::CodeGenFileType type)
      : passes_(std::move(left_out)) {
    if (machine.addPassesToEmitFile(passes_, stream_, nullptr, type)) {
      throw InternalError(fmt::format("LLVM can't write code for {}", machine.getTargetTriple().str()));
    }
    if (const auto names = passes_.never_met(); !names.empty())
      throw InternalError(fmt::format("LLVM's code generator has no pass {}", names[0].str()));
  }
  std::string operator()(llvm::Module& module, std::map<std::string, std::int64_t>& frame_bytes) {
    bytes_.clear();
    frame_bytes.clear();
    const Diagnostics diagnostics(module.getContext(), frame_bytes);
    passes_.run(module);
    if (!diagnostics.errors().empty())
      throw InternalError(fmt::format("LLVM refuses code: {}{}", diagnostics.errors(), text_of(module)));
    return {bytes_.begin(), bytes_.end()};
  }

 private:
  llvm::SmallVector<char, 0> bytes_;
  llvm::raw_svector_ostream stream_{bytes_};
  PassesBut passes_;
};

ObjectMaker::ObjectMaker(const Target& target, LinkedInto place)
    : place_(place),
      machine_(make_machine(target, place)),
      passes_left_out_{passes_left_out(target, place, false), passes_left_out(target, place, true)} {}
ObjectMaker::~ObjectMaker() = default;

void ObjectMaker::optimize(llvm::Module& module, bool instrument) {
  module.setTargetTriple(machine_->getTargetTriple().str());
  module.setDataLayout(machine_->createDataLayout());
  if (const std::string abi = machine_->Options.MCOptions.getABIName().str();
      !abi.empty() && module.getModuleFlag("target-abi") == nullptr)
    module.addModuleFlag(llvm::Module::Error, "target-abi", llvm::MDString::get(context_, abi));
  std::string error;
  llvm::raw_string_ostream stream(error);
  if (llvm::verifyModule(module, &stream)) {
    throw InternalError(fmt::format("broken LLVM IR: {}\n{}", stream.str(), text_of(module)));
  }

  if (optimizer_ == nullptr) optimizer_ = std::make_unique<Optimizer>(*machine_, place_);
  (*optimizer_)(module, instrument);
}

std::string ObjectMaker::make_object(llvm::Module& module) {
  if (too_many_blocks(module)) {
    const llvm::CodeGenOptLevel level = machine_->getOptLevel();
    machine_->setOptLevel(llvm::CodeGenOptLevel::None);
    std::string object = Generator(*machine_, {}, llvm::CodeGenFileType::ObjectFile)(module, frame_bytes_);
    machine_->setOptLevel(level);
    return object;
  }
  const bool large = is_large(module);
  std::unique_ptr<Generator>& objects = objects_[large];
  if (objects == nullptr)
    objects =
        std::make_unique<Generator>(*machine_, passes_left_out_[large], llvm::CodeGenFileType::ObjectFile);
  return (*objects)(module, frame_bytes_);
}

std::string ObjectMaker::make_assembly(const llvm::Module& module) {
  // Code generation changes the module.
  const std::unique_ptr<llvm::Module> copy = llvm::CloneModule(module);
  const std::vector<llvm::StringRef>& left_out = passes_left_out_[is_large(module)];
  return Generator(*machine_, left_out, llvm::CodeGenFileType::AssemblyFile)(*copy, frame_bytes_);
}

namespace {

template <class T>
T read(llvm::Expected<T> result) {
  if (!result) throw InternalError(fmt::format("reading an object: {}", llvm::toString(result.takeError())));
  return std::move(*result);
}

}  // namespace

ObjectFacts object_facts(const std::string& object) {
  ObjectFacts facts;
  const auto file = read(llvm::object::ObjectFile::createObjectFile({object, "object"}));
  for (const llvm::object::SymbolRef& symbol : file->symbols()) {
    if ((read(symbol.getFlags()) & llvm::object::SymbolRef::SF_Undefined) == 0) continue;
    const std::string name = read(symbol.getName()).str();
    if (!name.empty()) facts.undefined_symbols.push_back(name);
  }
  for (const llvm::object::SectionRef& section : file->sections()) {
    const auto bytes = static_cast<std::int64_t>(section.getSize());
    if (section.isText()) facts.text_bytes += bytes;
  }
  return facts;
}

}  // namespace kiln::codegen
