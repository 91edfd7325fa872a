#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "codegen/emit.h"

namespace kiln::codegen {

/// Writes one kernel's function, statement by statement. A value that is the same in all lanes stays a scalar
/// as long as it can (it is splat where it meets a vector); so do the uniform parts of addresses.
///
/// Registers are allocas of the entry block, one for each element of the array, which LLVM turns into SSA.
class KernelEmitter {
 public:
  KernelEmitter(const Kernel& kernel, const Target& target, llvm::Module& module);
  llvm::Function* emit(const std::string& symbol, KernelAbi abi);

 private:
  /// A value, and whether it is a vector with a lane per iteration.
  struct Lanes {
    llvm::Value* value = nullptr;
    bool varies = false;
  };
  /// uniform + stride * lane + lanes[lane]: the uniform part in `index_type_`, `lanes` (null: 0) in
  /// `lane_type`.
  struct Address {
    llvm::Value* uniform = nullptr;
    std::int64_t stride = 0;
    llvm::Value* lanes = nullptr;
    bool varies() const { return stride != 0 || lanes != nullptr; }
  };
  /// The vector loop being written. With one lane everything is scalar and nothing varies.
  struct VectorLoop {
    Var variable;
    int lanes = 1;
    llvm::Value* base = nullptr;        ///< the variable's value in lane 0
    llvm::Value* mask = nullptr;        ///< lanes of the tail that exist; null: all
    llvm::Value* store_mask = nullptr;  ///< the same, unless a test plants a fault that must not harm memory
  };

  // ---- emit.cpp: statements ----
  void begin(const std::string& symbol, KernelAbi abi);
  void block(const Block& statements);
  void statement(const Stmt& s);
  void loop(const Stmt& s);
  void unrolled_loop(const Stmt& s);
  void parallel_loop(const Stmt& s);
  void vector_loop(const Stmt& s);
  void vector_chunk(const Stmt& s, llvm::Value* base, std::int64_t lanes_in_use);
  /// for (i = begin; i < end; i += step) body(i); runs at least once.
  template <class Body>
  void counted_loop(const std::string& name, llvm::Value* begin, llvm::Value* end, std::int64_t step,
                    Body body);
  template <class Then, class Else>
  void branch(llvm::Value* condition, Then then, Else otherwise);
  void write(const Stmt& s);
  void turn(const Stmt& s);
  llvm::AllocaInst* element(const Reg& reg, const std::vector<Index>& subscripts);
  /// Element number `position` of `count`.
  llvm::AllocaInst* element(const Reg& reg, std::int64_t position, std::int64_t count);

  // ---- emit_value.cpp: values and indices ----
  Lanes expr(const Expr& e);
  Lanes apply(const ExprNode& e);
  Lanes fold(const ExprNode& e);
  Lanes less(const ExprNode& e);
  /// A branch's condition, a register's value: must not differ between lanes.
  llvm::Value* uniform(const Expr& e, const char* what);
  llvm::Value* splat(const Lanes& x);
  Address address(const Index& index, llvm::Type* lane_type);
  Address address(const Index& index) { return address(index, lane_type(index)); }
  /// All lanes of an address as one vector of `lane_type`.
  llvm::Value* spread(const Address& a, llvm::Type* lane_type);
  /// i32 where every part of the index fits, else `index_type_`.
  llvm::Type* lane_type(const Index& index);
  llvm::ConstantInt* number(std::int64_t n) const {
    return llvm::ConstantInt::get(index_type_, static_cast<std::uint64_t>(n), true);
  }
  int lanes() const { return vector_ ? vector_->lanes : 1; }

  // ---- emit_memory.cpp: loads and stores ----
  Lanes load(const ExprNode& e);
  llvm::Value* load_uniform(const ExprNode& e, const Address& a, const Lanes* predicate);
  llvm::Value* load_vector(const ExprNode& e, const Address& a, llvm::Value* mask);
  llvm::Value* load_of_pair(const ExprNode& e);
  void store(const Stmt& s);
  void prefetch(const Stmt& s);
  void store_vector(const Stmt& s, const Address& a, llvm::Value* value, llvm::Value* mask);
  /// A tail as narrower accesses, for targets without masked ones: `count` elements from `first` on of a
  /// vector at `pointer`. Lanes that aren't read are zero.
  llvm::Value* load_part(int buffer, llvm::Value* pointer, int first, int count);
  /// A load under a mask that is mostly true: where it is, the whole vector is read at once. For targets
  /// without masked loads, whose lanes are read one by one, each behind a branch.
  llvm::Value* load_all_or_some(int buffer, llvm::Value* pointer, llvm::Value* mask);
  void store_part(int buffer, DType dtype, llvm::Value* pointer, llvm::Value* value, int count);
  /// Lanes that take part: those of `mask` (the tail's) where the predicate holds; null: all.
  llvm::Value* lane_mask(llvm::Value* mask, const Lanes* predicate);
  llvm::Value* element_pointer(int buffer, llvm::Value* index);
  llvm::Value* lane_pointers(int buffer, const Index& index, const Address& a);
  const BufferParam& parameter(int buffer) const { return kernel_.buffers[static_cast<std::size_t>(buffer)]; }
  /// A buffer's elements as they lie in memory; what `from_memory` makes of them is a value.
  llvm::Type* stored_type(int buffer, int lanes = 1) const;
  llvm::Align alignment(int buffer) const;
  bool masks_loads(int buffer) const;
  llvm::Value* from_memory(llvm::Value* loaded, int buffer);
  llvm::Value* to_memory(llvm::Value* value, DType dtype);
  /// Tells LLVM that different buffers don't overlap.
  template <class Instruction>
  Instruction* mark(Instruction* access, int buffer);
  void make_alias_scopes();
  llvm::Value* zero_cell();

  [[noreturn]] void fail(const std::string& reason) const;

  const Kernel& kernel_;
  const Target& target_;
  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  llvm::IntegerType* index_type_;  ///< as wide as an address
  llvm::Function* function_ = nullptr;
  llvm::Value *thread_ = nullptr, *threads_ = nullptr;
  llvm::BasicBlock* entry_ = nullptr;
  bool constants_apart_ = false;  ///< of addresses: see element_pointer
  std::vector<llvm::Value*> buffers_;
  std::vector<llvm::MDNode*> own_scope_, other_scopes_;
  std::unordered_map<const Variable*, llvm::Value*> variables_;
  std::unordered_map<int, Lanes> temporaries_;
  std::unordered_map<const Register*, std::vector<llvm::AllocaInst*>> registers_;
  std::optional<VectorLoop> vector_;
};

template <class Then, class Else>
void KernelEmitter::branch(llvm::Value* condition, Then then, Else otherwise) {
  auto* yes = llvm::BasicBlock::Create(context_, "then", function_);
  auto* no = llvm::BasicBlock::Create(context_, "else", function_);
  auto* join = llvm::BasicBlock::Create(context_, "join", function_);
  b_.CreateCondBr(condition, yes, no);
  b_.SetInsertPoint(yes);
  then();
  b_.CreateBr(join);
  b_.SetInsertPoint(no);
  otherwise();
  b_.CreateBr(join);
  b_.SetInsertPoint(join);
}

}  // namespace kiln::codegen
