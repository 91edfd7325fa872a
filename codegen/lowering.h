#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "codegen/lower.h"

/// The workbench on which a group becomes a kernel: it builds the loop form from the outside in, and knows
/// how to get one element of any fused value. The files of codegen/ops/ are written with it.
namespace kiln::codegen {

using graph::Group;
using graph::Ints;
using graph::Node;
using graph::Op;
using graph::Value;

/// One index an axis.
using Indices = std::vector<Index>;

/// Row-major position of an element in an array of this shape.
Index row_major(const Indices& index, std::span<const std::int64_t> shape);
/// Position in the array at `location` of an element of a value that lies there, all of it or a part.
Index position_at(const graph::Location& location, const Indices& index, std::span<const std::int64_t> shape);
/// The inverse: the indices of element number `position` (zeros where the shape has no elements).
Indices unflatten(const Index& position, std::span<const std::int64_t> shape);
std::int64_t product(std::span<const std::int64_t> extents);

class Lowering {
 public:
  Lowering(const graph::ScheduledGroup& scheduled, const Target& target, int check_index = -1, int way = 0);

  const Group& group() const { return scheduled_->group; }
  const Node& root() const { return *scheduled_->group.root; }
  const Target& target() const { return *target_; }
  /// The number of this group's check in the program.
  int check_index() const { return check_index_; }

  /// The way in which this kernel is to be built, of `count` there are, the best by the cost model first.
  /// None may change the order of a sum.
  int choose_way(int count) {
    ways_ = count;
    return way_ < count ? way_ : 0;
  }

  /// Lanes of this kernel's vector loops: what fits a vector of the type that most of the work is done in.
  int lanes() const { return lanes_; }
  void set_lanes(DType dtype) { lanes_ = target_->lanes(dtype); }
  void set_lanes(int lanes) { lanes_ = lanes; }
  /// For vector loops of `extent` iterations at most: vectors that aren't wider than that. A narrow vector
  /// costs no more than a wide one with most lanes masked, on many CPUs half.
  void narrow_lanes(std::int64_t extent);

  // ---- elements -------------------------------------------------------------------------------------------

  /// The element of `v` at `index`: what a register or temporary holds if the value is bound, a load if it is
  /// an array in memory, else its op's element rule, applied to its operands' elements. A value that is used
  /// more than once becomes a temporary of the current block. Where `predicate` is false nothing may be read,
  /// since the index can be out of range; the element is then meaningless.
  Expr at(Value v, const Indices& index, const Expr& predicate = nullptr);
  /// The element of a node's operand: as above, but from memory if the op needs its operand as an array.
  Expr operand(const Node& node, int i, const Indices& index, const Expr& predicate = nullptr);
  /// The element of an array in memory, one of the group's inputs.
  Expr load_array(Value v, const Indices& index, const Expr& predicate = nullptr);
  /// Its element number `position`.
  Expr load_array(Value v, const Index& position, const Expr& predicate = nullptr);
  /// From here to the end of the block, the value's element is this one, whatever the index.
  void bind(Value v, Expr element);
  /// The same for the element at this index only.
  void know(Value v, const Indices& index, Expr element);

  /// Computes all outputs at `index`, then stores them: an output may lie where an input was.
  void store_outputs(const Indices& index, const Expr& predicate = nullptr);
  /// Parameter of an output's array.
  int output_buffer(int i);
  /// Whether an output shares its memory with no input, so that unfinished elements can lie there.
  bool is_private_output(int i) const;
  /// Such an output of this type; -1 if there is none.
  int private_output(DType dtype) const;
  /// Position of an output's element in its parameter.
  Index output_position(int i, const Indices& index) const;
  /// Parameter that is the run's error record, seen as numbers of this type.
  int error_buffer(DType dtype);

  /// Elements of a parameter.
  std::int64_t buffer_elements(int buffer) const {
    return kernel_.buffers[static_cast<std::size_t>(buffer)].elements;
  }

  /// Parameter for `elements` elements of the thread's own, free to use within a tile.
  int scratch_buffer(DType dtype, std::int64_t elements);

  // ---- statements -----------------------------------------------------------------------------------------

  using Body = std::function<void(const Index&)>;

