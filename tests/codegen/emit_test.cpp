// Kernels written by hand in the loop form, compiled, and compared with plain loops.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <array>
#include <cmath>
#include <functional>
#include <random>

#include "codegen/emit.h"
#include "codegen/object.h"
#include "codegen/sanitize.h"
#include "run_kernel.h"

namespace kiln::codegen {
namespace {

using graph::Op;
constexpr DType f32 = DType::f32;

std::vector<float> numbers(std::size_t n, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-4, 4);
  std::vector<float> x(n);
  for (float& v : x) v = uniform(random);
  return x;
}

/// A page that can be used, and one behind it that can't.
void* guarded_pages(long page) {
  const auto size = static_cast<std::size_t>(page);
  void* memory = mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(static_cast<char*>(memory) + page, size, PROT_NONE);
  return memory;
}
void release_pages(void* memory, long page) {
  munmap(memory, 2 * static_cast<std::size_t>(page));
}

BufferParam array(std::int64_t n, DType dtype = f32) {
  return {dtype, n, false, false};
}
BufferParam result(std::int64_t n, DType dtype = f32) {
  return {dtype, n, true, false};
}

/// y[i] = x[i] * 2 + i of n elements
Kernel map_kernel(std::int64_t n, int lanes) {
  const Var i = make_var("i", n);
  Kernel k{.name = "map", .buffers = {array(n), result(n)}};
  Expr value = fma(load(0, f32, i), constant_expr(f32, 2), convert_expr(index_expr(i, DType::i32), f32));
  k.body = {vector_loop(i, lanes, {store(1, i, value)})};
  return k;
}

TEST(Emit, MapsOfEverySizeLeaveTheRestAlone) {
  for (const Target& target : targets()) {
    for (std::int64_t n = 1; n <= 40; ++n) {
      const RunnableKernel run(map_kernel(n, target.lanes(f32)), target);
      // What lies behind the arrays must stay as it is; reading it would show as a wrong result only, so it
      // is NaN.
      std::vector<float> x = numbers(64), y(64, 99);
      std::fill(x.begin() + n, x.end(), NAN);
      run({x.data(), y.data()});
      for (std::int64_t i = 0; i < 64; ++i) {
        const auto at = static_cast<std::size_t>(i);
        ASSERT_EQ(y[at], i < n ? x[at] * 2 + static_cast<float>(i) : 99) << "n = " << n << ", i = " << i;
      }
    }
  }
}

TEST(Emit, ThreadsShareWholeIterations) {
  const std::int64_t rows = 7, columns = 19;
  const Var r = make_var("r", rows), c = make_var("c", columns);
  Kernel k{.name = "rows", .buffers = {array(rows * columns), result(rows * columns)}};
  const Index at = Index(r) * columns + c;
  k.body = {
      loop(LoopKind::parallel, r, {vector_loop(c, 16, {store(1, at, apply(Op::neg, {load(0, f32, at)}))})})};
  const RunnableKernel run(k);
  std::vector<float> x = numbers(static_cast<std::size_t>(rows * columns));
  for (int threads : {1, 2, 3, 5, 20}) {
    std::vector<int> owner(static_cast<std::size_t>(rows), -1);
    for (int t = 0; t < threads; ++t) {
      std::vector<float> y(x.size(), 99);
      run.share({x.data(), y.data()}, t, threads);
      for (std::int64_t row = 0; row < rows; ++row) {
        const bool mine = row >= rows * t / threads && row < rows * (t + 1) / threads;
        for (std::int64_t col = 0; col < columns; ++col) {
          const auto i = static_cast<std::size_t>(row * columns + col);
          ASSERT_EQ(y[i], mine ? -x[i] : 99) << "thread " << t << " of " << threads << ", row " << row;
        }
        if (mine) {
          EXPECT_EQ(owner[static_cast<std::size_t>(row)], -1);
          owner[static_cast<std::size_t>(row)] = t;
        }
      }
    }
    for (int o : owner) EXPECT_GE(o, 0);
  }
}

TEST(Emit, KernelWithoutParallelLoopIsDoneByThreadZero) {
  const RunnableKernel run(map_kernel(8, 16));
  std::vector<float> x = numbers(8), y(8, 99);
  run.share({x.data(), y.data()}, 1, 2);
  EXPECT_EQ(y, std::vector<float>(8, 99));
}

/// Sums of rows in an accumulator of lanes, folded at the end.
Kernel row_sum(std::int64_t rows, std::int64_t columns, int lanes, Op op, double start) {
  const Var r = make_var("r", rows), c = make_var("c", columns);
  const Reg sum = make_register("sum", RegisterKind::lanes, lanes);
  Kernel k{.name = "row_sum", .buffers = {array(rows * columns), result(rows)}};
  Expr next = apply(op, {read(sum), load(0, f32, Index(r) * columns + c)});
  k.body = {loop(LoopKind::parallel, r,
                 {write(sum, {}, constant_expr(f32, start)), vector_loop(c, lanes, {write(sum, {}, next)}),
                  store(1, r, fold_lanes(op, sum))})};
  return k;
}

TEST(Emit, ReductionKeepsLanesThatTheTailLacks) {
  for (const Target& target : targets()) {
    const int lanes = target.lanes(f32);
    for (std::int64_t columns : {1, 3, 15, 16, 17, 31, 32, 33, 100}) {
      const std::int64_t rows = 3;
      std::vector<float> x = numbers(static_cast<std::size_t>(rows * columns));
      std::vector<float> sums(3), products(3), largest(3);
      RunnableKernel(row_sum(rows, columns, lanes, Op::add, 0), target)({x.data(), sums.data()}, 2);
      RunnableKernel(row_sum(rows, columns, lanes, Op::mul, 1), target)({x.data(), products.data()}, 2);
      RunnableKernel(row_sum(rows, columns, lanes, Op::maximum, -INFINITY), target)(
          {x.data(), largest.data()}, 2);
      for (std::int64_t r = 0; r < rows; ++r) {
        // The same order: lane by lane, then halves.
        std::vector<float> sum(static_cast<std::size_t>(lanes), 0),
            product(static_cast<std::size_t>(lanes), 1);
        float maximum = -INFINITY;
        for (std::int64_t c = 0; c < columns; ++c) {
          const float value = x[static_cast<std::size_t>(r * columns + c)];
          sum[static_cast<std::size_t>(c % lanes)] += value;
          product[static_cast<std::size_t>(c % lanes)] *= value;
          maximum = std::max(maximum, value);
        }
        for (std::size_t width = static_cast<std::size_t>(lanes) / 2; width > 0; width /= 2) {
          for (std::size_t i = 0; i < width; ++i) {
            sum[i] += sum[i + width];
            product[i] *= product[i + width];
          }
        }
        EXPECT_EQ(sums[static_cast<std::size_t>(r)], sum[0]) << columns << " columns";
        EXPECT_EQ(products[static_cast<std::size_t>(r)], product[0]) << columns << " columns";
        EXPECT_EQ(largest[static_cast<std::size_t>(r)], maximum) << columns << " columns";
      }
    }
  }
}

void expect_product(std::int64_t m, std::int64_t n, std::int64_t k, const Target& target) {
  const int lanes = target.lanes(f32);
  const Var i = make_var("i", m), p = make_var("p", k);
  const Var j0 = make_var("j0", n), j1 = make_var("j1", n), j2 = make_var("j2", n);
  const Var i0 = make_var("i0", m), i2 = make_var("i2", m);
  const Reg acc = make_register("acc", RegisterKind::tile, lanes, {m}, n);
  Kernel kernel{.name = "matmul", .buffers = {array(m * k), array(k * n), result(m * n)}};
  Expr product = fma(load(0, f32, Index(i) * k + p), load(1, f32, Index(p) * n + j1), read(acc, {i, j1}));
  kernel.body = {
      loop(LoopKind::unrolled, i0,
           {vector_loop(j0, lanes, {write(acc, {i0, j0}, constant_expr(f32, 0))}, true)}),
      loop(LoopKind::serial, p,
           {loop(LoopKind::unrolled, i, {vector_loop(j1, lanes, {write(acc, {i, j1}, product)}, true)})}),
      loop(LoopKind::unrolled, i2,
           {vector_loop(j2, lanes, {store(2, Index(i2) * n + j2, read(acc, {i2, j2}))}, true)})};
  std::vector<float> a = numbers(static_cast<std::size_t>(m * k), 1),
                     b = numbers(static_cast<std::size_t>(k * n), 2);
  std::vector<float> c(static_cast<std::size_t>(m * n) + 16, 99);
  RunnableKernel run(kernel, target);
  run({a.data(), b.data(), c.data()});
  for (std::int64_t row = 0; row < m; ++row) {
    for (std::int64_t col = 0; col < n; ++col) {
      float sum = 0;
      for (std::int64_t q = 0; q < k; ++q) {
        const float x = a[static_cast<std::size_t>(row * k + q)],
                    y = b[static_cast<std::size_t>(q * n + col)];
        sum = target.has_fma ? std::fma(x, y, sum) : x * y + sum;
      }
      ASSERT_EQ(c[static_cast<std::size_t>(row * n + col)], sum) << m << " " << n << " " << k;
    }
  }
  EXPECT_EQ(c.back(), 99);
}

TEST(Emit, MatmulTileInRegisters) {
  for (const Target& target : targets()) {
    expect_product(6, 40, 9, target);
    expect_product(4, 16, 1, target);
    expect_product(1, 7, 30, target);
    expect_product(8, 48, 5, target);
  }
}

/// y[i] = b0[index] for an index in i, under a predicate
template <class T>
void check_load(std::int64_t n, std::int64_t source_size, DType dtype, const std::function<Index(Var)>& index,
                const std::function<std::int64_t(std::int64_t)>& expected) {
  for (const auto& [lanes, target] :
       {std::pair(1, targets().front()), std::pair(4, targets().back()), std::pair(16, Target::host())}) {
    const Var i = make_var("i", n);
    Kernel k{.name = "load", .buffers = {array(source_size, dtype), result(n, dtype)}};
    const Index at = index(i);
    k.body = {vector_loop(i, lanes, {store(1, i, load(0, dtype, at, in_range(at, 0, source_size)))})};
    std::vector<T> x(static_cast<std::size_t>(source_size)), y(static_cast<std::size_t>(n) + 8, T(77));
    for (std::size_t j = 0; j < x.size(); ++j) x[j] = static_cast<T>(j % 100 + 1);
    RunnableKernel run(k, target);
    run({x.data(), y.data()});
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t from = expected(j);
      const T wanted = from >= 0 && from < source_size ? x[static_cast<std::size_t>(from)] : T(0);
      ASSERT_EQ(y[static_cast<std::size_t>(j)], wanted) << "element " << j << ", " << lanes << " lanes\n"
                                                        << print(k);
    }
    for (std::size_t j = static_cast<std::size_t>(n); j < y.size(); ++j) EXPECT_EQ(y[j], T(77));
  }
}

