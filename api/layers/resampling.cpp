#include "kiln/layers/resampling.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/layers/configured.h"
#include "api/layers/resize.h"
#include "api/layers/spatial.h"

namespace kiln::layers {
namespace {

using graph::Ints;
using graph::Value;
using internal::ConfiguredLayer;
using internal::Fields;

// ---- ZeroPadding, Cropping --------------------------------------------------------------------------------

std::vector<Edges1> list(Edges1 e) {
  return {e};
}
std::vector<Edges1> list(Edges2 e) {
  return {e.height, e.width};
}
std::vector<Edges1> list(Edges3 e) {
  return {e.depth, e.height, e.width};
}

struct EdgesSpec : ResamplingArgs {
  std::string class_name;
  std::string argument;  ///< "padding" or "cropping"
  std::vector<Edges1> edges = {};

  void fields(Fields& f) {
    // As Keras: [before, after] for one axis, a list of those for several.
    Config::List pairs;
    for (const Edges1& e : edges) pairs.push_back(Config::List{e.before, e.after});
    Config value = pairs.size() == 1 ? pairs[0] : Config(pairs);
    f(argument.c_str(), value);
    if (f.reads()) read(value);
    if (class_name != "Cropping1D") f("data_format", data_format);
  }

 private:
  static Edges1 pair(const Config& config) {
    if (config.is_number()) return config.as_int();
    const Config::List& numbers = config.as_list();
    if (numbers.size() != 2) throw ValueError(fmt::format("{} should have two numbers", config.to_json()));
    return {numbers[0].as_int(), numbers[1].as_int()};
  }
  void read(const Config& config) {
    if (edges.size() == 1 || config.is_number()) return std::fill(edges.begin(), edges.end(), pair(config));
    if (config.as_list().size() != edges.size())
      throw ValueError(fmt::format("{}: {} should have {} entries, but it is {}", class_name, argument,
                                   edges.size(), config.to_json()));
    std::transform(config.as_list().begin(), config.as_list().end(), edges.begin(), pair);
  }
};

class EdgesImpl : public ConfiguredLayer<EdgesSpec> {
 public:
  explicit EdgesImpl(EdgesSpec spec) : ConfiguredLayer(std::move(spec)) {
    internal::check_data_format(spec_.class_name, spec_.data_format);
    for (const Edges1& e : spec_.edges)
      if (e.before < 0 || e.after < 0)
        throw ValueError(fmt::format("{}: {} must not be negative, but it is ({}, {})", spec_.class_name,
                                     spec_.argument, e.before, e.after));
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      internal::check_spatial_axes(name(), static_cast<int>(spec_.edges.size()), spec_.data_format, x);
  }

 protected:
  std::size_t axis(std::size_t i) const { return i + (spec_.data_format == "channels_last" ? 1 : 2); }
};

class ZeroPaddingImpl final : public EdgesImpl {
 public:
  using EdgesImpl::EdgesImpl;
  Value call(Call&, Value x) override {
    Ints low(static_cast<std::size_t>(x.rank()), 0), high = low;
    for (std::size_t i = 0; i < spec_.edges.size(); i++) {
      low[axis(i)] = spec_.edges[i].before;
      high[axis(i)] = spec_.edges[i].after;
    }
    return graph::pad(x, graph::scalar(x, 0), low, high);
  }
};

class CroppingImpl final : public EdgesImpl {
 public:
  using EdgesImpl::EdgesImpl;
  void check(std::span<const Shape> inputs) const override {
    EdgesImpl::check(inputs);
    for (const Shape& x : inputs)
      for (std::size_t i = 0; i < spec_.edges.size(); i++)
        if (x[axis(i)] != None && x[axis(i)] <= spec_.edges[i].before + spec_.edges[i].after)
          throw ShapeError(fmt::format(
              "layer \"{}\" ({}): a cropping of ({}, {}) leaves nothing of axis {} of the input of shape {}",
              name(), spec_.class_name, spec_.edges[i].before, spec_.edges[i].after, axis(i), x.to_string()));
  }
  Value call(Call&, Value x) override {
    Ints start(static_cast<std::size_t>(x.rank()), 0), limit = x.shape().sizes();
    for (std::size_t i = 0; i < spec_.edges.size(); i++) {
      start[axis(i)] = spec_.edges[i].before;
      limit[axis(i)] -= spec_.edges[i].after;
    }
    return graph::slice(x, start, limit);
  }
};

template <class Impl, class Edges>
Layer edges_layer(const char* class_name, const char* argument, Edges edges, ResamplingArgs args) {
  return make_layer<Impl>(EdgesSpec{std::move(args), class_name, argument, list(edges)});
}

// ---- UpSampling -------------------------------------------------------------------------------------------

struct UpSamplingSpec : UpSampling2DArgs {
  std::string class_name;
  Ints size = {};