  void add(Stmt statement) { scopes_.back().block.push_back(std::move(statement)); }
  /// Names a value, so that it is computed once and here.
  Expr let(Expr value);
  /// Of whole numbers that are made into addresses.
  DType address_type() const { return target().pointer_bits == 32 ? DType::i32 : DType::i64; }
  /// The index, or, if it is made of quotients within quotients within ..., a temporary that holds it. Each
  /// reshape makes several indices of the one before, so that their texts would double with every step.
  Index let_if_deep(const Index& index);
  /// Adds what `body` adds; what it binds and knows ends with it.
  void isolated(const std::function<void()>& body);
  /// What `fill` adds, not yet added.
  Block scope(const std::function<void()>& fill);
  /// A loop; nothing for an extent of 0, the bare body for 1.
  void serial(const std::string& name, std::int64_t extent, const Body& body);
  void unrolled(const std::string& name, std::int64_t extent, const Body& body);
  /// A vector loop of `lanes()` lanes. `unroll` writes out its chunks, as tile registers need it.
  void vector(const std::string& name, std::int64_t extent, const Body& body, bool unroll = false);
  /// Nested loops over all points of a box, the first extent outermost.
  void nest(const std::string& name, std::span<const std::int64_t> extents, bool unroll,
            const std::function<void(const Indices&)>& body);
  void when(Expr condition, const std::function<void()>& then, const std::function<void()>& otherwise = {});

  /// The parallel loop of the kernel, and the serial loops inside its tiles: calls `body` for every point of
  /// a box. `work` estimates a point's scalar operations; tiling.h decides how many points make a tile.
  void tiles(std::span<const std::int64_t> extents, double work,
             const std::function<void(const Indices&)>& body);
  /// The same in passes: each tile goes through all its points `passes` times. At most about `most` tiles.
  void tiles_in_passes(std::span<const std::int64_t> extents, double work, std::int64_t passes, double most,
                       const std::function<void(const Indices&, const Index& pass)>& body);
  /// Part number `number` of an axis that is cut into parts of `width`: calls `body(start, width)`, and, if
  /// the last part is narrower, a second time in the other branch with its width.
  void part(const Index& number, std::int64_t extent, std::int64_t width,
            const std::function<void(const Index&, std::int64_t)>& body);
  /// The same in `EvenParts` of at most `most`, all of them multiples of `unit`, as extent and most are.
  void even_part(const Index& number, std::int64_t extent, std::int64_t most, std::int64_t unit,
                 const std::function<void(const Index&, std::int64_t)>& body);

  Reg make_register(std::string name, DType dtype, RegisterKind kind, std::vector<std::int64_t> dims = {},
                    std::int64_t extent = 0);

  /// What `body` would add here, for decisions by its cost: this workbench stays as it is.
  Block probe(const std::function<void(Lowering&)>& body) const;
  Var fresh(const std::string& name, std::int64_t extent);

  LoweredGroup finish() &&;

 private:
  /// A known element: of a value, at these indices (any, if bound).
  struct Known {
    Value value;
    bool anywhere = false;
    Indices index;
    Expr predicate;
    Expr element;
  };
  struct Scope {
    Block block;
    std::vector<Known> known;
  };

  Expr find(Value v, const Indices& index, const Expr& predicate) const;
  Expr compute(Value v, const Indices& index, const Expr& predicate);
  int buffer_at(const graph::Location& location, Value v, Argument argument);
  int number_of_input(Value v) const;
  Expr load_input(int i, const Index& position, const Expr& predicate);
  int uses(Value v) const;

  const graph::ScheduledGroup* scheduled_;
  const Target* target_;
  int check_index_ = -1;
  int way_ = 0, ways_ = 1;
  int lanes_ = 1;
  Kernel kernel_;
  std::vector<Argument> arguments_;
  std::vector<graph::Location> locations_;  ///< parallel to arguments_
  std::map<std::pair<const Node*, int>, int> uses_;
  std::map<std::string, int> names_;
  std::vector<Scope> scopes_;
};

/// How an op is lowered. An op that is computed element by element has an element rule; one that can be the
/// root of a group has a root rule, which builds the whole kernel.
struct OpLowering {
  Expr (*element)(Lowering&, const Node&, const Indices&, const Expr& predicate) = nullptr;
  void (*root)(Lowering&) = nullptr;
};
const OpLowering& lowering_of(Op op);

/// A group that works row by row (rows.cpp).
void lower_rows(Lowering& lowering);

/// A group without a root: every output element is an expression of its own (map.cpp).
void lower_map(Lowering& lowering);

}  // namespace kiln::codegen