template <class T>
void check_loads(DType dtype) {
  check_load<T>(37, 200, dtype, [](Var i) { return Index(i) * 3 + 2; }, [](auto i) { return 3 * i + 2; });
  check_load<T>(37, 37, dtype, [](Var i) { return Index(36) - Index(i); }, [](auto i) { return 36 - i; });
  check_load<T>(37, 30, dtype, [](Var i) { return Index(33) - Index(i); }, [](auto i) { return 33 - i; });
  check_load<T>(37, 13, dtype, [](Var i) { return floor_div(Index(i), 3); }, [](auto i) { return i / 3; });
  check_load<T>(37, 5, dtype, [](Var i) { return mod(Index(i), 5); }, [](auto i) { return i % 5; });
  check_load<T>(37, 20, dtype, [](Var i) { return Index(i) - 8; }, [](auto i) { return i - 8; });
  check_load<T>(
      37, 6, dtype, [](Var i) { return floor_div(Index(i) - 8, 4); },
      [](auto i) { return (i - 8 + 40) / 4 - 10; });
  check_load<T>(37, 1, dtype, [](Var) { return Index(0); }, [](auto) { return 0; });
  check_load<T>(37, 1, dtype, [](Var) { return Index(5); }, [](auto) { return 5; });
}

TEST(Emit, LoadsAtEveryKindOfAddress) {
  check_loads<float>(f32);
  check_loads<double>(DType::f64);
  check_loads<std::int32_t>(DType::i32);
  check_loads<std::int64_t>(DType::i64);
  check_loads<std::uint8_t>(DType::u8);
}

