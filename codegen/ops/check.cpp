// Data errors: the first failing row goes into the run's error record, unless an earlier check was there
// first.
#include <cstddef>

#include "codegen/ops/register.h"
#include "kiln/runtime/executable.h"

namespace kiln::codegen {
namespace {

// Elements of ErrorRecord (runtime/executable.h), which is an array of eight-byte numbers.
constexpr std::int64_t check_field = 0, row_field = 1, value_field = 2;
static_assert(offsetof(runtime::ErrorRecord, check) == 8 * check_field &&
              offsetof(runtime::ErrorRecord, row) == 8 * row_field &&
              offsetof(runtime::ErrorRecord, value) == 8 * value_field);

void check_kernel(Lowering& l) {
  const Node& node = l.root();
  const int record = l.error_buffer(DType::i64), values = l.error_buffer(DType::f64);
  l.serial("row", node.operand(0).shape()[0], [&](const Index& row) {
    const Expr failed = apply(Op::logical_not, {l.operand(node, 0, {row})});
    l.when(l.let(failed), [&] {
      const Expr none =
          compare_expr("eq", load(record, DType::i64, Index(check_field)), integer_expr(DType::i64, -1));
      l.when(l.let(none), [&] {
        if (l.target().reports_check_values)
          l.add(store(values, Index(value_field), convert_expr(l.operand(node, 1, {row}), DType::f64)));
        l.add(store(record, Index(check_field), integer_expr(DType::i64, l.check_index())));
        l.add(store(record, Index(row_field), index_expr(row)));
      });
    });
  });
}

}  // namespace

void register_check_lowering(LoweringTable& table) {
  entry(table, Op::check).root = check_kernel;
}

}  // namespace kiln::codegen
