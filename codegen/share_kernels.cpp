#include "codegen/share_kernels.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/ADT/SetVector.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Metadata.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

namespace kiln::codegen {
namespace {

/// An operand: of which instruction of a function, and which of it.
using Site = std::pair<std::size_t, unsigned>;
using Instructions = std::vector<llvm::Instruction*>;

Instructions instructions_of(llvm::Function& function) {
  Instructions result;
  for (llvm::Instruction& i : llvm::instructions(function)) result.push_back(&i);
  return result;
}

/// The innermost loop that changes the value: it will be computed there, wherever it stands now. Null: none.
const llvm::Loop* changed_in(const llvm::Instruction& value, const llvm::LoopInfo& loops) {
  const llvm::Loop* innermost = nullptr;
  llvm::SmallSetVector<const llvm::Instruction*, 16> computed;  // that it is made of
  computed.insert(&value);
  for (std::size_t at = 0; at < computed.size(); ++at) {
    const llvm::Instruction& i = *computed[at];
    if (!llvm::isa<llvm::PHINode>(i) && !i.mayReadFromMemory()) {
      for (const llvm::Value* operand : i.operands())
        if (const auto* part = llvm::dyn_cast<llvm::Instruction>(operand)) computed.insert(part);
      continue;
    }
    const llvm::Loop* loop = loops.getLoopFor(i.getParent());
    if (loop != nullptr && (innermost == nullptr || loop->getLoopDepth() > innermost->getLoopDepth()))
      innermost = loop;
  }
  return innermost;
}
/// Is it computed outside the loops that take the time?
bool is_seldom(const llvm::Instruction& i, const llvm::LoopInfo& loops) {
  const llvm::Loop* loop = changed_in(i, loops);
  return loop == nullptr || (loop->getLoopDepth() == 1 && !loop->isInnermost());
}

bool is_number(const llvm::Value* v) {
  return llvm::isa<llvm::ConstantInt, llvm::ConstantFP>(v) && !v->getType()->isVectorTy() &&
         !v->getType()->isIntegerTy(1);
}

/// Can a number be an argument instead?
bool can_be_argument(const llvm::Instruction& i, unsigned operand) {
  if (!is_number(i.getOperand(operand))) return false;
  switch (i.getOpcode()) {
    case llvm::Instruction::Switch:
    case llvm::Instruction::Alloca:
    case llvm::Instruction::ExtractElement:
    case llvm::Instruction::InsertElement:
      return false;
    case llvm::Instruction::GetElementPtr:
      return !llvm::cast<llvm::GetElementPtrInst>(i).getSourceElementType()->isAggregateType();
    case llvm::Instruction::Call:
      return !llvm::cast<llvm::CallInst>(i).paramHasAttr(operand, llvm::Attribute::ImmArg);
    default:
      return true;
  }
}

/// Is LLVM told the same of what the accesses, to the same argument's memory, may overlap? It is all others'
/// but those marked as may_alias, so their number says it.
bool same_marks(const llvm::Instruction& a, const llvm::Instruction& b) {
  for (const unsigned kind : {llvm::LLVMContext::MD_alias_scope, llvm::LLVMContext::MD_noalias}) {
    const llvm::MDNode *of_a = a.getMetadata(kind), *of_b = b.getMetadata(kind);
    if ((of_a == nullptr) != (of_b == nullptr)) return false;
    if (of_a != nullptr && of_a->getNumOperands() != of_b->getNumOperands()) return false;
  }
  return true;
}

/// Where the second function has other constants than the first, if it differs in nothing else.
std::optional<std::vector<Site>> differences(llvm::Function& first, llvm::Function& second) {
  if (first.getFunctionType() != second.getFunctionType() ||
      first.getAttributes() != second.getAttributes() || first.size() != second.size())
    return std::nullopt;
  llvm::DenseMap<const llvm::Value*, const llvm::Value*> counterpart;
  for (auto [a, b] : llvm::zip_equal(first.args(), second.args())) counterpart[&a] = &b;
  for (auto [a, b] : llvm::zip_equal(first, second)) {
    if (a.size() != b.size()) return std::nullopt;
    counterpart[&a] = &b;
    for (auto [i, j] : llvm::zip_equal(a, b)) counterpart[&i] = &j;
  }
  const auto same = [&](const llvm::Value* a, const llvm::Value* b) {
    const auto found = counterpart.find(a);
    return (found == counterpart.end() ? a : found->second) == b;
  };
  const Instructions of_first = instructions_of(first), of_second = instructions_of(second);
  std::vector<Site> sites;
  for (std::size_t at = 0; at < of_first.size(); ++at) {
    const llvm::Instruction &a = *of_first[at], &b = *of_second[at];
    if (!a.isSameOperationAs(&b) || !a.hasSameSubclassOptionalData(&b) || !same_marks(a, b))
      return std::nullopt;
    if (const auto* phi = llvm::dyn_cast<llvm::PHINode>(&a))
      for (unsigned i = 0; i < phi->getNumIncomingValues(); ++i)
        if (!same(phi->getIncomingBlock(i), llvm::cast<llvm::PHINode>(b).getIncomingBlock(i)))
          return std::nullopt;
    for (unsigned i = 0; i < a.getNumOperands(); ++i) {
      if (same(a.getOperand(i), b.getOperand(i))) continue;
      if (!can_be_argument(a, i) || !is_number(b.getOperand(i))) return std::nullopt;
      sites.emplace_back(at, i);
    }
  }
  // A division by a constant is a product or a shift, which is quicker.
  const llvm::LoopInfo loops{llvm::DominatorTree(first)};
  for (const auto& [at, operand] : sites)
    if (of_first[at]->isIntDivRem() && !is_seldom(*of_first[at], loops)) return std::nullopt;
  return sites;
}

/// What each kernel of a family has at one place.
using Constants = std::vector<llvm::Constant*>;

/// factor * argument + offset
struct Affine {
  std::size_t argument = 0;
  std::int64_t factor = 1, offset = 0;
};

std::int64_t value_of(const llvm::Constant* c) {
  return llvm::cast<llvm::ConstantInt>(c)->getSExtValue();
}
/// Numbers below can be counted with, without fear of overflow.
constexpr std::int64_t limit = 1 << 30;

bool is_countable(const Constants& constants) {
  return std::all_of(constants.begin(), constants.end(), [](const llvm::Constant* c) {
    return llvm::isa<llvm::ConstantInt>(c) && -limit < value_of(c) && value_of(c) < limit;
  });
}
/// The largest less the smallest. Arguments are chosen by it, for others are whole multiples of the least.
std::int64_t spread(const Constants& c) {
  if (!is_countable(c)) return 0;
  const auto [least, most] = std::minmax_element(
      c.begin(), c.end(), [](const auto* a, const auto* b) { return value_of(a) < value_of(b); });
  return value_of(*most) - value_of(*least);
}

/// `constants` in terms of other ones, if they have the same in every kernel.
std::optional<Affine> in_terms_of(const Constants& argument, const Constants& constants) {
  if (argument.front()->getType() != constants.front()->getType() || !is_countable(argument) ||
      !is_countable(constants))
    return std::nullopt;
  const std::int64_t x0 = value_of(argument[0]), y0 = value_of(constants[0]);
  for (std::size_t i = 1; i < argument.size(); ++i) {
    const std::int64_t dx = value_of(argument[i]) - x0, dy = value_of(constants[i]) - y0;
    if (dx == 0) continue;
    if (dy % dx != 0) return std::nullopt;
    const Affine result{.factor = dy / dx, .offset = y0 - dy / dx * x0};
    if (std::abs(result.factor) >= limit || std::abs(result.offset) >= limit) return std::nullopt;
    for (std::size_t j = 0; j < argument.size(); ++j)
      if (value_of(constants[j]) != result.factor * value_of(argument[j]) + result.offset)
        return std::nullopt;
    return result;
  }
  return std::nullopt;
}

/// Kernels with one form, and the operands in which they differ.
class Family {
 public:
  explicit Family(llvm::Function* first) : members_{first} {}
  llvm::Function& first() const { return *members_.front(); }
  void add(llvm::Function* kernel, const std::vector<Site>& differing) {
    members_.push_back(kernel);
    for (const Site& site : differing) sites_[site];
  }

