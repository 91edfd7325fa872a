#include "codegen/lowering.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "codegen/cost.h"
#include "codegen/tiling.h"
#include "graph/elemental.h"

namespace kiln::codegen {

Index row_major(const Indices& index, std::span<const std::int64_t> shape) {
  Index position(0);
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    position = position + index[i] * stride;
    stride *= shape[i];
  }
  return position;
}

Index position_at(const graph::Location& location, const Indices& index,
                  std::span<const std::int64_t> shape) {
  if (!location.part) return row_major(index, shape);
  Indices in_whole;
  for (std::size_t i = 0; i < index.size(); i++) in_whole.push_back(index[i] + location.part->start[i]);
  return row_major(in_whole, location.part->whole.shape().sizes());
}

Indices unflatten(const Index& position, std::span<const std::int64_t> shape) {
  Indices index(shape.size(), Index(0));
  if (product(shape) == 0) return index;  // no position has an element; zeros are as good as any
  Index rest = position;
  for (std::size_t i = shape.size(); i-- > 1;) {
    index[i] = mod(rest, shape[i]);
    rest = floor_div(rest, shape[i]);
  }
  if (!shape.empty()) index[0] = shape[0] == 1 ? Index(0) : rest;
  return index;
}

std::int64_t product(std::span<const std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

namespace {

bool same(const Indices& a, const Indices& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Index& x, const Index& y) { return codegen::same(x, y); });
}

DType wider(DType a, DType b) {
  return size_of(b) > size_of(a) ? b : a;
}

/// The type that decides how many lanes a vector has. With a root: the one that it works in, whatever is
/// fused with it, for the lanes decide the order of a sum, and what is fused may hang on the number of rows.
/// Else the widest that is computed with; values of a few elements (keys, starting places) don't count.
DType working_type(const Group& group) {
  if (group.root != nullptr) {
    DType widest = group.root->operands.empty() ? DType::bool_ : group.root->operand(0).dtype();
    for (const graph::Type& type : group.root->results) widest = wider(widest, type.dtype);
    for (const Node* sibling : group.siblings) widest = wider(widest, sibling->type().dtype);
    return widest;
  }
  DType widest = DType::bool_;
  for (const Node* node : group.nodes)
    for (const graph::Type& type : node->results)
      if (type.shape.elements() > 2) widest = wider(widest, type.dtype);
  return widest;
}

double bytes_of(Value v) {
  return static_cast<double>(v.shape().elements()) * static_cast<double>(size_of(v.dtype()));
}

bool same_place(const graph::Location& a, const graph::Location& b) {
  return a.space == b.space && a.index == b.index && a.offset == b.offset;
}

}  // namespace

Lowering::Lowering(const graph::ScheduledGroup& scheduled, const Target& target, int check_index, int way)
    : scheduled_(&scheduled), target_(&target), check_index_(check_index), way_(way) {
  kernel_.name = group().name;
  set_lanes(working_type(group()));
  for (const Node* node : group().nodes)
    for (const Value& v : node->operands) uses_[{v.node, v.result}]++;
  for (const Value& v : group().outputs) uses_[{v.node, v.result}]++;
  scopes_.emplace_back();
}

// ---- parameters
// ---------------------------------------------------------------------------------------------

