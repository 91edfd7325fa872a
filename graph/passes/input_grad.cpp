#include "graph/passes/input_grad.h"

#include <algorithm>
#include <numeric>

#include "graph/ops/conv.h"
#include "graph/passes/arrange.h"

namespace kiln::graph {
namespace {

/// The kernel (spatial..., C / groups, F) for the way back: reversed in space, and for each group channels
/// and filters exchanged: (spatial..., F / groups, C).
Value reversed_kernel(Value kernel, std::int64_t groups) {
  const int axes = kernel.rank() - 2;
  Ints spatial(at(axes));
  std::iota(spatial.begin(), spatial.end(), 0);
  const Shape space = kernel.shape().slice(0, axes);
  const std::int64_t channels = kernel.shape().dim(-2), filters = kernel.shape().dim(-1) / groups;
  if (std::any_of(space.begin(), space.end(), [](std::int64_t n) { return n > 1; }))
    kernel = reverse(kernel, spatial);
  // (spatial, channel, group, filter) -> (spatial, filter, group, channel)
  const auto grouped = [&](std::int64_t first, std::int64_t last) {
    return Shape(joined(space.sizes(), groups == 1 ? Ints{first, last} : Ints{first, groups, last}));
  };
  const Ints exchanged = groups == 1 ? Ints{axes + 1, axes} : Ints{axes + 2, axes + 1, axes};
  kernel = arranged(reshaped(kernel, grouped(channels, filters)), joined(spatial, exchanged),
                    grouped(filters, channels));
  return reshaped(kernel, Shape(joined(space.sizes(), {filters, groups * channels})));
}

// ---- without strides, or with dilation --------------------------------------------------------------------

// dx[i] = sum of dy[o] k[t] over all o stride + t dilation - low = i: a convolution with the reversed kernel
// over dy with stride - 1 zeros between its elements. In front go extent - 1 - low zeros, so that element 0
// of dx meets the last tap where dy[0] met it; behind, as many as the size of dx asks for. Where the padding
// of the forward convolution was larger than its kernel the amounts are negative: elements of dy that saw
// padding only drop out.
Value of_spread_gradient(const Node& n, Value dy, Value kernel, const Convolve& convolve) {
  const ConvAttrs attrs = conv_attrs(n.attributes);
  Ints low{0}, high{0}, interior{0}, start{0}, limit{dy.shape()[0]};
  bool cut = false;
  for (std::size_t axis = 0; axis < attrs.strides.size(); axis++) {
    const std::int64_t stride = attrs.strides[axis], input = n.type().shape[axis + 1];
    const std::int64_t spread = (dy.shape()[axis + 1] - 1) * stride + 1;
    const std::int64_t before = (kernel.shape()[axis] - 1) * attrs.dilation[axis] - attrs.low[axis];
    const std::int64_t behind = input + attrs.low[axis] - spread;
    low.push_back(std::max<std::int64_t>(before, 0));
    high.push_back(std::max<std::int64_t>(behind, 0));
    interior.push_back(stride - 1);
    start.push_back(std::max<std::int64_t>(-before, 0));
    limit.push_back(low.back() + spread + behind);
    cut = cut || before < 0 || behind < 0;
  }
  ConvAttrs back{.dilation = attrs.dilation, .groups = attrs.groups};
  back.strides = Ints(attrs.strides.size(), 1);
  back.low = Ints(low.begin() + 1, low.end());
  back.high = Ints(high.begin() + 1, high.end());
  if (all_are(interior, 0) && !cut) return convolve(dy, reversed_kernel(kernel, attrs.groups), back);
  for (Ints* list : {&low, &high, &interior, &start}) list->push_back(0);
  limit.push_back(dy.shape().back());

  if (!all_are(low, 0) || !all_are(high, 0) || !all_are(interior, 0))
    dy = pad(dy, scalar(dy, 0), low, high, interior);
  if (cut) dy = slice(dy, start, limit);
  back.low.assign(back.low.size(), 0);
  back.high.assign(back.high.size(), 0);
  return conv(dy, reversed_kernel(kernel, attrs.groups), back);
}

// ---- with strides -----------------------------------------------------------------------------------------

// The elements i of an axis of dx with i mod stride = rest: i + low = o stride + t holds for every stride-th
// tap from (rest + low) mod stride on, so they are a convolution of dy by those taps alone. That is a part of
// 1 / stride of the products that dy between zeros would take.
struct Phase {
  std::int64_t first_tap, taps;  ///< taps may be 0: nothing met these elements
  std::int64_t low, high;        ///< padding of dy; negative: so many elements of dy drop out
};

class Phases {
 public:
  Phases(const Node& n, Value dy, Value kernel, const Convolve& convolve)
      : attrs_(conv_attrs(n.attributes)), type_(n.type()), dy_(dy), kernel_(kernel), convolve_(convolve) {
    for (std::size_t axis = 0; axis < attrs_.strides.size(); axis++) {
      const std::int64_t stride = attrs_.strides[axis], input = type_.shape[axis + 1];
      lengths_.push_back((input + stride - 1) / stride);
      std::vector<Phase> phases;
      for (std::int64_t rest = 0; rest < stride; rest++) {
        const std::int64_t first = (rest + attrs_.low[axis]) % stride,
                           moved = (rest + attrs_.low[axis]) / stride;
        const std::int64_t taps =
            std::max<std::int64_t>(0, kernel.shape()[axis] - first + stride - 1) / stride;
        phases.push_back({first, taps, taps - 1 - moved, lengths_.back() + moved - dy.shape()[axis + 1]});
      }
      phases_.push_back(std::move(phases));
    }
  }

