#include "api/data/rows.h"

#include <fmt/format.h>

#include <cstring>

#include "kiln/data/preparation.h"

namespace kiln {

Tensor internal::picked_rows(const Tensor& array, std::span<const std::int64_t> rows) {
  const Tensor whole = array.contiguous();
  Tensor result(whole.shape().tail().prepend(static_cast<std::int64_t>(rows.size())), whole.dtype());
  const std::size_t bytes = rows.empty() ? 0 : result.nbytes() / rows.size();
  auto* to = static_cast<std::byte*>(result.raw());
  const auto* from = static_cast<const std::byte*>(whole.raw());
  for (std::size_t i = 0; i < rows.size() && bytes > 0; i++)
    std::memcpy(to + i * bytes, from + static_cast<std::size_t>(rows[i]) * bytes, bytes);
  return result;
}

Tensor data::hstack(const Tensors& arrays) {
  if (arrays.empty()) throw ShapeError("hstack: there are no arrays; give at least one");
  std::int64_t columns = 0;
  bool doubles = false;
  for (std::size_t i = 0; i < arrays.size(); i++) {
    const Tensor& t = arrays[i];
    if (!t.defined() || t.rank() < 1 || t.rank() > 2)
      throw ShapeError(
          fmt::format("hstack: array {} {}; arrays must be (rows,) or (rows, columns)", i,
                      t.defined() ? "has shape " + t.shape().to_string() : "is an empty Tensor"));
    if (t.dim(0) != arrays[0].dim(0))
      throw ShapeError(fmt::format(
          "hstack: array 0 has {} rows, but array {} has {}; to put together what a key joins, use merge",
          arrays[0].dim(0), i, t.dim(0)));
    columns += t.rank() == 1 ? 1 : t.dim(1);
    doubles = doubles || t.dtype() == DType::f64;
  }
  const std::int64_t rows = arrays[0].dim(0);
  Tensor all = Tensor::zeros({rows, columns}, doubles ? DType::f64 : DType::f32);
  const std::size_t element = size_of(all.dtype());
  std::int64_t left = 0;
  for (const Tensor& t : arrays) {
    const Tensor part = t.astype(all.dtype()).contiguous();
    const std::int64_t width = part.rank() == 1 ? 1 : part.dim(1);
    for (std::int64_t row = 0; row < rows && width > 0; row++)
      std::memcpy(
          static_cast<std::byte*>(all.raw()) + static_cast<std::size_t>(row * columns + left) * element,
          static_cast<const std::byte*>(part.raw()) + static_cast<std::size_t>(row * width) * element,
          static_cast<std::size_t>(width) * element);
    left += width;
  }
  return all;
}

}  // namespace kiln
