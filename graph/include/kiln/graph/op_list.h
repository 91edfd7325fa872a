// The one list of primitive ops: it drives the enum, the names, the printer, the parser and the registry.
// KILN_OP(name). Each op is defined (shape rule, gradient, reference evaluation) in one file of graph/ops/
// and lowered in the file of the same name in codegen/ops/. Their meaning is documented in ops.h.
//
// No include guard: include it with KILN_OP defined.

// leaves: graph/ops/leaf.cpp
KILN_OP(input)
KILN_OP(state)
KILN_OP(constant)
KILN_OP(iota)
// unary elementwise: graph/ops/unary.cpp
KILN_OP(neg)
KILN_OP(abs)
KILN_OP(sign)
KILN_OP(exp)
KILN_OP(expm1)
KILN_OP(log)
KILN_OP(log1p)
KILN_OP(sqrt)
KILN_OP(rsqrt)
KILN_OP(tanh)
KILN_OP(sigmoid)
KILN_OP(erf)
KILN_OP(sin)
KILN_OP(cos)
KILN_OP(floor)
KILN_OP(ceil)
KILN_OP(round)
KILN_OP(is_finite)
KILN_OP(logical_not)
KILN_OP(stop_gradient)
KILN_OP(convert)
// binary elementwise: graph/ops/binary.cpp
KILN_OP(add)
KILN_OP(sub)
KILN_OP(mul)
KILN_OP(div)
KILN_OP(rem)
KILN_OP(pow)
KILN_OP(maximum)
KILN_OP(minimum)
KILN_OP(bit_and)
KILN_OP(bit_or)
KILN_OP(bit_xor)
KILN_OP(shift_left)
KILN_OP(shift_right)
// compare and select: graph/ops/select.cpp
KILN_OP(compare)
KILN_OP(select)
// data movement: graph/ops/movement.cpp
KILN_OP(broadcast)
KILN_OP(reshape)
KILN_OP(transpose)
KILN_OP(slice)
KILN_OP(pad)
KILN_OP(concatenate)
KILN_OP(reverse)
// reductions: graph/ops/reduce.cpp
KILN_OP(reduce_sum)
KILN_OP(reduce_max)
KILN_OP(reduce_min)
KILN_OP(reduce_prod)
KILN_OP(argmax)
// products: graph/ops/dot.cpp, graph/ops/conv.cpp
KILN_OP(dot)
KILN_OP(dot_panels)
KILN_OP(conv)
KILN_OP(conv_input_grad)
KILN_OP(conv_kernel_grad)
// convolutions as passes make them: graph/ops/conv_forms.cpp
KILN_OP(conv_batch_last)
KILN_OP(conv_kernel_sums)
// products in Winograd's form: graph/ops/winograd.cpp
KILN_OP(winograd_conv)
KILN_OP(winograd_kernel_grad)
// windows: graph/ops/window.cpp
KILN_OP(window_sum)
KILN_OP(window_sum_grad)
KILN_OP(window_max)
KILN_OP(window_argmax)
KILN_OP(window_max_grad)
KILN_OP(window_max_pick)
// indexing: graph/ops/gather.cpp
KILN_OP(gather)
KILN_OP(scatter_add)
KILN_OP(take_along)
KILN_OP(put_along)
KILN_OP(dynamic_slice)
KILN_OP(dynamic_update_slice)
// order: graph/ops/order.cpp
KILN_OP(cumsum)
KILN_OP(sort)
KILN_OP(top_k)
// random numbers: graph/ops/random.cpp
KILN_OP(random_bits)
// data errors: graph/ops/check.cpp
KILN_OP(check)
