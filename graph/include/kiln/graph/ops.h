#pragma once
#include <span>
#include <vector>

#include "kiln/graph/graph.h"

/// Functions that emit ops. All throw ShapeError or TypeError at once, naming the layer (the graph's label).
///
/// Binary functions broadcast as numpy does and need equal element types; scalars (double) take the type of
/// the other operand. The primitives underneath are strict: `broadcast` is a node of its own.
namespace kiln::graph {

// ---- leaves -----------------------------------------------------------------------------------------------
KILN_API Value constant(Graph& g, Tensor value);
/// Every element `value`: a rank-0 constant, broadcast.
KILN_API Value full(Graph& g, const Type& type, double value);
KILN_API Value zeros_like(Value x);
KILN_API Value ones_like(Value x);
/// result[i...] = i[axis]
KILN_API Value iota(Graph& g, const Type& type, int axis);

// ---- unary ------------------------------------------------------------------------------------------------
KILN_API Value neg(Value x);
KILN_API Value abs(Value x);
/// -1, 0 or 1; NaN stays NaN
KILN_API Value sign(Value x);
KILN_API Value exp(Value x);
KILN_API Value expm1(Value x);
KILN_API Value log(Value x);
KILN_API Value log1p(Value x);
KILN_API Value sqrt(Value x);
KILN_API Value rsqrt(Value x);
KILN_API Value tanh(Value x);
/// 1 / (1 + exp(-x))
KILN_API Value sigmoid(Value x);
KILN_API Value erf(Value x);
KILN_API Value sin(Value x);
KILN_API Value cos(Value x);
KILN_API Value floor(Value x);
KILN_API Value ceil(Value x);
/// to the nearest, halves to even
KILN_API Value round(Value x);
KILN_API Value is_finite(Value x);    ///< bool
KILN_API Value logical_not(Value x);  ///< bool
/// x, of any type, but a constant for `gradient`: for what the result doesn't depend on mathematically, such as
/// the maximum that a softmax subtracts. Simplification takes it away, so derive gradients before.
KILN_API Value stop_gradient(Value x);
/// C++'s conversions; float to integer truncates and saturates, NaN becomes 0; to bool is x != 0.
KILN_API Value convert(Value x, DType dtype);

// ---- binary (broadcasting) --------------------------------------------------------------------------------
KILN_API Value add(Value a, Value b);
KILN_API Value sub(Value a, Value b);
KILN_API Value mul(Value a, Value b);
/// Integers: truncated; x / 0 is 0 (defined, as for all our integer arithmetic, which wraps).
KILN_API Value div(Value a, Value b);
/// C's fmod / %: the sign of a; integer x % 0 is 0.
KILN_API Value rem(Value a, Value b);
KILN_API Value pow(Value a, Value b);
/// NaN if either is NaN. Of zeros of both signs compiled code gives either, for relu's sake, which then is one
/// instruction; the interpreter counts +0 as the larger. Likewise for the reductions and windows below.
KILN_API Value maximum(Value a, Value b);
KILN_API Value minimum(Value a, Value b);
/// bool and integers
KILN_API Value bit_and(Value a, Value b);
KILN_API Value bit_or(Value a, Value b);
KILN_API Value bit_xor(Value a, Value b);
/// Integers; a shift of the type's width or more, or negative, gives 0.
KILN_API Value shift_left(Value a, Value b);
KILN_API Value shift_right(Value a, Value b);  ///< logical: zeros come in
/// direction: "eq", "ne", "lt", "le", "gt", "ge"; false with NaN but for "ne"
KILN_API Value compare(Value a, Value b, std::string_view direction);
/// where(pred, a, b), broadcasting
KILN_API Value select(Value pred, Value a, Value b);

inline Value operator+(Value a, Value b) { return add(a, b); }
inline Value operator-(Value a, Value b) { return sub(a, b); }
inline Value operator*(Value a, Value b) { return mul(a, b); }
inline Value operator/(Value a, Value b) { return div(a, b); }
inline Value operator-(Value a) { return neg(a); }
/// Rank-0 constant of `like`'s type and graph.
KILN_API Value scalar(Value like, double value);
inline Value operator+(Value a, double b) { return add(a, scalar(a, b)); }
inline Value operator-(Value a, double b) { return sub(a, scalar(a, b)); }
inline Value operator*(Value a, double b) { return mul(a, scalar(a, b)); }
/// For floats: whole numbers would lose the fraction (TypeError).
KILN_API Value operator/(Value a, double b);
inline Value operator+(double a, Value b) { return add(scalar(b, a), b); }
inline Value operator-(double a, Value b) { return sub(scalar(b, a), b); }
inline Value operator*(double a, Value b) { return mul(scalar(b, a), b); }
inline Value operator/(double a, Value b) { return div(scalar(b, a), b); }

// ---- movement ---------------------------------------------------------------------------------------------
/// Primitive broadcast: operand axis i becomes result axis dims[i]; its size is 1 or the result's.
KILN_API Value broadcast(Value x, Shape shape, Ints dims);
/// numpy's broadcast_to.
KILN_API Value broadcast_to(Value x, const Shape& shape);
/// One size may be None (inferred).
KILN_API Value reshape(Value x, Shape shape);
KILN_API Value transpose(Value x, Ints permutation);
/// [start, limit) by stride on every axis; strides > 0.
KILN_API Value slice(Value x, Ints start, Ints limit, Ints stride = {});
/// low/high edge padding (>= 0) and `interior` elements between neighbours, filled with the rank-0 `value`.
KILN_API Value pad(Value x, Value value, Ints low, Ints high, Ints interior = {});
KILN_API Value concatenate(std::span<const Value> parts, int axis);
KILN_API Value reverse(Value x, Ints axes);
KILN_API Value expand_dims(Value x, int axis);
KILN_API Value squeeze(Value x, Ints axes);

// ---- reductions -------------------------------------------------------------------------------------------
/// Over `axes` (empty: all); `keepdims` keeps them as 1. Gradient of max/min: split equally among ties.
KILN_API Value reduce_sum(Value x, Ints axes = {}, bool keepdims = false);
KILN_API Value reduce_max(Value x, Ints axes = {}, bool keepdims = false);  ///< NaN wins; empty: -inf
KILN_API Value reduce_min(Value x, Ints axes = {}, bool keepdims = false);
KILN_API Value reduce_prod(Value x, Ints axes = {}, bool keepdims = false);
KILN_API Value reduce_mean(Value x, Ints axes = {}, bool keepdims = false);
/// i32 index of the first maximum along an axis (the first NaN, if there is one).
KILN_API Value argmax(Value x, int axis);

// ---- products ---------------------------------------------------------------------------------------------
/// General product: result axes are batch, lhs free, rhs free. Floats only.
KILN_API Value dot(Value a, Value b, Ints lhs_batch, Ints rhs_batch, Ints lhs_contract, Ints rhs_contract);
/// lhs (rows, steps) by a matrix (steps, panels * 64) that is kept as panels (panels, steps, 64), each 64 of
/// its columns; (rows, panels * 64). The pass that keeps weights so makes it: it has no gradient.
KILN_API Value dot_panels(Value lhs, Value panels);
inline constexpr std::int64_t panel_columns = 64;
/// numpy's matmul for rank >= 2 (leading axes broadcast).
KILN_API Value matmul(Value a, Value b);

/// What is left empty is filled in: strides and dilation 1, no padding.
struct ConvAttrs {
  Ints strides = {};   ///< one per spatial axis
  Ints low = {};       ///< zeros before
  Ints high = {};      ///< zeros after
  Ints dilation = {};  ///< of the kernel
  std::int64_t groups = 1;
};
/// Correlation, any number of spatial axes (1 to 3): x (N, spatial..., C), kernel (spatial..., C / groups, F)
/// -> (N, out..., F), out = (in + low + high - ((k - 1) dilation + 1)) / stride + 1. Group g of F/groups
/// consecutive filters sees channels [g C/groups, (g+1) C/groups). Padding is zeros that are multiplied: a NaN or
/// infinity in the kernel makes NaN where it meets them.
KILN_API Value conv(Value x, Value kernel, const ConvAttrs& attrs);
/// d(conv)/d(x) applied to dy; `input` is x's shape. Zeros stand where no element of dy meets a tap.
KILN_API Value conv_input_grad(Value dy, Value kernel, const Shape& input, const ConvAttrs& attrs);
/// d(conv)/d(kernel) applied to dy; `kernel` is the kernel's shape.
KILN_API Value conv_kernel_grad(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs);
/// The attributes of a node of one of the three.
KILN_API ConvAttrs conv_attrs(const Attributes& attributes);

/// conv of x (spatial..., C, N), giving (out..., F, N). Made by the pass `layout`.
KILN_API Value conv_batch_last(Value x, Value kernel, const ConvAttrs& attrs);
/// conv_kernel_grad in `parts` sums (parts, kernel...), each over as many images; or, if x (spatial..., C, N)
/// and dy (out..., F, N) have the batch last, over as many steps of dy's first axis. Made by passes.
KILN_API Value conv_kernel_sums(Value x, Value dy, const Shape& kernel, const ConvAttrs& attrs,
                                std::int64_t parts, bool batch_last = false);

/// How convolutions are computed: in Winograd's form where that is faster, never, or wherever it exists.
enum class ConvAlgorithm : std::uint8_t { automatic, direct, winograd };
/// conv(x, kernel) without strides, for x (N, H, W, C) between `low` and `high` zeros and a square kernel of
/// `window` 3 or 5, of which `kernel` is Winograd's transform (36, C, F); or x (H, W, C, N), giving (H, W, F,
/// N). Made by canonicalize.
KILN_API Value winograd_conv(Value x, Value kernel, std::int64_t window, Ints low, Ints high,
                             bool batch_last = false);
/// The gradient of winograd_conv's transformed kernel, (parts, 36, C, F): one sum for each of `parts` equal
/// shares of the tiles.
KILN_API Value winograd_kernel_grad(Value x, Value dy, std::int64_t window, Ints low, Ints high,
                                    std::int64_t parts);

// ---- windows ----------------------------------------------------------------------------------------------
/// One entry per axis of x (1 for axes without a window). What is left empty but for the window is filled in:
/// strides 1, no padding.
struct WindowAttrs {
  Ints window, strides = {}, low = {}, high = {};
};
/// Sum over each window; padding counts 0.
KILN_API Value window_sum(Value x, const WindowAttrs& attrs);
KILN_API Value window_sum_grad(Value dy, const Shape& input, const WindowAttrs& attrs);
/// Maximum over each window; padding never wins (-inf); NaN wins. A window of padding only gives -inf
/// (integers: the lowest).
KILN_API Value window_max(Value x, const WindowAttrs& attrs);
/// Which element of its window the first maximum (row-major; first NaN) is: its number, row-major, padding
/// counted, too; u8 if that holds all of a window's elements, else i32. Where a window has padding only it is
/// the number of a window's elements, which is no element's.
KILN_API Value window_argmax(Value x, const WindowAttrs& attrs);
/// Each dy goes to the element of its window that `place` names (where that is padding or none, nowhere):
/// with window_argmax the gradient of window_max as TensorFlow has it.
KILN_API Value window_max_grad(Value place, Value dy, const Shape& input, const WindowAttrs& attrs);
/// v's element that `place` names in each window, or 0: the transpose of window_max_grad.
KILN_API Value window_max_pick(Value place, Value v, const WindowAttrs& attrs);
/// The attributes of a window op's node.
KILN_API WindowAttrs window_attrs(const Attributes& attributes);

// ---- indexing ---------------------------------------------------------------------------------------------
/// Rows: result shape = x.shape[:axis] + indices.shape + x.shape[axis+1:]. Indices i32/i64; out-of-range ones
/// are clamped into range (guard data with `check`).
KILN_API Value gather(Value x, Value indices, int axis);
/// base with updates added at rows `indices`: the transpose of gather. Out-of-range indices are dropped.
/// Equal indices add in index order.
KILN_API Value scatter_add(Value base, Value indices, Value updates, int axis);
/// result[.., i, ..] = x[.., indices[.., i, ..], ..] (numpy's take_along_axis); clamped.
KILN_API Value take_along(Value x, Value indices, int axis);
/// Zeros of x.shape[axis] = size with updates added at indices (clamped): the transpose of take_along. Equal
/// indices add in index order.
KILN_API Value put_along(Value updates, Value indices, int axis, std::int64_t size);
/// starts: i64 or i32 [rank], clamped so that the slice fits, as StableHLO does.
KILN_API Value dynamic_slice(Value x, Value starts, Ints sizes);
KILN_API Value dynamic_update_slice(Value x, Value update, Value starts);

// ---- order ------------------------------------------------------------------------------------------------
KILN_API Value cumsum(Value x, int axis, bool exclusive = false, bool reverse = false);
/// Stable, NaN last; {sorted, i32 indices}.
KILN_API std::vector<Value> sort(Value x, int axis, bool descending = false);
/// Along the last axis, largest first, ties by index, NaN first; {values, i32 indices}.
KILN_API std::vector<Value> top_k(Value x, std::int64_t k);

// ---- random numbers ---------------------------------------------------------------------------------------
/// i32: result[i] = random_word(seed, step, stream, random_bits_word(i)), philox.h; key = i64[2] {seed, step}
KILN_API Value random_bits(Value key, Shape shape, std::int64_t stream);
/// [0, 1): 24 (f32) or 32 (f64) random bits
KILN_API Value random_uniform(Value key, Shape shape, std::int64_t stream, DType dtype = DType::f32);

// ---- data errors ------------------------------------------------------------------------------------------
/// Where ok (bool[N]) is false for a row, the run fails with `message`, in which {row} and {value} are
/// replaced by the first failing row and value[row]; no state is changed. Emitted for its effect.
KILN_API void check(Value ok, Value value, std::string message);

}  // namespace kiln::graph
