#pragma once
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kiln/graph/graph.h"
#include "kiln/graph/ops.h"

/// What fusion, schedule and memory planning make of an optimised graph; codegen reads it and nothing else.
namespace kiln::graph {

/// Nodes that become one kernel. The kernel has an iteration space; everything it stores has that shape.
///
///  - `root` is the group's heavy node (reduction, product, window, ...), or null for a pure map.
///  - `nodes` are all fused nodes in topological order: producers read at computed indices (elementwise and
///    movement ops), the root, and the epilogue (elementwise nodes of the root's result shape; behind a
///    `pool`, of `space`).
///  - `siblings` are further reductions over the same operand shape and axes, computed in the same loops.
///  - `rows`: the group works row by row. Its reductions (`root` and `siblings`) are over the last axis of
///  `space`; they may need each other's results, and outputs may need both: a row is gone through several
///  times while it is near. Outputs are of shape `space`, or hold one element a row (rows.h).
///  - `pool` is window_max, window_argmax or both, or window_sum, over windows, side by side, of what a
///  convolution (`root`) and its epilogue give: the kernel pools its results while they are in its tiles. The
///  epilogue then has the shape of the root's result, and what follows the pool that of `space`.
///  - `outputs` are what is written to memory: all of shape `space` but for a multi-result root (sort,
///  top_k),
///    which stands alone in its group. A check has none; its space are its rows.
///
/// A node's operand is evaluated where it is used if its producer is among `nodes` and the node doesn't read
/// it as an array (reads_array in elemental.h); else it is among `inputs`. Constants of one element are among
/// the nodes that use them. Some movement is a matter of places only, and no group's: the value is an input
/// of its own. A reshape of an array in memory lies where its operand is, a slice is a part of its operand's
/// array, and the operands of a concatenation are parts of the concatenation's array, each written by its own
/// group.
///
/// An output may lie on an input that is read at the index being written only (a weight and its update). So a
/// kernel reads everything it needs for an index before it writes any output at that index, and keeps partial
/// results of a root elsewhere than in an output that an epilogue still has to read under. A group that works
/// by rows writes over an input only when it goes through the row for the last time.
///
/// Where producers may be fused into a root: reductions, argmax and check (any elementwise or movement
/// chain); window_sum, window_max and window_argmax whose windows don't overlap; into conv_kernel_sums, the
/// gradient of such a maximum (join_pool_grads.h); nothing into dot, conv and their like (their operands are
/// arrays in memory), sort, top_k, cumsum, scatter_add, put_along. A fused
/// value used by several outputs at the same index is computed once.
struct Group {
  const Node* root = nullptr;
  std::vector<const Node*> siblings;
  std::vector<const Node*> pool;
  std::vector<const Node*> nodes;
  std::vector<Value> inputs;  ///< arrays read, each once: values of other groups, inputs, states, constants
  std::vector<Value> outputs;
  Shape space;
  bool rows = false;
  /// It hangs on constants and on states that the program doesn't change, only: while those stay as they are,
  /// what it computed in one run serves the next ones. The memory plan keeps it.
  bool prepared = false;
  std::string name;  ///< labels and ops: "conv2d_1: conv+add+sigmoid"
};

/// Where a value lies that is a part of a larger array: from index `start` on in the elements of `whole`.
struct Part {
  Value whole;
  Ints start;
  friend bool operator==(const Part&, const Part&) = default;
};

struct Location {
  enum class Space : std::uint8_t { input, state, output, arena, constant };
  Space space = Space::arena;
  int index = 0;
  std::int64_t offset = 0;  ///< bytes into the arena: of the value, or of the whole that it is a part of
  std::optional<Part> part = {};  ///< none: the value's elements follow one another
  friend bool operator==(const Location&, const Location&) = default;
};

/// One thing the program does, in order.
struct ScheduledGroup {
  Group group;
  std::vector<Location> input_locations;   ///< parallel to group.inputs
  std::vector<Location> output_locations;  ///< parallel to group.outputs
  bool barrier_before = false;             ///< data crosses threads between this group and those before
  bool leave_on_error = false;             ///< after that barrier, leave if a check has failed: states follow
};

/// The whole plan. Owns the graph that its groups point into.
struct Plan {
  std::unique_ptr<Graph> graph;
  std::vector<ScheduledGroup> schedule;
  std::vector<Tensor> constants;
  std::int64_t arena_bytes = 0;
  std::int64_t intermediate_bytes = 0;  ///< sum over arena values, without reuse
};

struct PlanOptions {
  ConvAlgorithm conv = ConvAlgorithm::automatic;
  /// States that the graph doesn't change stay as they are for many runs: large ones become panels
  /// (pack_weights.cpp), from so many bytes on.
  bool weights_stay = false;
  std::int64_t least_packed_bytes = std::int64_t{4} << 20;
  bool fuse = true;           ///< false: one group a node (to test fusion against)
  bool reuse = true;          ///< false: no two values share memory (asan and to test reuse against)
  std::int64_t red_zone = 0;  ///< bytes left free after each arena value
  /// Bytes that the arena may have at most: values are computed anew rather than kept until it is so small.
  /// 0: as many as it needs.
  std::int64_t memory_limit = 0;
  /// One thread does everything: barriers cost nothing, so even small arrays share memory as soon as they can.
  bool serial = false;
};

class FusionLog;
/// Groups of an optimised graph, not yet in order (fuse.cpp). `log`, if there is one, gets the reasons.
std::vector<Group> fuse(const Graph& graph, const PlanOptions& options = {}, FusionLog* log = nullptr);
// Groups point into the graph.
std::vector<Group> fuse(Graph&&, const PlanOptions& = {}, FusionLog* = nullptr) = delete;
/// Order of the groups: dependencies, checks before state writes, readers of a state's old value before its
/// writer where possible; then short live ranges (schedule.cpp).
std::vector<Group> schedule(const Graph& graph, std::vector<Group> groups);
/// Places every value: one arena with reuse, in-place updates, states written in place (memory.cpp); and
/// decides the barriers.
Plan plan_memory(Graph graph, std::vector<Group> groups, const PlanOptions& options = {});
/// Throws InternalError if two live values overlap, a value is read after it was overwritten, or a barrier is
/// missing between a writer and a reader (memory_check.cpp). Independent of plan_memory's own reasoning.
void verify_plan(const Plan& plan);

/// The table of contents: graph -> plan (pipeline.cpp). Dumps each stage into KILN_DUMP if set. Throws
/// ValueError, naming the largest arrays, if the memory limit can't be kept.
Plan compile_plan(const Graph& graph, const PlanOptions& options = {});
/// The passes before fusion only.
Graph optimize(const Graph& graph, const PlanOptions& options = {});
/// What follows them: the plan of a graph that is optimised already.
Plan compile_optimized(Graph graph, const PlanOptions& options = {});
/// Groups with kernels, locations and barriers, for dumps and tests.
std::string print(const Plan& plan);

}  // namespace kiln::graph
