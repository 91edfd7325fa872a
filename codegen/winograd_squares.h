#pragma once
#include "codegen/lowering.h"
#include "graph/ops/winograd.h"

/// What the kernels of Winograd's form are made of: squares of elements, and their transforms.
namespace kiln::codegen::winograd {

using graph::winograd::positions;

using Line = std::vector<Expr>;  ///< elements along one axis

inline Expr times(double factor, Expr x) {
  return apply(Op::mul, {constant_expr(x->dtype, factor), std::move(x)});
}
inline Expr sum(Expr a, Expr b) {
  return apply(Op::add, {std::move(a), std::move(b)});
}
inline Expr difference(Expr a, Expr b) {
  return apply(Op::sub, {std::move(a), std::move(b)});
}
/// factor * a + b
inline Expr scaled_sum(double factor, const Expr& a, Expr b) {
  return fma(constant_expr(a->dtype, factor), a, std::move(b));
}

/// Transforms of one line, as graph/ops/winograd.cpp's matrices have them. The points come in pairs +-p:
/// their rows have the same even terms and opposite odd ones, so that each pair shares its sums.
class Transforms {
 public:
  explicit Transforms(Lowering& l) : l_(l) {}

  /// B^T d
  Line input(const Line& d) {
    using namespace graph::winograd;
    constexpr double squares = inner_squared + outer_squared;
    Line t{l_.let(scaled_sum(-squares, d[2], sum(d[0], d[4])))};
    const auto pair = [&](double p, double other_squared) {
      const Expr even = l_.let(scaled_sum(-other_squared, d[2], d[4]));
      const Expr odd = l_.let(scaled_sum(-other_squared, d[1], d[3]));
      t.push_back(l_.let(scaled_sum(p, odd, even)));
      t.push_back(l_.let(scaled_sum(-p, odd, even)));
    };
    pair(inner, outer_squared);
    pair(outer, inner_squared);
    t.push_back(l_.let(scaled_sum(-squares, d[3], sum(d[1], d[5]))));
    return t;
  }

  /// A^T m: 4 or 2 results
  Line results(const Line& m, std::int64_t count) {
    using namespace graph::winograd;
    const Expr inner_sum = l_.let(sum(m[1], m[2])), outer_sum = l_.let(sum(m[3], m[4]));
    const Expr inner_difference = l_.let(difference(m[1], m[2]));
    const Expr outer_difference = l_.let(difference(m[3], m[4]));
    Line y{l_.let(sum(sum(m[0], inner_sum), outer_sum))};
    double inner_power = 1, outer_power = 1;
    for (std::int64_t i = 1; i < count; i++) {
      inner_power *= inner;
      outer_power *= outer;
      const bool odd = i % 2 == 1;
      Expr value = scaled_sum(inner_power, odd ? inner_difference : inner_sum,
                              times(outer_power, odd ? outer_difference : outer_sum));
      y.push_back(l_.let(i == count - 1 ? sum(std::move(value), m[5]) : std::move(value)));
    }
    return y;
  }

  /// A y, the transpose of the above: 6 of 4 or 2
  Line errors(const Line& y) {
    using namespace graph::winograd;
    Line t{y[0]};
    const auto pair = [&](double p, double square) {
      Expr even = y[0], odd = y[1];
      if (y.size() == 4) {
        even = l_.let(scaled_sum(square, y[2], y[0]));
        odd = l_.let(scaled_sum(square, y[3], y[1]));
      }
      t.push_back(l_.let(scaled_sum(p, odd, even)));
      t.push_back(l_.let(scaled_sum(-p, odd, even)));
    };
    pair(inner, inner_squared);
    pair(outer, outer_squared);
    t.push_back(y.back());
    return t;
  }

  /// Applies a transform to the columns, then to the rows of a square whose elements `element(i, j)` gives,
  /// and calls `use(i, j, value)`.
  template <class Transform, class Element, class Use>
  void on_square(std::int64_t edge, const Transform& transform, const Element& element, const Use& use) {
    on_rows(on_columns(edge, transform, element), transform, use);
  }
  /// Its first half: the transformed columns.
  template <class Transform, class Element>
  std::vector<Line> on_columns(std::int64_t edge, const Transform& transform, const Element& element) {
    std::vector<Line> columns;
    for (std::int64_t j = 0; j < edge; j++) {
      Line column;
      for (std::int64_t i = 0; i < edge; i++) column.push_back(l_.let(element(i, j)));
      columns.push_back(transform(column));
    }
    return columns;
  }
  /// Its second half.
  template <class Transform, class Use>
  void on_rows(const std::vector<Line>& columns, const Transform& transform, const Use& use) {
    for (std::size_t i = 0; i < columns[0].size(); i++) {
      Line row;
      for (const Line& column : columns) row.push_back(column[i]);
      const Line values = transform(row);
      for (std::size_t j = 0; j < values.size(); j++)
        use(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j), values[j]);
    }
  }

 private:
  Lowering& l_;
};

/// An array of one square a tile and channel in scratch, (position, tile, channel). Between positions lies
/// a cache line (`gap` elements), lest a square's 36 elements, a power of two apart, meet in one set of the
/// cache; few tiles do without.
class Squares {
 public:
  Squares(Lowering& l, DType dtype, std::int64_t tiles, std::int64_t channels, std::int64_t gap = line)
      : dtype_(dtype), channels_(channels), stride_(tiles * channels + gap) {
    buffer_ = l.scratch_buffer(dtype, positions * stride_);
  }
  Expr at(const Index& position, const Index& tile, const Index& channel) const {
    return load(buffer_, dtype_, place(position, tile, channel));
  }
  Stmt set(const Index& position, const Index& tile, const Index& channel, Expr value) const {
    return store(buffer_, place(position, tile, channel), std::move(value));
  }

 private:
  static constexpr std::int64_t line = 16;  // elements
  Index place(const Index& position, const Index& tile, const Index& channel) const {
    return position * stride_ + tile * channels_ + channel;
  }
  DType dtype_;
  std::int64_t channels_, stride_;
  int buffer_ = -1;
};

}  // namespace kiln::codegen::winograd