TEST(Emit, GatheredRows) {
  const std::int64_t rows = 9, columns = 21, picked = 5;
  const Var r = make_var("r", picked), c = make_var("c", columns);
  Kernel k{.name = "gather",
           .buffers = {array(rows * columns), array(picked, DType::i64), result(picked * columns)}};
  Block body;
  const Expr row = k.new_temporary(body, load(1, DType::i64, r));
  const Index from = Index::from_value(row, 0, rows);
  body.push_back(vector_loop(c, 16, {store(2, Index(r) * columns + c, load(0, f32, from * columns + c))}));
  k.body = {loop(LoopKind::parallel, r, body)};
  std::vector<float> x = numbers(static_cast<std::size_t>(rows * columns)),
                     y(static_cast<std::size_t>(picked * columns));
  std::vector<std::int64_t> index = {8, 0, 3, 3, 7};
  RunnableKernel run(k);
  run({x.data(), index.data(), y.data()}, 3);
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(y[i], x[static_cast<std::size_t>(index[i / 21]) * 21 + i % 21]);
  }
}

TEST(Emit, ValueIndexInLanesGathersAndScatters) {
  const std::int64_t n = 37;
  const Var i = make_var("i", n);
  Kernel k{.name = "permute", .buffers = {array(n), array(n, DType::i32), result(n), result(n)}};
  const Index at = Index::from_value(load(1, DType::i32, i), 0, n);
  k.body = {vector_loop(i, 16, {store(2, i, load(0, f32, at)), store(3, at, load(0, f32, i))})};
  std::vector<float> x = numbers(37), y(37), z(37);
  std::vector<std::int32_t> order(37);
  for (int j = 0; j < 37; ++j) order[static_cast<std::size_t>(j)] = (j * 10 + 3) % 37;
  RunnableKernel run(k);
  run({x.data(), order.data(), y.data(), z.data()});
  for (std::size_t j = 0; j < 37; ++j) {
    ASSERT_EQ(y[j], x[static_cast<std::size_t>(order[j])]);
    ASSERT_EQ(z[static_cast<std::size_t>(order[j])], x[j]);
  }
}

