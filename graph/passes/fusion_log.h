#pragma once
#include <string>
#include <vector>

#include "graph/passes/drafts.h"

namespace kiln::graph {

/// What fusion decided about each node and each kernel that uses it, and why: KILN_DUMP's fusion.txt. A
/// kernel is called by its root, or else by the first node it writes:
///
///     %12 conv -> %14 sigmoid: fused: it becomes the kernel's root
///     %14 sigmoid -> %15 window_max: apart: it joins the kernel that computes its operand
class FusionLog {
 public:
  void fused(const Node& n, const Draft& kernel, const char* reason) { add(n, kernel, "fused", reason); }
  void apart(const Node& n, const Draft& kernel, const char* reason) { add(n, kernel, "apart", reason); }
  /// The node is, or for that reason isn't, a part of the other's array.
  void part(const Node& n, const Node& whole, const char* why_not);
  /// Of two groups over rows; `reason` null: they are one.
  void rows(const Group& a, const Group& b, const char* reason) { join(a, b, reason, "row by row"); }
  /// Of a convolution's group and the pooling behind it, likewise.
  void pool(const Group& a, const Group& b, const char* reason) { join(a, b, reason, "in the same tiles"); }

  /// Of a pooling's gradient and the gradient of a kernel, likewise.
  void pool_grad(const Group& a, const Group& b, const char* reason) {
    join(a, b, reason, "element by element where it is multiplied");
  }

  /// The lines in the order of the graph: fusion goes from the results back to the inputs.
  std::string text() const;

 private:
  void add(const Node& n, const Draft& kernel, const char* decision, const char* reason);

  void join(const Group& a, const Group& b, const char* why_not, const char* how);

  std::vector<std::string> lines_, joins_;
};

/// The node that a kernel is called by.
const Node& namesake(const Draft& kernel);

}  // namespace kiln::graph
