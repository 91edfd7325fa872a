#include "kiln/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "api/model/model_impl.h"
#include "api/model/predictor.h"
#include "api/model/trainer.h"
#include "kiln/codegen/machine.h"
#include "kiln/model.h"
#include "kiln/runtime/file.h"

namespace kiln {
namespace {

using internal::BatchTypes;
using internal::Mode;
using internal::Samples;
using internal::Step;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Works on copies of the states: the model stays as it is.
Profile profile_step(ModelImpl& model, const Step& step, const std::vector<Tensor>& inputs,
                     const ProfileArgs& args, bool weights_stay) {
  const std::shared_ptr<const runtime::Program> program = step.program();
  if (program == nullptr)
    throw StateError("profile: nothing is compiled, since KILN_BACKEND=interpreter; unset it");
  std::vector<Tensor> states, outputs;
  {
    const std::unique_lock lock(model.weight_guards());  // an evaluation changes metrics under a shared one
    states = step.copied_states();
  }
  for (const runtime::BufferDesc& output : program->outputs) outputs.emplace_back(output.shape, output.dtype);

  Profile profile;
  profile.name = program->name;
  profile.threads = runtime::num_threads();
  const codegen::MachineLimits& limits = codegen::machine_limits(profile.threads);
  profile.flops_per_second = limits.flops_per_second;
  profile.bytes_per_second = limits.bytes_per_second;
  runtime::Executable executable(program);
  std::vector<std::vector<double>> seconds(program->steps.size());
  for (std::int64_t run = 0; run <= args.repeats; run++) {
    const std::vector<runtime::StepProfile> steps = executable.profile(inputs, states, outputs);
    if (run == 0) continue;  // pages and caches are cold
    for (std::size_t i = 0; i < steps.size(); i++) seconds[i].push_back(steps[i].seconds);
  }
  for (std::size_t i = 0; i < seconds.size(); i++) {
    const runtime::Step& s = program->steps[i];
    const double least = std::max(s.flops / limits.flops_per_second, s.bytes / limits.bytes_per_second);
    profile.kernels.push_back(
        {s.name, median(seconds[i]), s.flops, s.bytes, least, weights_stay && s.prepared});
  }
  return profile;
}

void check_arguments(const ProfileArgs& args) {
  if (args.batch_size < 1)
    throw ValueError(fmt::format("profile: batch_size is {}; it must be at least 1", args.batch_size));
  if (args.repeats < 1)
    throw ValueError(fmt::format("profile: repeats is {}; it must be at least 1", args.repeats));
}

std::vector<Tensor> first_rows(const std::vector<Tensor>& arrays, std::int64_t rows) {
  std::vector<Tensor> parts;
  for (const Tensor& t : arrays) parts.push_back(t.slice(0, rows));
  return parts;
}

}  // namespace

Profile Model::profile(const Tensors& x, const Tensors& y, ProfileArgs args) {
  check_arguments(args);
  ModelImpl& model = model_impl();
  internal::Trainer& trainer = model.trainer("profile");
  const Samples data = internal::prepare_samples(model, "profile", x, y, {});
  trainer.prepare(data);
  const std::int64_t rows = std::min(args.batch_size, data.rows);
  const std::shared_ptr<Step> step = trainer.step(Mode::train, data.types(rows));
  return profile_step(model, *step, first_rows(data.arrays(), rows), args, /*weights_stay=*/false);
}

Profile Model::profile(const Tensors& x, ProfileArgs args) const {
  check_arguments(args);
  ModelImpl& model = model_impl();
  const std::vector<Tensor> inputs = internal::prepare_inputs(model, "profile", x);
  const std::int64_t rows = model.predictor().rows_at_once(std::min(args.batch_size, inputs[0].dim(0)));
  if (rows == 0) throw ValueError("profile: x has no samples");
  BatchTypes types;
  const std::shared_ptr<Step> step = model.predictor().step_for(inputs, rows, types);
  return profile_step(model, *step, first_rows(inputs, rows), args, /*weights_stay=*/true);
}

double Profile::seconds() const {
  double total = 0;
  for (const KernelProfile& k : kernels)
    if (!k.prepared) total += k.seconds;
  return total;
}

std::string Profile::to_string() const {
  const double total = seconds();
  std::string text = fmt::format(
      "{}: {:.3f} ms in {} kernels on {} threads; the machine's limits: {:.0f} GF/s, {:.1f} GB/s\n", name,
      1e3 * total, kernels.size(), threads, flops_per_second / 1e9, bytes_per_second / 1e9);
  text += fmt::format("{:>10} {:>6} {:>8} {:>8} {:>8}  {}\n", "us", "share", "GF/s", "GB/s", "roofline",
                      "kernel");
  for (const KernelProfile& k : kernels) {
    const double time = std::max(k.seconds, 1e-9);  // the clock's step
    const std::string share =
        k.prepared ? "once" : fmt::format("{:.1f}%", 100 * k.seconds / std::max(total, 1e-9));
    text += fmt::format("{:>10.1f} {:>6} {:>8.1f} {:>8.1f} {:>7.0f}%  {}\n", 1e6 * k.seconds, share,
                        k.flops / time / 1e9, k.bytes / time / 1e9, 100 * k.limit_seconds / time, k.name);
  }
  return text;
}

void Profile::save_trace(const std::string& path) const {
  using Json = nlohmann::json;
  Json events = Json::array();
  double start = 0;  // microseconds
  for (const KernelProfile& k : kernels) {
    if (k.prepared) continue;
    const double duration = 1e6 * k.seconds;
    events.push_back(
        {{"name", k.name},
         {"ph", "X"},  // a span
         {"pid", 1},
         {"tid", 1},
         {"ts", start},
         {"dur", duration},
         {"args", {{"flops", k.flops}, {"bytes", k.bytes}, {"roofline_us", 1e6 * k.limit_seconds}}}});
    start += duration;
  }
  const Json trace = {{"displayTimeUnit", "ns"},
                      {"otherData", {{"step", name}, {"threads", threads}}},
                      {"traceEvents", events}};
  const std::string text = trace.dump(1);
  runtime::AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace kiln
