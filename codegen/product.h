#pragma once
#include <optional>

#include "codegen/lowering.h"
#include "codegen/tiling.h"

/// Products: result[o, r, c] = sum over k of lhs(o, r, k) * rhs(o, k, c), in register tiles of rows and
/// vectors of columns. Matrix products and convolutions differ in their addresses only.
///
/// Every element is summed by multiply-adds in the order of the k loops, whatever the tile: a row's result
/// doesn't depend on how many rows there are.
namespace kiln::codegen {

struct Product {
  DType dtype = DType::f32;
  std::vector<std::int64_t> outer;  ///< loops around the product (batch, image, image row, group)
  std::int64_t rows = 1, columns = 1;
  /// Rows lie at even distances within groups of so many: tiles are whole groups, lest each row need a
  /// pointer.
  std::int64_t row_group = 1;
  std::vector<std::int64_t> contraction;  ///< the k loops, outermost first
  /// The right operand is the same for all outer loops.
  bool one_rhs = false;
  /// The right operand's columns lie in panels of so many, one panel after the other; 0: in whole rows.
  std::int64_t panel_columns = 0;
  /// One sum for each iteration of the first k loop, added up: for sums over whole batches of images.
  bool partial_sums = false;
  std::function<Expr(Lowering&, const Indices& outer, const Index& row, const Indices& k)> lhs;
  /// Contiguous in `column`.
  std::function<Expr(Lowering&, const Indices& outer, const Indices& k, const Index& column)> rhs;
  /// Index of the root's element.
  std::function<Indices(const Indices& outer, const Index& row, const Index& column)> result;
};

/// Is a function of each total computed behind the group's root? Written out for a whole register tile, that
/// is thousands of instructions, which the compiler mixes until registers run out; a loop over the tile takes
/// the same time and a fifth of the code.
bool has_long_epilogue(const Group& group);

void lower_product(Lowering& lowering, const Product& product);

/// A product that is a part of a kernel's tile, from arrays in memory to arrays in memory. `outer`, panels of
/// columns and tiles of rows are loops in this order: what a panel reads of the right operand stays in the
/// cache.
struct InnerProduct {
  /// The sums of a register tile: at(r, c) is one of row `row` + r and column `column` + c.
  struct Sums {
    Index row;
    std::int64_t rows = 1;
    Index column;
    std::int64_t columns = 1;
    std::function<Expr(const Index& r, const Index& c)> at;
    /// Stores them in rows of `width` elements, whole vectors, also where a tail's last lanes are of no
    /// meaning: a CPU waits long for what it has just stored under a mask.
    void store_all(Lowering& lowering, int buffer, std::int64_t width) const;
  };

  DType dtype = DType::f32;
  std::int64_t outer = 1, rows = 1, columns = 1;
  std::int64_t row_group = 1;             ///< tiles are whole groups of rows
  std::optional<ProductTile> tile;        ///< none: the best
  std::vector<std::int64_t> contraction;  ///< the k loops, outermost first
  bool rhs_is_far = false;                ///< no cache holds the right operand: its later rows are asked for
  std::function<Expr(Lowering&, const Index& outer, const Index& row, const Indices& k)> lhs;
  /// Contiguous in `column`.
  std::function<Expr(Lowering&, const Index& outer, const Indices& k, const Index& column)> rhs;
  /// Of the innermost k loop's steps only those are added for which this holds; null: all.
  std::function<Expr(Lowering&, const Indices& k)> step_counts;
  /// What the sums are added to; null: zeros.
  std::function<Expr(Lowering&, const Index& outer, const Index& row, const Index& column)> initial;
  std::function<void(Lowering&, const Index& outer, const Index& row, const Index& column, Expr sum)> store;
  /// Instead of `store`: takes the sums of a whole tile while they are in registers.
  std::function<void(Lowering&, const Index& outer, const Sums& sums)> finish;
};

void lower_inner_product(Lowering& lowering, const InnerProduct& product);

}  // namespace kiln::codegen