  void fields(Fields& f) {
    const std::size_t axes = size.size();
    // One axis has one number, and no other interpolation.
    if (axes == 1)
      f("size", size[0]);
    else
      f("size", size);
    internal::check_axes(class_name, "size", size, static_cast<int>(axes));
    if (axes > 1) f("data_format", data_format);
    if (axes == 2) f("interpolation", interpolation);
  }
};

class UpSamplingImpl final : public ConfiguredLayer<UpSamplingSpec> {
 public:
  explicit UpSamplingImpl(UpSamplingSpec spec) : ConfiguredLayer(std::move(spec)) {
    internal::check_data_format(spec_.class_name, spec_.data_format);
    internal::check_positive(spec_.class_name, "size", spec_.size);
    internal::check_interpolation(spec_.class_name, spec_.interpolation);
  }
  void check(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      internal::check_spatial_axes(name(), static_cast<int>(spec_.size.size()), spec_.data_format, x);
  }
  Value call(Call&, Value x) override {
    const int first = spec_.data_format == "channels_last" ? 1 : 2;
    for (std::size_t i = 0; i < spec_.size.size(); i++) {
      const int axis = first + static_cast<int>(i);
      if (spec_.size[i] == 1) continue;
      x = spec_.interpolation == "nearest"
              ? repeated(x, axis, spec_.size[i])
              : internal::resize_axis(x, axis, x.shape()[static_cast<std::size_t>(axis)] * spec_.size[i],
                                      spec_.interpolation);
    }
    return x;
  }

 private:
  static Value repeated(Value x, int axis, std::int64_t times) {
    std::vector<std::int64_t> with_copies = x.shape().sizes();
    with_copies.insert(with_copies.begin() + axis + 1, times);
    Ints kept;
    for (int i = 0; i < x.rank(); i++) kept.push_back(i <= axis ? i : i + 1);
    Shape shape = x.shape();
    shape[static_cast<std::size_t>(axis)] *= times;
    return graph::reshape(graph::broadcast(x, Shape(with_copies), kept), shape);
  }
};

Layer up_sampling(const char* class_name, Ints size, UpSampling2DArgs args) {
  return make_layer<UpSamplingImpl>(UpSamplingSpec{std::move(args), class_name, std::move(size)});
}
UpSampling2DArgs nearest(ResamplingArgs args) {
  return {.data_format = args.data_format, .dtype = args.dtype, .name = args.name};
}

}  // namespace

Layer ZeroPadding1D(Edges1 padding, ResamplingArgs args) {
  return edges_layer<ZeroPaddingImpl>("ZeroPadding1D", "padding", padding, std::move(args));
}
Layer ZeroPadding2D(Edges2 padding, ResamplingArgs args) {
  return edges_layer<ZeroPaddingImpl>("ZeroPadding2D", "padding", padding, std::move(args));
}
Layer ZeroPadding3D(Edges3 padding, ResamplingArgs args) {
  return edges_layer<ZeroPaddingImpl>("ZeroPadding3D", "padding", padding, std::move(args));
}
Layer Cropping1D(Edges1 cropping, ResamplingArgs args) {
  return edges_layer<CroppingImpl>("Cropping1D", "cropping", cropping, std::move(args));
}
Layer Cropping2D(Edges2 cropping, ResamplingArgs args) {
  return edges_layer<CroppingImpl>("Cropping2D", "cropping", cropping, std::move(args));
}
Layer Cropping3D(Edges3 cropping, ResamplingArgs args) {
  return edges_layer<CroppingImpl>("Cropping3D", "cropping", cropping, std::move(args));
}
Layer UpSampling1D(std::int64_t size, ResamplingArgs args) {
  return up_sampling("UpSampling1D", {size}, nearest(std::move(args)));
}
Layer UpSampling2D(Size2 size, UpSampling2DArgs args) {
  return up_sampling("UpSampling2D", internal::ints(size), std::move(args));
}
Layer UpSampling3D(Size3 size, ResamplingArgs args) {
  return up_sampling("UpSampling3D", internal::ints(size), nearest(std::move(args)));
}

}  // namespace kiln::layers

namespace kiln::internal {

void register_resampling_layers(LayerRegistry& registry) {
  using namespace layers;
  for (int axes = 1; axes <= 3; axes++) {
    const auto count = static_cast<std::size_t>(axes);
    const std::string padding = fmt::format("ZeroPadding{}D", axes),
                      cropping = fmt::format("Cropping{}D", axes),
                      sampling = fmt::format("UpSampling{}D", axes);
    registry.add(padding, [=](Fields& f) {
      return layer_from<ZeroPaddingImpl>(f, EdgesSpec{{}, padding, "padding", std::vector<Edges1>(count, 1)});
    });
    const std::int64_t standard = axes == 2 ? 0 : 1;
    registry.add(cropping, [=](Fields& f) {
      return layer_from<CroppingImpl>(
          f, EdgesSpec{{}, cropping, "cropping", std::vector<Edges1>(count, standard)});
    });
    registry.add(sampling, [=](Fields& f) {
      return layer_from<UpSamplingImpl>(f, UpSamplingSpec{{}, sampling, Ints(count, 2)});
    });
  }
}

}  // namespace kiln::internal
