#pragma once
#include <optional>

#include "codegen/lowering.h"

/// The end of a kernel that pools what it computes (Group::pool).
namespace kiln::codegen {

/// The windows of a group's pool, which lie side by side.
struct Pool {
  explicit Pool(const Node& a_node) : node(&a_node), window(a_node.attributes.ints("window")) {}

  const Shape& shape() const { return node->type().shape; }  ///< of the pooled results
  /// The position in a window of its element number `number`, row-major.
  Ints tap(std::int64_t number) const;
  /// The index in the convolution's result of a window's element.
  Indices element(const Indices& window_index, const Indices& tap) const;

  const Node* node;
  Ints window;  ///< sizes, of all axes
};

/// Does the group ask for the places of maxima?
bool has_places(const Group& group);
/// Is a function computed of each element of the windows?
bool has_long_elements(const Group& group);

/// None: the group stores what its root and the epilogue give.
std::optional<Pool> pool_of(const Group& group);

/// What a window's elements make: their sum or maximum, and, if the group asks for it, the number of the
/// element that is the maximum (i32).
struct Pooled {
  Expr value, place;
};
/// Of the window at `index`, from what the root gives at its taps: `root_element(tap)`. Where `predicate` is
/// false nothing is read.
Pooled pool_window(Lowering& lowering, const Pool& pool, const Indices& index,
                   const std::function<Expr(const Ints& tap)>& root_element, const Expr& predicate = nullptr);

/// Computes and stores the group's outputs at `index` from that. Where `predicate` is false nothing is read
/// or stored.
void store_pooled(Lowering& lowering, const Indices& index, const Pooled& pooled,
                  const Expr& predicate = nullptr);

/// Whether x, met later than `best`, takes its place as the maximum: larger, or the first NaN.
Expr beats(const Expr& x, const Expr& best);

}  // namespace kiln::codegen