  /// All of dx.
  Value joined_phases() const {
    Ints rests;
    Value dx = from_axis(0, rests);
    if (dx.shape() == type_.shape) return dx;
    return slice(dx, Ints(at(dx.rank()), 0),
                 type_.shape.sizes());  // the last phases may be longer than others
  }

 private:
  /// dx with its axes from this one on whole, of those before the phases `rests`.
  Value from_axis(std::size_t axis, Ints& rests) const {
    if (axis == phases_.size()) return one(rests);
    const std::vector<Phase>& phases = phases_[axis];
    const auto met = [](const Phase& phase) { return phase.taps > 0; };
    const bool one_met = std::count_if(phases.begin(), phases.end(), met) == 1;
    std::vector<Value> parts;
    for (std::size_t rest = 0; rest < phases.size(); rest++) {
      if (one_met && !met(phases[rest])) continue;
      rests.push_back(static_cast<std::int64_t>(rest));
      parts.push_back(from_axis(axis + 1, rests));
      rests.pop_back();
    }
    if (phases.size() == 1) return parts[0];
    if (one_met) {  // a 1x1 kernel's, say: zeros between
      const auto rest = std::find_if(phases.begin(), phases.end(), met) - phases.begin();
      const auto stride = static_cast<std::int64_t>(phases.size());
      Ints low(at(parts[0].rank()), 0), high = low, interior = low;
      low[axis + 1] = rest;
      high[axis + 1] = stride - 1 - rest;
      interior[axis + 1] = stride - 1;
      return pad(parts[0], scalar(parts[0], 0), low, high, interior);
    }
    // (..., length, ...) of each phase become (..., length, phase, ...), and that one axis.
    const int behind = static_cast<int>(axis) + 2;
    Shape shape = parts[0].shape();
    for (Value& part : parts) part = expand_dims(part, behind);
    shape[axis + 1] *= static_cast<std::int64_t>(parts.size());
    return reshape(concatenate(parts, behind), shape);
  }

  Value one(const Ints& rests) const {
    Shape shape = type_.shape;
    Ints start{0}, limit{dy_.shape()[0]}, from, to = kernel_.shape().sizes(), steps;
    ConvAttrs attrs{.groups = attrs_.groups};
    bool cut = false, met = true, padding_only = false;
    for (std::size_t axis = 0; axis < phases_.size(); axis++) {
      const Phase& phase = phases_[axis][at(rests[axis])];
      shape[axis + 1] = lengths_[axis];
      start.push_back(std::max<std::int64_t>(-phase.low, 0));
      limit.push_back(dy_.shape()[axis + 1] + std::min<std::int64_t>(phase.high, 0));
      attrs.low.push_back(std::max<std::int64_t>(phase.low, 0));
      attrs.high.push_back(std::max<std::int64_t>(phase.high, 0));
      attrs.strides.push_back(1);
      attrs.dilation.push_back(1);
      from.push_back(phase.first_tap);
      steps.push_back(attrs_.strides[axis]);
      cut = cut || phase.low < 0 || phase.high < 0;
      met = met && phase.taps > 0;
      padding_only = padding_only || start.back() >= limit.back();
    }
    if (!met) return full(dy_.graph(), {type_.dtype, shape}, 0);
    for (int i = 0; i < 2; i++) {
      from.push_back(0);
      steps.push_back(1);
    }
    const Value taps = reversed_kernel(slice(kernel_, from, to, steps), attrs.groups);
    if (padding_only) {
      Shape zeros = dy_.shape();
      for (std::size_t axis = 0; axis < phases_.size(); axis++)
        zeros[axis + 1] = lengths_[axis] + phases_[axis][at(rests[axis])].taps - 1;
      attrs.low.assign(attrs.low.size(), 0);
      attrs.high = attrs.low;
      return convolve_(full(dy_.graph(), {type_.dtype, zeros}, 0), taps, attrs);
    }
    start.push_back(0);
    limit.push_back(dy_.shape().back());
    return convolve_(cut ? slice(dy_, start, limit) : dy_, taps, attrs);
  }

  ConvAttrs attrs_;
  Type type_;
  Value dy_, kernel_;
  const Convolve& convolve_;
  std::vector<std::vector<Phase>> phases_;  ///< of each spatial axis
  Ints lengths_;                            ///< of an axis's phases
};

}  // namespace

Value input_grad_form(const Node& n, Value dy, Value kernel, const Convolve& convolve) {
  if (n.type().shape.elements() == 0)  // no convolution has such a result where an image's axis is empty
    return full(dy.graph(), n.type(), 0);
  const ConvAttrs attrs = conv_attrs(n.attributes);
  const bool strides = !all_are(attrs.strides, 1);
  if (strides && has_phases(attrs.strides, attrs.dilation) && dy.shape().elements() > 0)
    return Phases(n, dy, kernel, convolve).joined_phases();
  return of_spread_gradient(n, dy, kernel, convolve);
}

}  // namespace kiln::graph