TEST(Emit, PredicatedStoresAndBranches) {
  const std::int64_t n = 37;
  const Var i = make_var("i", n), j = make_var("j", n);
  Kernel k{.name = "where", .buffers = {array(n), result(n), result(n)}};
  const Expr positive = compare_expr("gt", load(0, f32, i), constant_expr(f32, 0));
  const Expr same = compare_expr("gt", load(0, f32, j), constant_expr(f32, 0));
  k.body = {vector_loop(i, 16, {store(1, i, load(0, f32, i), positive)}),
            loop(LoopKind::serial, j,
                 {branch(same, {store(2, j, constant_expr(f32, 1))}, {store(2, j, constant_expr(f32, -1))}),
                  store(2, j, constant_expr(f32, 5), less(j, Index(3)))})};
  std::vector<float> x = numbers(37), y(37, 99), z(37, 99);
  RunnableKernel run(k);
  run({x.data(), y.data(), z.data()});
  for (std::size_t e = 0; e < 37; ++e) {
    ASSERT_EQ(y[e], x[e] > 0 ? x[e] : 99);
    ASSERT_EQ(z[e], e < 3 ? 5 : x[e] > 0 ? 1 : -1);
  }
}

TEST(Emit, LastElementOfAPageIsReadAndNothingBehindIt) {
  // Buffers that end where memory ends: a load or store outside them would crash.
  const long page = 4096;
  for (std::int64_t n : {1, 5, 16, 17, 37}) {
    auto* memory = static_cast<char*>(guarded_pages(page));
    float* x = reinterpret_cast<float*>(memory + page) - n;
    for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(i);
    std::vector<float> y(64, 99);
    RunnableKernel forward(map_kernel(n, 16));
    forward({x, y.data()});
    for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(y[static_cast<std::size_t>(i)], 3 * static_cast<float>(i));
    const Var i = make_var("i", n + 40);
    Kernel k{.name = "padded", .buffers = {array(n), result(n + 40)}};
    const Index at = Index(i) - 20;
    k.body = {vector_loop(i, 16, {store(1, i, load(0, f32, at, in_range(at, 0, n)))})};
    std::vector<float> padded(static_cast<std::size_t>(n) + 40, 99);
    RunnableKernel pad(k);
    pad({x, padded.data()});
    for (std::int64_t e = 0; e < n + 40; ++e) {
      EXPECT_EQ(padded[static_cast<std::size_t>(e)], e >= 20 && e < n + 20 ? static_cast<float>(e - 20) : 0);
    }
    release_pages(memory, page);
  }
}

