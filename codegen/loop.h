#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kiln/graph/graph.h"

/// The loop form: what a kernel does, between the graph and LLVM IR. Loops with static extents and marks
/// (parallel, vector, unrolled), loads, stores, register tiles and elementwise arithmetic; small enough to
/// print, read and test, and free of anything particular to a CPU but the lane counts that lowering chose.
///
///   kernel bias_relu(b0: f32[1280], b1: f32[10], b2: f32[1280] written) {
///     parallel t in 0..128 {
///       vector(16) j in 0..10 {
///         store b2[t*10 + j] = maximum(add(b0[t*10 + j], b1[j]), 0)
///       }
///     }
///   }
///
/// Sums happen in the order written here, whatever the number of threads: a thread takes whole iterations of
/// the parallel loop.
namespace kiln::codegen {

// ---- variables and addresses -----------------------------------------------------------------------------

/// A loop variable, 0 <= value < extent.
struct Variable {
  std::string name;
  std::int64_t extent = 0;
};
using Var = std::shared_ptr<const Variable>;
Var make_var(std::string name, std::int64_t extent);

struct ExprNode;
struct IndexNode;
/// A value: f32, f64, i32, i64, u8 or bool. Inside a vector loop it has a lane per iteration if it depends on
/// the loop's variable, and is uniform otherwise.
using Expr = std::shared_ptr<const ExprNode>;

/// An i64 expression for addresses: sums, products with constants, floor division and remainder by positive
/// constants. The functions below simplify, using the variables' ranges: (t*10 + j) / 10 -> t if 0 <= j < 10.
class Index {
 public:
  Index(std::int64_t constant = 0);  // NOLINT: indices mix with integers everywhere
  Index(Var var);                    // NOLINT
  /// From an integer value (gathered rows); [low, high) bounds it.
  static Index from_value(Expr value, std::int64_t low, std::int64_t high);
  explicit Index(std::shared_ptr<const IndexNode> node) : node_(std::move(node)) {}
  const IndexNode& operator*() const { return *node_; }
  const IndexNode* operator->() const { return node_.get(); }
  bool is_constant() const;
  bool is_constant(std::int64_t c) const;

