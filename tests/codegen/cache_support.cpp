#include "tests/codegen/cache_support.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "codegen/program_cache.h"
#include "codegen/target.h"
#include "kiln/graph/ops.h"

namespace kiln::codegen {
namespace {
constexpr std::int64_t rows = 6, features = 5, classes = 3;
}

void CacheTest::SetUp() {
  setenv("KILN_CACHE", folder().c_str(), 1);
}

void CacheTest::TearDown() {
  unsetenv("KILN_CACHE");
  unsetenv("KILN_CACHE_SIZE");
}

std::vector<std::string> CacheTest::entries() const {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder(), error))
    paths.push_back(entry.path().string());
  return paths;
}

bool CacheTest::in_cache(const graph::Graph& graph) {
  const auto cache = ProgramCache::of(graph, {}, Target::host());
  return cache && cache->find() != nullptr;
}

graph::Graph step_graph(double first) {
  graph::Graph g("step");
  const graph::Value x = g.input("x", {DType::f32, Shape{rows, features}});
  const graph::Value labels = g.input("labels", {DType::i32, Shape{rows}});
  const graph::Value w = g.state("w", {DType::f32, Shape{features, classes}});
  const graph::LabelScope label(g, "layer");
  check(compare(labels, scalar(labels, classes), "lt"), convert(labels, DType::f32),
        "label {value} in row {row} is out of range");
  const graph::Value table = constant(g, Tensor({static_cast<float>(first), 1.5f, -2.f}));
  const graph::Value y = tanh(matmul(x, w) * table);
  const graph::Value z = y - reduce_max(y, {1}, true);
  g.update(w, w - matmul(transpose(x, {1, 0}), z));
  g.output("sums", reduce_sum(z, {1}));
  return g;
}

std::vector<float> run(const std::shared_ptr<const runtime::Program>& program, int label) {
  Tensor x = Tensor::zeros({rows, features}), w = Tensor::zeros({features, classes}),
         sums = Tensor::zeros({rows});
  for (std::int64_t i = 0; i < x.size(); i++) x.data<float>()[i] = static_cast<float>(i % 7) / 3 - 1;
  for (std::int64_t i = 0; i < w.size(); i++) w.data<float>()[i] = static_cast<float>(i % 5) / 4;
  Tensor labels = Tensor::full({rows}, 1, DType::i32);
  labels.data<std::int32_t>()[2] = label;
  const std::vector<Tensor> inputs = {x, labels};
  std::vector<Tensor> states = {w}, outputs = {sums};
  runtime::Executable(program).run(inputs, states, outputs);
  std::vector<float> result = sums.to_vector<float>();
  for (const float value : w.to_vector<float>()) result.push_back(value);
  return result;
}

pid_t start_child(const std::function<void()>& f) {
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(60);
  f();
  _exit(::testing::Test::HasFailure() ? 1 : 0);
}

bool ended_well(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace kiln::codegen