TEST(Emit, VectorLoopOfOneIterationStoresItsOneLane) {
  // Its variable is the constant 0, so that the address is the same in all lanes.
  const Var i = make_var("i", 1);
  const Reg acc = make_register("acc", RegisterKind::tile, 16, {}, 1);
  Kernel k{.name = "one", .buffers = {array(1), result(1), result(1)}};
  const Expr value = apply(Op::add, {read(acc, {i}), load(0, f32, i)});
  k.body = {vector_loop(i, 16,
                        {write(acc, {i}, constant_expr(f32, 3)), store(1, i, value),
                         store(2, i, value, compare_expr("gt", read(acc, {i}), constant_expr(f32, 5)))},
                        true)};
  float x = 4, y[2] = {99, 99}, z = 99;
  RunnableKernel run(k);
  run({&x, y, &z});
  EXPECT_EQ(y[0], 7);
  EXPECT_EQ(y[1], 99);
  EXPECT_EQ(z, 99);
}

TEST(Emit, EqualKernelsAreCompiledOnce) {
  const Kernel a = map_kernel(33, 16);
  Kernel b = map_kernel(33, 16);
  b.name = "another";
  const RunnableKernel first(a), second(b), third(map_kernel(34, 16));
  EXPECT_EQ(first.object(), second.object());
  EXPECT_NE(first.object(), third.object());
  const std::vector<Kernel> both = {a, map_kernel(35, 16), b};
  const auto code = compile_kernels(both, Target::host());
  EXPECT_EQ(code[0].get(), first.object());
  EXPECT_EQ(code[0], code[2]);
  EXPECT_NE(code[0], code[1]);
}

// LLVM's passes are set up once for many modules: nothing of one may show in the next.
TEST(Emit, AnObjectDoesNotDependOnThoseMadeBefore) {
  const std::int64_t large = 200;  // that of so many instructions goes through other passes
  const auto object_of = [&](ObjectMaker& maker, std::int64_t n) {
    Kernel kernel = map_kernel(n, 16);
    if (n == large) {
      const Var i = make_var("i", n);
      kernel.body = {
          loop(LoopKind::unrolled, i, {store(1, i, apply(Op::mul, {load(0, f32, i), load(0, f32, 0)}))})};
    }
    const auto module = emit_kernel(kernel, Target::host(), "map", maker.context());
    maker.optimize(*module);
    return maker.make_object(*module);
  };
  ObjectMaker one(Target::host());
  std::vector<std::string> objects;
  for (const std::int64_t n : std::vector<std::int64_t>{40, 41, large, 1000, large, 40}) {
    ObjectMaker fresh(Target::host());
    objects.push_back(object_of(one, n));
    EXPECT_EQ(objects.back(), object_of(fresh, n)) << n;
  }
  EXPECT_EQ(objects[0], objects[5]);
  EXPECT_EQ(objects[2], objects[4]);
  EXPECT_NE(objects[0], objects[1]);
}

TEST(Emit, BrokenFormsAreInternalErrors) {
  const Var i = make_var("i", 20);
  Kernel k{.name = "all_lanes_store", .buffers = {array(20), result(1)}};
  k.body = {vector_loop(i, 16, {store(1, 0, load(0, f32, i))})};
  EXPECT_THROW(RunnableKernel{k}, InternalError);
  const Reg r = make_register("r", RegisterKind::scalar, 1);
  k.body = {vector_loop(i, 16, {write(r, {}, load(0, f32, i))})};
  EXPECT_THROW(RunnableKernel{k}, InternalError);
}

TEST(EmitDeathTest, AddressSanitizerSeesGeneratedCode) {
  if (!built_with_address_sanitizer) GTEST_SKIP() << "built without -fsanitize=address";
  const Var i = make_var("i", 40);
  Kernel k{.name = "outside", .buffers = {array(40), result(40)}};
  k.body = {vector_loop(i, 16, {store(1, i, load(0, f32, i))})};
  const RunnableKernel run(k);
  std::vector<float> enough(40), short_by_one(39);
  run({enough.data(), enough.data()});
  EXPECT_DEATH(run({short_by_one.data(), enough.data()}), "heap-buffer-overflow");
  EXPECT_DEATH(run({enough.data(), short_by_one.data()}), "heap-buffer-overflow");
}

}  // namespace
}  // namespace kiln::codegen