  void share() {
    if (members_.size() == 1) return;
    choose_arguments();
    if (pays()) merge();
  }

 private:
  void choose_arguments() {
    std::map<Constants, Affine> seen;
    std::vector<Constants> in_order;  // of the code: a map of addresses has another order in each run
    std::map<Site, Constants> at;
    for (llvm::Function* member : members_) {
      const Instructions instructions = instructions_of(*member);
      for (const auto& [site, affine] : sites_)
        at[site].push_back(llvm::cast<llvm::Constant>(instructions[site.first]->getOperand(site.second)));
    }
    for (const auto& [site, constants] : at)
      if (seen.try_emplace(constants).second) in_order.push_back(constants);
    std::stable_sort(in_order.begin(), in_order.end(),
                     [](const Constants& a, const Constants& b) { return spread(a) < spread(b); });
    for (const Constants& constants : in_order) {
      std::optional<Affine> found;
      for (std::size_t i = 0; i < arguments_.size() && !found; ++i) {
        found = in_terms_of(arguments_[i], constants);
        if (found) found->argument = i;
      }
      if (!found) {
        found = Affine{.argument = arguments_.size()};
        arguments_.push_back(constants);
      }
      seen[constants] = *found;
    }
    derived_ = in_order.size() - arguments_.size();
    for (auto& [site, affine] : sites_) affine = seen.at(at.at(site));
  }

