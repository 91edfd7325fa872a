#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/op_def.h"
#include "tests/support/random_graph.h"

namespace kiln::graph {
namespace {

// What is worth telling apart in a list of numbers.
void list_features(const Ints& v, const std::string& name, std::set<std::string>& found) {
  if (v.empty()) found.insert(name + "=[]");
  if (v.size() > 1) found.insert(name + " of several");
  for (std::int64_t n : v) {
    if (n > 0) found.insert(name + ">0");
    if (n > 1) found.insert(name + ">1");
  }
  if (!std::is_sorted(v.begin(), v.end())) found.insert(name + " unsorted");
}

struct AttributeFeatures {
  const Node& node;
  const std::string name;
  std::set<std::string>& found;

  void operator()(std::int64_t v) const {
    if (name.ends_with(".axis") && !node.operands.empty()) {
      const int rank = node.operand(0).rank();
      found.insert(name + (v == rank - 1 ? "=last" : v == 0 ? "=first" : "=middle"));
    } else {
      found.insert(name + (v > 1 ? ">1" : fmt::format("={}", v)));
    }
  }
  void operator()(bool v) const { found.insert(name + (v ? "=true" : "=false")); }
  void operator()(const std::string& v) const {
    if (node.op == Op::compare) found.insert(name + "=" + v);
  }
  void operator()(const Ints& v) const { list_features(v, name, found); }
  void operator()(DType) const {}
  void operator()(double) const {}
  void operator()(const Tensor&) const {}
};

std::set<std::string> features(const Graph& graph) {
  std::set<std::string> found;
  for (const Node& node : graph.nodes()) {
    const std::string op(op_name(node.op));
    found.insert(op);
    if (!node.operands.empty()) found.insert(fmt::format("{}:{}", op, short_name(node.operand(0).dtype())));
    for (const auto& [name, value] : node.attributes)
      std::visit(AttributeFeatures{node, op + "." + name, found}, value);
    if (node.op == Op::convert)
      found.insert(
          fmt::format("convert:{}->{}", short_name(node.operand(0).dtype()), short_name(node.type().dtype)));
    if (node.op == Op::concatenate)
      for (Value v : node.operands)
        if (v.node->op == Op::conv || v.node->op == Op::dot) found.insert("concatenate of products");
    if (node.op == Op::conv || node.op == Op::conv_input_grad || node.op == Op::conv_kernel_grad)
      found.insert(fmt::format("{}.axes={}", op, node.operand(0).rank() - 2));
    for (const Type& t : node.results) {
      found.insert(fmt::format("rank={}", t.shape.rank()));
      for (std::int64_t n : t.shape) found.insert(n > 1000 ? "size>1000" : fmt::format("size={}", n));
    }
  }
  for (const StateSlot& slot : graph.states()) {
    found.insert(slot.next ? "state updated" : "state kept");
    if (slot.next && slot.next.node->op == Op::state) found.insert("state takes another's value");
  }
  return found;
}

// Types that an op must have been generated for, by kind of op.
std::vector<std::string> required() {
  std::vector<std::string> all;
  for (int i = 0; i < op_count; i++) {
    const Op op = static_cast<Op>(i);
    // Made by the compiler, of products and convolutions.
    if (op != Op::dot_panels && op != Op::winograd_conv && op != Op::winograd_kernel_grad &&
        op != Op::conv_kernel_sums && op != Op::conv_batch_last)
      all.emplace_back(op_name(op));
  }
  const auto typed = [&](std::initializer_list<const char*> ops, std::initializer_list<const char*> types) {
    for (const char* op : ops)
      for (const char* type : types) all.push_back(fmt::format("{}:{}", op, type));
  };
  const auto with = [&](std::initializer_list<const char*> ops, std::initializer_list<const char*> tails) {
    for (const char* op : ops)
      for (const char* tail : tails) all.push_back(fmt::format("{}.{}", op, tail));
  };
  typed({"exp",
         "expm1",
         "log",
         "log1p",
         "sqrt",
         "rsqrt",
         "tanh",
         "sigmoid",
         "erf",
         "sin",
         "cos",
         "floor",
         "ceil",
         "round",
         "is_finite",
         "pow",
         "dot",
         "conv",
         "conv_input_grad",
         "conv_kernel_grad"},
        {"f32", "f64"});
  typed({"neg",           "abs",         "sign",        "add",        "sub",        "mul",
         "div",           "rem",         "maximum",     "minimum",    "reduce_sum", "reduce_max",
         "reduce_min",    "reduce_prod", "argmax",      "cumsum",     "window_sum", "window_max",
         "window_argmax", "gather",      "scatter_add", "take_along", "put_along"},
        {"f32", "f64", "i32", "i64", "u8"});
  typed({"stop_gradient", "broadcast", "reshape", "transpose", "slice", "pad", "concatenate", "reverse",
         "dynamic_slice", "dynamic_update_slice", "compare", "sort", "top_k"},
        {"f32", "f64", "i32", "i64", "u8", "bool"});
  typed({"bit_and", "bit_or", "bit_xor"}, {"i32", "i64", "u8", "bool"});
  typed({"shift_left", "shift_right"}, {"i32", "i64", "u8"});
  for (const char* from : {"f32", "f64", "i32", "i64", "u8", "bool"})
    for (const char* to : {"f32", "f64", "i32", "i64", "u8", "bool"})
      if (std::string(from) != to) all.push_back(fmt::format("convert:{}->{}", from, to));
  with({"compare"},
       {"direction=eq", "direction=ne", "direction=lt", "direction=le", "direction=gt", "direction=ge"});
  with({"slice"}, {"start>0", "stride>1"});
  with({"pad"}, {"low>0", "high>0", "interior>0"});
  with({"concatenate", "cumsum", "sort", "gather", "scatter_add", "take_along", "put_along", "argmax"},
       {"axis=first", "axis=middle", "axis=last"});
  with({"reverse"}, {"axes=[]", "axes of several"});
  with({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}, {"axes>0", "axes>1", "axes of several"});
  with({"cumsum"}, {"exclusive=true", "exclusive=false", "reverse=true", "reverse=false"});
  with({"sort"}, {"descending=true", "descending=false"});
  with({"transpose"}, {"permutation unsorted"});
  with({"dot"}, {"lhs_batch=[]", "lhs_contract=[]", "lhs_batch of several", "lhs_contract of several",
                 "rhs_batch>0", "rhs_contract>0", "rhs_contract unsorted"});
  with({"conv", "conv_input_grad", "conv_kernel_grad"},
       {"strides>1", "dilation>1", "low>0", "high>0", "groups=1", "groups>1", "axes=1", "axes=2", "axes=3"});
  with({"window_sum", "window_sum_grad", "window_max", "window_argmax", "window_max_grad", "window_max_pick"},
       {"window>1", "strides>1", "low>0", "high>0"});
  for (int n : {1, 2, 3, 5, 7, 13, 15, 16, 17, 31, 33, 67, 130, 257})
    all.push_back(fmt::format("size={}", n));
  for (int n : {0, 1, 2, 3, 4, 5}) all.push_back(fmt::format("rank={}", n));
  for (const char* f :
       {"concatenate of products", "size>1000", "state updated", "state kept", "state takes another's value"})
    all.emplace_back(f);
  return all;
}

}  // namespace

void Coverage::count(const Graph& graph) {
  for (const std::string& feature : features(graph)) counts_[feature]++;
}

int Coverage::operator[](const std::string& feature) const {
  const auto found = counts_.find(feature);
  return found == counts_.end() ? 0 : found->second;
}

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> lacking;
  for (const std::string& feature : required())
    if ((*this)[feature] == 0) lacking.push_back(feature);
  return lacking;
}

}  // namespace kiln::graph