int Lowering::buffer_at(const graph::Location& location, Value v, Argument argument) {
  const DType dtype = v.dtype();
  const std::int64_t elements = (location.part ? location.part->whole : v).shape().elements();
  bool shared = false;
  for (std::size_t i = 0; i < arguments_.size(); i++) {
    const bool array =
        arguments_[i].kind == Argument::Kind::input || arguments_[i].kind == Argument::Kind::output;
    if (!array || !same_place(locations_[i], location)) continue;
    if (kernel_.buffers[i].dtype == dtype) {
      kernel_.buffers[i].elements = std::max(kernel_.buffers[i].elements, elements);
      return static_cast<int>(i);
    }
    kernel_.buffers[i].may_alias = shared = true;
  }
  kernel_.buffers.push_back({dtype, elements, false, shared});
  arguments_.push_back(argument);
  locations_.push_back(location);
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

int Lowering::number_of_input(Value v) const {
  const auto at = std::find(group().inputs.begin(), group().inputs.end(), v);
  if (at == group().inputs.end())
    throw InternalError(fmt::format("{}: {} is neither computed nor an input", group().name, print(*v.node)));
  return static_cast<int>(at - group().inputs.begin());
}

Expr Lowering::load_input(int i, const Index& position, const Expr& predicate) {
  const Value v = group().inputs[static_cast<std::size_t>(i)];
  const int buffer =
      buffer_at(scheduled_->input_locations[static_cast<std::size_t>(i)], v, {Argument::Kind::input, i});
  return load(buffer, v.dtype(), position, predicate);
}

Expr Lowering::load_array(Value v, const Indices& index, const Expr& predicate) {
  const int i = number_of_input(v);
  const graph::Location& location = scheduled_->input_locations[static_cast<std::size_t>(i)];
  return load_input(i, position_at(location, index, v.shape().sizes()), predicate);
}

Expr Lowering::load_array(Value v, const Index& position, const Expr& predicate) {
  const int i = number_of_input(v);
  const graph::Location& location = scheduled_->input_locations[static_cast<std::size_t>(i)];
  if (!location.part) return load_input(i, position, predicate);
  return load_array(v, unflatten(position, v.shape().sizes()), predicate);
}

int Lowering::output_buffer(int i) {
  const Value v = group().outputs[static_cast<std::size_t>(i)];
  const int buffer =
      buffer_at(scheduled_->output_locations[static_cast<std::size_t>(i)], v, {Argument::Kind::output, i});
  kernel_.buffers[static_cast<std::size_t>(buffer)].written = true;
  return buffer;
}

bool Lowering::is_private_output(int i) const {
  const graph::Location& output = scheduled_->output_locations[static_cast<std::size_t>(i)];
  return std::none_of(scheduled_->input_locations.begin(), scheduled_->input_locations.end(),
                      [&](const graph::Location& input) { return same_place(input, output); });
}

int Lowering::private_output(DType dtype) const {
  for (int i = 0; i < static_cast<int>(group().outputs.size()); i++)
    if (is_private_output(i) && group().outputs[static_cast<std::size_t>(i)].dtype() == dtype) return i;
  return -1;
}

Index Lowering::output_position(int i, const Indices& index) const {
  return position_at(scheduled_->output_locations[static_cast<std::size_t>(i)], index,
                     group().outputs[static_cast<std::size_t>(i)].shape().sizes());
}

int Lowering::error_buffer(DType dtype) {
  for (std::size_t i = 0; i < arguments_.size(); i++)
    if (arguments_[i].kind == Argument::Kind::error && kernel_.buffers[i].dtype == dtype)
      return static_cast<int>(i);
  // ErrorRecord: check, row, value, of eight bytes each.
  kernel_.buffers.push_back({dtype, 3, true, true});
  arguments_.push_back({Argument::Kind::error, 0});
  locations_.emplace_back();
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

int Lowering::scratch_buffer(DType dtype, std::int64_t elements) {
  constexpr std::int64_t alignment = 64;
  BufferParam param{dtype, elements, true};
  param.scratch = kernel_.scratch_stride;
  const std::int64_t bytes = elements * static_cast<std::int64_t>(size_of(dtype));
  kernel_.scratch_stride += (bytes + alignment - 1) / alignment * alignment;
  kernel_.buffers.push_back(param);
  arguments_.push_back({Argument::Kind::scratch, 0});
  locations_.emplace_back();
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

// ---- elements
// -----------------------------------------------------------------------------------------------

int Lowering::uses(Value v) const {
  const auto at = uses_.find({v.node, v.result});
  return at == uses_.end() ? 0 : at->second;
}

void Lowering::bind(Value v, Expr element) {
  scopes_.back().known.push_back({v, true, {}, nullptr, std::move(element)});
}

void Lowering::know(Value v, const Indices& index, Expr element) {
  scopes_.back().known.push_back({v, false, index, nullptr, std::move(element)});
}

Expr Lowering::find(Value v, const Indices& index, const Expr& predicate) const {
  for (std::size_t s = scopes_.size(); s-- > 0;) {
    for (const Known& k : scopes_[s].known) {
      if (k.value != v) continue;
      // An element read without a condition serves under any.
      if (k.anywhere || (same(k.index, index) && (!k.predicate || k.predicate == predicate)))
        return k.element;
    }
  }
  return nullptr;
}

Expr Lowering::compute(Value v, const Indices& index, const Expr& predicate) {
  const Node& node = *v.node;
  if (graph::is_immediate(node)) {
    const Tensor& value = node.attributes.tensor("value");
    return visit(value.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T element = *value.data<T>();
      if constexpr (std::is_floating_point_v<T>) return constant_expr(value.dtype(), element);
      return integer_expr(value.dtype(), static_cast<std::int64_t>(element));
    });
  }
  if (std::find(group().inputs.begin(), group().inputs.end(), v) != group().inputs.end())
    return load_array(v, index, predicate);
  const auto rule = lowering_of(node.op).element;
  if (!rule || std::find(group().nodes.begin(), group().nodes.end(), &node) == group().nodes.end())
    throw InternalError(fmt::format("{}: no way to compute an element of {}", group().name, print(node)));
  return rule(*this, node, index, predicate);
}

Expr Lowering::at(Value v, const Indices& index, const Expr& predicate) {
  if (Expr known = find(v, index, predicate)) return known;
  Expr element = compute(v, index, predicate);
  if (uses(v) > 1 && element->kind != ExprKind::constant && element->kind != ExprKind::temporary) {
    element = let(std::move(element));
    scopes_.back().known.push_back({v, false, index, predicate, element});
  }
  return element;
}

Expr Lowering::operand(const Node& node, int i, const Indices& index, const Expr& predicate) {
  const Value v = node.operand(i);
  if (graph::reads_array(node, i) && !graph::is_immediate(*v.node)) return load_array(v, index, predicate);
  return at(v, index, predicate);
}

void Lowering::store_outputs(const Indices& index, const Expr& predicate) {
  std::vector<Expr> elements;
  for (const Value& v : group().outputs) {
    Expr element = at(v, index, predicate);
    if (group().outputs.size() > 1 && element->kind != ExprKind::temporary) element = let(std::move(element));
    elements.push_back(std::move(element));
  }
  for (std::size_t i = 0; i < elements.size(); i++)
    add(store(output_buffer(static_cast<int>(i)), output_position(static_cast<int>(i), index),
              std::move(elements[i]), predicate));
}

void Lowering::narrow_lanes(std::int64_t extent) {
  while (lanes_ > 1 && lanes_ / 2 >= extent) lanes_ /= 2;
}

// ---- statements
// ---------------------------------------------------------------------------------------------

Var Lowering::fresh(const std::string& name, std::int64_t extent) {
  const int count = names_[name]++;
  return make_var(count == 0 ? name : fmt::format("{}_{}", name, count), extent);
}

Block Lowering::scope(const std::function<void()>& fill) {
  scopes_.emplace_back();
  fill();
  Block block = std::move(scopes_.back().block);
  scopes_.pop_back();
  return block;
}

void Lowering::isolated(const std::function<void()>& body) {
  for (Stmt& statement : scope(body)) add(std::move(statement));
}

Block Lowering::probe(const std::function<void(Lowering&)>& body) const {
  Lowering copy = *this;
  return copy.scope([&] { body(copy); });
}

Expr Lowering::let(Expr value) {
  if (value->kind == ExprKind::temporary || value->kind == ExprKind::constant) return value;
  return kernel_.new_temporary(scopes_.back().block, std::move(value));
}

namespace {

/// How many quotients and remainders lie within one another.
int depth(const Index& index) {
  int deepest = 0;
  for (const Index& operand : index->operands) deepest = std::max(deepest, depth(operand));
  const bool divides = index->kind == IndexKind::floor_div || index->kind == IndexKind::mod;
  return deepest + (divides ? 1 : 0);
}

}  // namespace

Index Lowering::let_if_deep(const Index& index) {
  constexpr int deepest = 4;  // what is less deep may still cancel out
  if (depth(index) <= deepest) return index;
  return Index::from_value(let(index_expr(index, address_type())), index->low, index->high);
}

void Lowering::serial(const std::string& name, std::int64_t extent, const Body& body) {
  if (extent == 0) return;
  if (extent == 1) return body(Index(0));
  const Var var = fresh(name, extent);
  add(loop(LoopKind::serial, var, scope([&] { body(Index(var)); })));
}

void Lowering::unrolled(const std::string& name, std::int64_t extent, const Body& body) {
  if (extent == 0) return;
  if (extent == 1) return body(Index(0));
  const Var var = fresh(name, extent);
  add(loop(LoopKind::unrolled, var, scope([&] { body(Index(var)); })));
}

void Lowering::vector(const std::string& name, std::int64_t extent, const Body& body, bool unroll) {
  if (extent == 0) return;
  const Var var = fresh(name, extent);
  add(vector_loop(var, lanes_, scope([&] { body(Index(var)); }), unroll));
}

void Lowering::nest(const std::string& name, std::span<const std::int64_t> extents, bool unroll,
                    const std::function<void(const Indices&)>& body) {
  Indices index;
  const std::function<void(std::size_t)> level = [&](std::size_t axis) {
    if (axis == extents.size()) return body(index);
    const Body inner = [&](const Index& i) {
      index.push_back(i);
      level(axis + 1);
      index.pop_back();
    };
    if (unroll)
      unrolled(name, extents[axis], inner);
    else
      serial(name, extents[axis], inner);
  };
  level(0);
}

void Lowering::when(Expr condition, const std::function<void()>& then,
                    const std::function<void()>& otherwise) {
  if (!condition) return then();
  if (condition->kind == ExprKind::constant) {
    if (condition->integer != 0) return then();
    if (otherwise) otherwise();
    return;
  }
  Block first = scope(then);
  Block second = otherwise ? scope(otherwise) : Block{};
  add(branch(std::move(condition), std::move(first), std::move(second)));
}

void Lowering::tiles(std::span<const std::int64_t> extents, double work,
                     const std::function<void(const Indices&)>& body) {
  tiles_in_passes(extents, work, 1, most_tiles, [&](const Indices& point, const Index&) { body(point); });
}

void Lowering::tiles_in_passes(std::span<const std::int64_t> extents, double work, std::int64_t passes,
                               double most,
                               const std::function<void(const Indices&, const Index& pass)>& body) {
  if (product(extents) == 0) return;
  const Tiling tiling = tile_box(extents, work, *target_, most);
  if (tiling.tiles == 1) {
    serial("pass", passes, [&](const Index& pass) {
      nest("i", extents, false, [&](const Indices& point) { body(point, pass); });
    });
    return;
  }

  const auto axis = static_cast<std::size_t>(tiling.axis);
  const std::int64_t extent = extents[axis];
  std::vector<std::int64_t> outer(extents.begin(), extents.begin() + tiling.axis);
  outer.push_back((extent + tiling.block - 1) / tiling.block);
  const std::span<const std::int64_t> inner = extents.subspan(axis + 1);

  const Var tile = fresh("t", tiling.tiles);
  const Indices first = unflatten(Index(tile), outer);
  const auto in_tile = [&](const Index& pass) {
    serial("i", tiling.block, [&](const Index& i) {
      const Index here = first.back() * tiling.block + i;
      when(in_range(here, 0, extent), [&] {
        nest("i", inner, false, [&](const Indices& rest) {
          Indices point(first.begin(), first.end() - 1);
          point.push_back(here);
          point.insert(point.end(), rest.begin(), rest.end());
          body(point, pass);
        });
      });
    });
  };
  add(loop(LoopKind::parallel, tile, scope([&] { serial("pass", passes, in_tile); })));
}

void Lowering::part(const Index& number, std::int64_t extent, std::int64_t width,
                    const std::function<void(const Index&, std::int64_t)>& body) {
  const std::int64_t whole = extent / width, rest = extent % width;
  if (whole == 0) return body(Index(0), rest);
  if (rest == 0) return body(number * width, width);
  when(
      less(number, Index(whole)), [&] { body(number * width, width); },
      [&] { body(Index(whole * width), rest); });
}

void Lowering::even_part(const Index& number, std::int64_t extent, std::int64_t most, std::int64_t unit,
                         const std::function<void(const Index&, std::int64_t)>& body) {
  const EvenParts parts(extent / unit, most / unit);
  if (parts.count == 1) return body(Index(0), extent);
  const auto smaller = [&] { body((number * parts.size + parts.larger) * unit, parts.size * unit); };
  if (parts.larger == 0) return smaller();
  when(
      less(number, Index(parts.larger)),
      [&] { body(number * ((parts.size + 1) * unit), (parts.size + 1) * unit); }, smaller);
}

Reg Lowering::make_register(std::string name, DType dtype, RegisterKind kind, std::vector<std::int64_t> dims,
                            std::int64_t extent) {
  const int count = names_[name]++;
  Register reg;
  reg.name = count == 0 ? std::move(name) : fmt::format("{}_{}", name, count);
  reg.dtype = dtype;
  reg.kind = kind;
  reg.dims = std::move(dims);
  reg.extent = extent;
  reg.lane_count = kind == RegisterKind::scalar ? 0 : lanes_;
  return std::make_shared<const Register>(std::move(reg));
}

LoweredGroup Lowering::finish() && {
  LoweredGroup result;
  kernel_.body = std::move(scopes_.front().block);
  result.kernel = std::move(kernel_);
  result.arguments = std::move(arguments_);
  result.ways = ways_;
  result.flops = count_flops(result.kernel);
  for (const Argument& argument : result.arguments) {
    const auto i = static_cast<std::size_t>(argument.index);
    if (argument.kind == Argument::Kind::input) result.bytes += bytes_of(group().inputs[i]);
    if (argument.kind == Argument::Kind::output) result.bytes += bytes_of(group().outputs[i]);
  }
  return result;
}

}  // namespace kiln::codegen