 private:
  std::shared_ptr<const IndexNode> node_;
};
Index operator+(const Index& a, const Index& b);
Index operator-(const Index& a, const Index& b);
Index operator*(const Index& a, std::int64_t c);
Index floor_div(const Index& a, std::int64_t c);  ///< c > 0
Index mod(const Index& a, std::int64_t c);        ///< in [0, c); c > 0

enum class IndexKind : std::uint8_t { constant, variable, add, mul, floor_div, mod, value };
struct IndexNode {
  IndexKind kind = IndexKind::constant;
  std::int64_t constant = 0;  ///< constant; factor of mul; divisor of floor_div and mod
  Var variable;
  std::vector<Index> operands;
  Expr value;
  std::int64_t low = 0, high = 1;  ///< range [low, high)
};
bool same(const Index& a, const Index& b);  ///< in form, that is
bool depends_on(const Index& index, const Var& var);
/// The factor of `var` if the index is affine in it (0 if it doesn't depend), else false.
bool affine_in(const Index& index, const Var& var, std::int64_t& factor);

// ---- values -----------------------------------------------------------------------------------------------

/// A named register array of a kernel. `tile` registers hold one vector per chunk of the vector loop whose
/// variable is the last subscript (an accumulator tile); `lanes` registers hold one vector whatever the chunk
/// (a reduction over the vector loop: lanes that a masked tail doesn't cover keep their value); `scalar` ones
/// hold one value, the same for all lanes. `dims` are subscripts in front, which must be constants after
/// unrolling. A `lanes` register is initialised outside its vector loop: a write there sets every lane.
enum class RegisterKind : std::uint8_t { scalar, tile, lanes };
struct Register {
  std::string name;
  DType dtype = DType::f32;
  RegisterKind kind = RegisterKind::scalar;
  std::vector<std::int64_t> dims = {};
  std::int64_t extent =
      0;               ///< tile: extent of the vector loop it is used in, which may go over its whole vectors
  int lane_count = 0;  ///< tile and lanes: lanes of a vector
};
using Reg = std::shared_ptr<const Register>;

enum class ExprKind : std::uint8_t {
  constant,   ///< number (floats) or integer (others)
  load,       ///< buffer[index]; 0 where `predicate` is false (then nothing is read)
  read,       ///< register[subscripts]
  temporary,  ///< the value of a Let statement
  index,      ///< an Index as i64 (or i32: dtype)
  less,       ///< bool: index < other index
  apply,  ///< elementwise op of the graph: unary, binary, select; compare with `direction`; convert to dtype
  fma,    ///< a * b + c: rounded once if the target has an instruction for it, else a product and a sum
  fold_lanes,  ///< a scalar: op (add, mul, maximum, minimum) over the lanes of a `lanes` register in fixed
               ///< (halving) order
};
struct ExprNode {
  ExprKind kind = ExprKind::constant;
  DType dtype = DType::f32;
  double number = 0;
  std::int64_t integer = 0;
  int buffer = 0;
  Index index, other;
  Expr predicate;
  Reg reg;
  std::vector<Index> subscripts;
  int temporary = 0;
  graph::Op op{};
  std::string direction;
  std::vector<Expr> operands;
};

Expr constant_expr(DType dtype, double number);
Expr integer_expr(DType dtype, std::int64_t value);
Expr load(int buffer, DType dtype, Index index, Expr predicate = nullptr);
Expr read(Reg reg, std::vector<Index> subscripts = {});
Expr index_expr(Index index, DType dtype = DType::i64);
Expr less(Index a, Index b);
/// low <= index < high as a bool; null if the range proves it.
Expr in_range(const Index& index, std::int64_t low, std::int64_t high);
/// Conjunction; either may be null (true).
Expr both(Expr a, Expr b);
/// An elementwise op; the type is the operands' (bool for is_finite, logical_not).
Expr apply(graph::Op op, std::vector<Expr> operands);
Expr compare_expr(std::string direction, Expr a, Expr b);
Expr select_expr(Expr predicate, Expr a, Expr b);
Expr convert_expr(Expr x, DType dtype);
Expr fma(Expr a, Expr b, Expr c);
Expr fold_lanes(graph::Op op, Reg reg, std::vector<Index> subscripts = {});

// ---- statements -------------------------------------------------------------------------------------------

enum class LoopKind : std::uint8_t {
  serial,
  parallel,  ///< outermost, at most one in a kernel: its iterations are the tiles that threads share; beside
             ///< it there may be lets and register writes only (every thread does them). A kernel without one
             ///< is done by thread 0
  vector,    ///< `lanes` iterations at a time; the tail is the same code under a mask
  unrolled,  ///< every iteration written out: its variable is a constant inside
};
struct Stmt;
using Block = std::vector<Stmt>;

/// Where a prefetch puts a line: the nearest cache, or the second, for what is read later or in bulk.
enum class CacheLevel : std::uint8_t { nearest, second };

enum class StmtKind : std::uint8_t { loop, let, store, write, branch, prefetch, turn };
struct Stmt {
  StmtKind kind = StmtKind::loop;
  // loop
  LoopKind loop = LoopKind::serial;
  Var variable;
  int lanes = 0;        ///< vector loops
  bool unroll = false;  ///< vector loops: write out the chunks (needed around `tile` registers)
  Block body;
  Block otherwise;  ///< branch: else
  // let: temporary `temporary` = value, visible until the end of the enclosing block
  int temporary = 0;
  Expr value;  ///< let, store, write; branch: the (uniform) condition
  // store: buffer[index] = value, where predicate (null: always)
  // prefetch: asks for the cache line of buffer[index], which may lie outside the buffer; in a vector loop
  // the first lane's
  int buffer = 0;
  Index index;
  Expr predicate;
  CacheLevel into = CacheLevel::nearest;  ///< prefetch
  // write: register[subscripts] = value
  // turn: a `tile` register of n vectors, whose lanes are rows of n units of `unit` lanes each (as many rows
  // as fill a vector): unit j of vector i and unit i of vector j change places, in each of those rows
  int unit = 1;
  Reg reg;
  std::vector<Index> subscripts;
};

Stmt loop(LoopKind kind, Var variable, Block body);
Stmt vector_loop(Var variable, int lanes, Block body, bool unroll = false);
Stmt store(int buffer, Index index, Expr value, Expr predicate = nullptr);
Stmt write(Reg reg, std::vector<Index> subscripts, Expr value);
Stmt branch(Expr condition, Block then, Block otherwise = {});
Stmt prefetch(int buffer, Index index, CacheLevel into = CacheLevel::nearest);
Stmt turn(Reg reg, int unit = 1);

// ---- kernels ----------------------------------------------------------------------------------------------

/// How f32 elements lie in memory: as they are, or in two bytes, from which a load widens them.
enum class Storage : std::uint8_t { whole, float16, bfloat16 };

struct BufferParam {
  DType dtype = DType::f32;
  std::int64_t elements = 0;
  bool written = false;
  /// May be the same memory as another parameter (the error record seen as i64 and as f64).
  bool may_alias = false;
  /// 0 or more: this many bytes into memory that each thread has for itself, where a tile keeps what it needs
  /// no longer than itself. Nothing is known of what lies there before.
  std::int64_t scratch = -1;
  Storage storage = Storage::whole;
  int pair_lanes = 0;  ///< not 0: bf16 in pairs of vectors of so many lanes (weight_pairs.h)
};

/// One kernel. An array that is updated in place is ONE parameter, read and written.
struct Kernel {
  std::string name;
  std::vector<BufferParam> buffers = {};
  Block body = {};
  int temporaries = 0;
  std::int64_t scratch_stride = 0;               ///< bytes from one thread's scratch to the next one's
  Expr new_temporary(Block& block, Expr value);  ///< appends a Let and gives the expression that reads it
};

/// The text above. Equal texts (without the name) are the same kernel and are compiled once.
std::string print(const Kernel& kernel, bool with_name = true);
/// Throws InternalError if a form is broken: unknown variables or temporaries, types that differ, a parallel
/// or vector loop inside another, registers misused, an access that may leave its buffer without a predicate
/// or branch to guard it.
void verify(const Kernel& kernel);

}  // namespace kiln::codegen
