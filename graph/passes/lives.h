#pragma once
#include <unordered_map>
#include <vector>

#include "graph/passes/groups.h"

namespace kiln::graph {

/// When an array of the arena is in use.
struct Life {
  Value value;
  std::int64_t bytes = 0;
  int first = 0;           ///< the first group that writes it
  int last = 0;            ///< the last group that reads it
  std::vector<int> reads;  ///< all groups that read it, ascending
  bool kept = false;       ///< from run to run, for it hangs on unchanged states only: always in use
};

/// The lives of a plan's arena arrays, and the group during which most bytes are in use.
class Lives {
 public:
  explicit Lives(const Plan& plan);

  const std::vector<Life>& all() const { return lives_; }
  /// The life of the array that the value is or, as an operand of a concatenation, a part of. Null: it isn't
  /// in the arena, or only a view of an array.
  const Life* of(Value v) const;
  int peak() const { return peak_; }
  /// Bytes in use then: no placement needs less.
  std::int64_t peak_bytes() const { return peak_bytes_; }
  /// Bytes beyond a limit, summed over the groups.
  double excess(std::int64_t limit) const;
  /// Those in use at the peak, largest first.
  std::vector<const Life*> at_peak() const;

 private:
  std::vector<Life> lives_;
  std::unordered_map<Value, std::size_t, ValueHash> index_;
  std::vector<std::int64_t> bytes_;  // in use, by group
  int peak_ = 0;
  std::int64_t peak_bytes_ = 0;
};

}  // namespace kiln::graph