  /// In bytes, as a Cortex-M4 has it: an instruction of our IR, with its registers still in memory, makes
  /// some two; an argument takes two instructions at each call and in the kernel as many, and what is made
  /// of it one or two.
  bool pays() const {
    constexpr std::size_t of_instruction = 2, of_argument = 6, of_derived = 4;
    std::size_t calls = 0;
    for (const llvm::Function* member : members_) calls += member->getNumUses();
    return (members_.size() - 1) * first().getInstructionCount() * of_instruction >
           (calls + 1) * arguments_.size() * of_argument + derived_ * of_derived;
  }

  void merge() {
    llvm::Function& model = first();
    const Instructions instructions = instructions_of(model);
    std::vector<llvm::Type*> types = model.getFunctionType()->params().vec();
    for (const Constants& a : arguments_) types.push_back(a.front()->getType());
    auto* shared = llvm::Function::Create(llvm::FunctionType::get(model.getReturnType(), types, false),
                                          model.getLinkage(), "", model.getParent());
    shared->copyAttributesFrom(&model);
    shared->splice(shared->begin(), &model);
    const auto own = static_cast<unsigned>(model.arg_size());
    for (unsigned i = 0; i < own; ++i) model.getArg(i)->replaceAllUsesWith(shared->getArg(i));
    for (const auto& [site, affine] : sites_)
      put(*instructions[site.first], site.second,
          *shared->getArg(own + static_cast<unsigned>(affine.argument)), affine);
    shared->takeName(&model);
    for (std::size_t m = 0; m < members_.size(); ++m) {
      while (!members_[m]->use_empty()) {
        auto* call = llvm::cast<llvm::CallInst>(members_[m]->user_back());
        std::vector<llvm::Value*> values(call->arg_begin(), call->arg_end());
        for (const Constants& a : arguments_) values.push_back(a[m]);
        llvm::CallInst::Create(shared, values, "", call->getIterator());
        call->eraseFromParent();
      }
      members_[m]->eraseFromParent();
    }
  }

  /// Makes an operand of the argument. A sum has the multiple added before the offset: addresses that differ
  /// in their offsets then share the rest, and have the offsets in their instructions.
  static void put(llvm::Instruction& i, unsigned operand, llvm::Argument& argument, const Affine& affine) {
    auto* phi = llvm::dyn_cast<llvm::PHINode>(&i);
    llvm::IRBuilder<> b(phi == nullptr ? &i : phi->getIncomingBlock(operand)->getTerminator());
    const auto number = [&](std::int64_t n) { return llvm::ConstantInt::getSigned(argument.getType(), n); };
    llvm::Value* value = &argument;
    if (affine.factor != 1) value = b.CreateMul(value, number(affine.factor));
    if (affine.offset != 0 && i.getOpcode() == llvm::Instruction::Add) {
      i.setOperand(1 - operand, b.CreateAdd(i.getOperand(1 - operand), value));
      value = number(affine.offset);
      i.dropPoisonGeneratingFlags();
    } else if (affine.offset != 0) {
      value = b.CreateAdd(value, number(affine.offset));
    }
    i.setOperand(operand, value);
  }

  std::vector<llvm::Function*> members_;
  std::map<Site, Affine> sites_;
  std::vector<Constants> arguments_;
  std::size_t derived_ = 0;  ///< distinct constants that are made of arguments
};

}  // namespace

void share_kernels(std::span<llvm::Function* const> kernels) {
  std::vector<Family> families;
  for (llvm::Function* kernel : kernels) {
    bool found = false;
    for (Family& family : families) {
      const std::optional<std::vector<Site>> differing = differences(family.first(), *kernel);
      if (!differing) continue;
      family.add(kernel, *differing);
      found = true;
      break;
    }
    if (!found) families.emplace_back(kernel);
  }
  for (Family& family : families) family.share();
}

}  // namespace kiln::codegen
