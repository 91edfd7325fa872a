// Exported training steps: on this machine to the bit as `train_on_batch`, on devices within rounding.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <regex>
#include <thread>

#include <kiln/kiln.h>

#include "tests/embedded/device.h"
#include "tests/embedded/loaded.h"
#include "tests/support/bits.h"
#include "tests/support/errors.h"

namespace kiln {
namespace {

using namespace kiln::layers;
using namespace kiln::testing;

Model lenet(const Optimizer& optimizer) {
  set_random_seed(1);
  Sequential model({Input({28, 28, 1}, {.dtype = DType::u8, .name = "image"}), Rescaling(1.0 / 255),
                    Conv2D(6, 5, {.padding = "same", .activation = "relu", .name = "first"}), MaxPooling2D(2),
                    Conv2D(16, 5, {.activation = "relu"}), MaxPooling2D(2), Flatten(),
                    Dense(120, {.activation = "relu"}), Dense(84, {.activation = "relu"}),
                    Dense(10, {.name = "scores"})});
  model.compile({.optimizer = optimizer,
                 .loss = losses::SparseCategoricalCrossentropy({.from_logits = true}),
                 .metrics = {"accuracy"}});
  return model;
}

Model mlp(const Optimizer& optimizer, const std::string& activation = "relu") {
  set_random_seed(1);
  Sequential model({Input({12}, {.name = "x"}), Dense(16, {.activation = activation, .name = "hidden"}),
                    Dense(3, {.name = "y"})});
  model.compile({.optimizer = optimizer, .loss = "mse"});
  return model;
}

// What keeps states of its own: moving means, random numbers; and adds to the loss.
Model with_states(const Optimizer& optimizer) {
  set_random_seed(1);
  Sequential model({Input({8, 8, 3}, {.name = "image"}),
                    Conv2D(8, 3, {.kernel_regularizer = regularizers::L2(0.01)}), BatchNormalization(),
                    ReLU(), Dropout(0.3), ActivityRegularization({.l2 = 0.01}), GlobalAveragePooling2D(),
                    Dense(4, {.activation = "softmax", .name = "scores"})});
  model.compile({.optimizer = optimizer, .loss = "categorical_crossentropy", .metrics = {"accuracy"}});
  return model;
}

Model with_frozen_convolutions(const Optimizer& optimizer) {
  Model model = lenet(optimizer);
  for (Layer layer : model.layers())
    if (layer.class_name() == "Conv2D") layer.set_trainable(false);
  return model;
}

// Random arrays of what a step takes, the labels last.
std::vector<Tensor> random_batch(const Model& model, std::int64_t rows, std::uint32_t seed) {
  Shape shape = model.input().shape(), labels = model.output().shape();
  shape[0] = labels[0] = rows;
  const auto uniform = [&](const Shape& s, double limit, std::uint32_t n) {
    return initializers::RandomUniform({.minval = 0, .maxval = limit, .seed = n})(s, DType::f32);
  };
  if (model.input().dtype() == DType::u8)
    return {uniform(shape, 256, seed).astype(DType::u8), uniform({rows}, 10, seed + 1).astype(DType::i32)};
  return {uniform(shape, 1, seed), uniform(labels, 1, seed + 1)};
}

// Memory with bytes around it that nobody may touch.
class Memory {
 public:
  void allocate(std::size_t bytes) {
    bytes_ = bytes;
    all_.assign(bytes + 2 * guard, fill);
  }
  char* data() { return all_.data() + guard; }
  const char* data() const { return all_.data() + guard; }
  std::string content() const { return {data(), bytes_}; }
  bool is_whole() const {
    const auto is_fill = [](char c) { return c == fill; };
    return std::all_of(all_.begin(), all_.begin() + guard, is_fill) &&
           std::all_of(all_.end() - guard, all_.end(), is_fill);
  }

 private:
  static constexpr std::ptrdiff_t guard = 64;
  static constexpr char fill = '\x5a';
  std::vector<char> all_;
  std::size_t bytes_ = 0;
};

// An exported step in this process, with memory of its own.
class Exported {
 public:
  Exported(const Model& model, const ExportTrainingArgs& args) {
    model.export_training_step(folder_ / "net", args);
    header_ = read_file(folder_ / "net.h");
    library_.emplace(folder_, "net");
    for (Memory* m : {&state, &train_scratch, &predict_scratch})
      m->allocate(
          static_cast<std::size_t>(macro(header_, m == &state           ? "NET_STATE_BYTES"
                                                  : m == &train_scratch ? "NET_TRAIN_SCRATCH_BYTES"
                                                                        : "NET_PREDICT_SCRATCH_BYTES")));
    if (find<std::int32_t(void*)>("net_init")(state.data()) != 0) throw std::runtime_error("net_init");
  }
  template <class Function>
  Function* find(const std::string& symbol) const {
    return library_->find<Function>(symbol);
  }
  float train(const std::vector<Tensor>& batch) {
    float loss = -1;
    auto* step = find<std::int32_t(const void*, const void*, float*, void*, void*)>("net_train_on_batch");
    status = step(batch[0].raw(), batch[1].raw(), &loss, state.data(), train_scratch.data());
    return loss;
  }
  Tensor predict(const Tensor& x, const Shape& outputs) {
    Tensor y(outputs, DType::f32);
    status = find<std::int32_t(const void*, void*, const void*, void*)>("net_predict")(
        x.raw(), y.raw(), state.data(), predict_scratch.data());
    return y;
  }
  // A weight as it is in the memory now.
  Tensor weight(const std::string& name, const Tensor& like) const {
    Tensor t(like.shape(), like.dtype());
    const auto offset = static_cast<std::size_t>(macro(header_, "NET_" + name + "_OFFSET"));
    std::memcpy(t.raw(), state.data() + offset, t.nbytes());
    return t;
  }
  const std::string& header() const { return header_; }
  bool stayed_in_its_memory() const {
    return state.is_whole() && train_scratch.is_whole() && predict_scratch.is_whole();
  }

  Memory state, train_scratch, predict_scratch;
  std::int32_t status = 0;

 private:
  TemporaryFolder folder_;
  std::string header_;
  std::optional<Loaded> library_;
};

std::string upper_name(std::string path) {
  for (char& c : path)
    c = std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::toupper(c)) : '_';
  return path;
}

// ---- this machine -----------------------------------------------------------------------------------------

struct Case {
  const char* name;
  std::function<Model()> make;
  int steps;
  const char* threads = "single";
};

std::vector<Case> cases() {
  using namespace optimizers;
  return {
      {"lenet_sgd", [] { return lenet(SGD({.learning_rate = 0.05, .momentum = 0.9})); }, 100},
      {"lenet_adam", [] { return lenet("adam"); }, 20},
      {"lenet_frozen", [] { return with_frozen_convolutions("adam"); }, 20},
      {"mlp_rmsprop", [] { return mlp(RMSprop({.momentum = 0.5, .centered = true})); }, 20},
      {"mlp_average",
       [] { return mlp(SGD({.clipnorm = 0.1, .use_ema = true, .gradient_accumulation_steps = 3}), "tanh"); },
       20},
      {"mlp_nadam", [] { return mlp(Nadam({.weight_decay = 0.01}), "sigmoid"); }, 20},
      {"mlp_schedule",
       [] { return mlp(Adam({.learning_rate = optimizers::schedules::CosineDecay(0.01, 30)})); }, 20},
      {"mlp_lamb", [] { return mlp(Lamb()); }, 20},
      {"states", [] { return with_states("adam"); }, 20},
      {"states_team", [] { return with_states("adam"); }, 20, "openmp"},
      {"lenet_team", [] { return lenet("adam"); }, 20, "openmp"},
  };
}

class TrainingHere : public ::testing::TestWithParam<Case> {};

TEST_P(TrainingHere, GivesTheBitsOfTrainOnBatch) {
  constexpr std::int64_t rows = 8;
  Model model = GetParam().make();
  Exported exported(model, {.batch_size = rows, .predict_batch_size = 3, .threads = GetParam().threads});
  for (int step = 0; step < GetParam().steps; step++) {
    const std::vector<Tensor> batch =
        random_batch(model, rows, 10 * static_cast<std::uint32_t>(step % 7) + 1);
    model.reset_metrics();
    const auto expected = static_cast<float>(model.train_on_batch(batch[0], batch[1])["loss"]);
    const float loss = exported.train(batch);
    ASSERT_EQ(exported.status, 0);
    ASSERT_EQ(loss, expected) << step;
  }
  std::size_t compared = 0;
  for (const auto& [path, weight] : model.named_weights()) {
    const std::string name = upper_name(path);
    if (exported.header().find("_" + name + "_OFFSET") == std::string::npos) continue;  // a frozen one
    EXPECT_TRUE(same_bits(exported.weight(name, weight.storage()), weight.value())) << path;
    compared++;
  }
  std::size_t changing = model.trainable_weights().size();
  for (const Layer& layer : model.layers())
    if (layer.class_name() == "BatchNormalization") changing += layer.non_trainable_weights().size();
  EXPECT_EQ(compared, changing);
  EXPECT_TRUE(exported.stayed_in_its_memory());
  const Tensor x = random_batch(model, 3, 77)[0];
  const Tensor expected = model.predict(x, {.batch_size = 3, .verbose = 0});
  EXPECT_TRUE(same_bits(exported.predict(x, expected.shape()), expected));
  EXPECT_EQ(exported.status, 0);
}
INSTANTIATE_TEST_SUITE_P(Cases, TrainingHere, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TrainingStep, TakesWeightsOfSamplesAndSeveralOutputs) {
  set_random_seed(1);
  const auto a = Input({3}, {.name = "a"}), b = Input({2}, {.name = "b"});
  const auto joined = Dense(5, {.activation = "tanh"})(Concatenate()({a, b}));
  Model model({.inputs = {a, b},
               .outputs = {Dense(1, {.name = "size"})(joined), Dense(4, {.name = "kind"})(joined)}});
  model.compile(
      {.optimizer = optimizers::SGD(),
       .loss = {{"size", "mse"}, {"kind", losses::SparseCategoricalCrossentropy({.from_logits = true})}},
       .loss_weights = {{"kind", 0.5}}});
  Exported exported(model, {.batch_size = 2, .sample_weight = true});
  const Tensor x({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}), z({{7.f, 8.f}, {9.f, 10.f}}), size({{1.f}, {2.f}}),
      kind(std::vector<int>{3, 1}), weight(std::vector<float>{0.25f, 2.f});
  const Logs logs = model.train_on_batch({x, z}, {size, kind}, {.sample_weight = weight});
  float loss = 0;
  auto* step = exported.find<std::int32_t(const void*, const void*, const void*, const void*, const void*,
                                          float*, void*, void*)>("net_train_on_batch");
  EXPECT_EQ(step(x.raw(), z.raw(), size.raw(), kind.raw(), weight.raw(), &loss, exported.state.data(),
                 exported.train_scratch.data()),
            0);
  EXPECT_EQ(loss, static_cast<float>(logs["loss"]));
  EXPECT_NE(exported.header().find("const float *a, const float *b, const float *size_labels, const int32_t "
                                   "*kind_labels, const float *sample_weight, float *loss, void *state, void "
                                   "*scratch);"),
            std::string::npos)
      << exported.header();
}

TEST(TrainingStep, GoesOnFromWhereTheModelIs) {
  Model model = mlp("adam");
  const std::vector<Tensor> batch = random_batch(model, 4, 1);
  for (int i = 0; i < 5; i++) model.train_on_batch(batch[0], batch[1]);
  Exported exported(model, {.batch_size = 4});
  for (int i = 0; i < 5; i++) {
    model.reset_metrics();
    EXPECT_EQ(exported.train(batch), static_cast<float>(model.train_on_batch(batch[0], batch[1])["loss"]));
  }
}

TEST(TrainingStep, OfFrozenLayersComputesAndKeepsNothing) {
  const Exported all(lenet("sgd"), {.batch_size = 4}),
      head(with_frozen_convolutions("sgd"), {.batch_size = 4});
  const auto number = [](const Exported& e, const char* name) { return macro(e.header(), name); };
  EXPECT_EQ(head.header().find("FIRST_KERNEL_OFFSET"), std::string::npos);
  EXPECT_EQ(number(all, "NET_FIRST_KERNEL_OFFSET"), 0);
  constexpr int convolutions = 4 * (25 * 6 + 6 + 25 * 6 * 16 + 16);
  EXPECT_GE(number(head, "NET_CONSTANT_BYTES"), convolutions);
  EXPECT_LE(number(head, "NET_WEIGHT_BYTES"), number(all, "NET_WEIGHT_BYTES") - convolutions);
  EXPECT_LT(number(head, "NET_TRAIN_SCRATCH_BYTES"), number(all, "NET_TRAIN_SCRATCH_BYTES"));
  const auto adds = [](const Exported& e) {
    std::smatch match;
    std::regex_search(e.header(), match, std::regex("([0-9]+) of a training step"));
    return std::stoll(match[1]);
  };
  // The convolutions' kernels, and what the second one and the first Dense layer would pass on.
  constexpr int first = 28 * 28 * 6 * 25, second = 10 * 10 * 16 * 150, dense = 400 * 120;
  EXPECT_EQ(adds(all) - adds(head), 4 * (first + second + second + dense));
}

TEST(TrainingStep, WithWrongDataChangesNothing) {
  for (const char* threads : {"single", "openmp"}) {
    Model model = lenet(optimizers::SGD({.momentum = 0.9}));
    Exported exported(model, {.batch_size = 4, .threads = threads});
    std::vector<Tensor> batch = random_batch(model, 4, 1);
    exported.train(batch);
    const std::string before = exported.state.content();
    batch[1].data<std::int32_t>()[2] = 10;
    exported.train(batch);
    EXPECT_EQ(exported.status, 1);
    EXPECT_EQ(exported.state.content(), before);
    EXPECT_TRUE(std::regex_search(exported.header(), std::regex(" \\* 1: .*label"))) << exported.header();
    batch[1].data<std::int32_t>()[2] = 9;
    exported.train(batch);
    EXPECT_EQ(exported.status, 0);
    EXPECT_NE(exported.state.content(), before);
  }
}

// Whatever another thread trains meanwhile, what is exported is the state between two steps: of this model,
// whose weights are always equal.
TEST(TrainingStep, IsExportedBetweenTwoSteps) {
  Sequential model({Input({1}, {.name = "x"}), Dense(1, {.kernel_initializer = "zeros", .name = "y"})});
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1e-4}), .loss = "mse"});
  const Tensor x({{1.f}}), y({{1e6f}});
  model.train_on_batch(x, y);
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) model.train_on_batch(x, y);
  });
  for (int i = 0; i < 5; i++) {
    const Exported exported(model, {});
    const Tensor one({1}, DType::f32);
    EXPECT_TRUE(same_bits(exported.weight("Y_KERNEL", one), exported.weight("Y_BIAS", one)));
  }
  stop = true;
  other.join();
}

// Only what isn't zero at the start takes room in the object: slots don't before the first step.
TEST(TrainingStep, SaysHowMuchReadOnlyDataItNeeds) {
  Model model = lenet("adam");
  const auto sizes = [&] {
    const TemporaryFolder folder;
    model.export_training_step(folder / "net", {});
    const std::string header = read_file(folder / "net.h");
    const std::int64_t init = macro(header, "NET_INIT_BYTES");
    const auto file = static_cast<std::int64_t>(read_file(folder / "net.o").size());
    EXPECT_GT(file, init + macro(header, "NET_CONSTANT_BYTES"));
    EXPECT_LT(file, init + macro(header, "NET_CONSTANT_BYTES") + 150'000);
    return std::pair(init, macro(header, "NET_WEIGHT_BYTES"));
  };
  const auto [fresh, weights] = sizes();
  EXPECT_LT(fresh, weights + 100);
  const std::vector<Tensor> batch = random_batch(model, 4, 1);
  model.train_on_batch(batch[0], batch[1]);
  EXPECT_GT(sizes().first, 3 * weights - 100);
}

TEST(TrainingStep, ItsWeightsCanBeTakenOutAndPutIn) {
  Model model = mlp("adam");
  Exported exported(model, {.batch_size = 4});
  const std::vector<Tensor> batch = random_batch(model, 4, 1);
  const Tensor x = random_batch(model, 1, 5)[0];
  auto* get = exported.find<std::int32_t(const void*, void*)>("net_get_weights");
  auto* set = exported.find<std::int32_t(void*, const void*)>("net_set_weights");
  auto* init = exported.find<std::int32_t(void*)>("net_init");
  std::vector<float> kept(static_cast<std::size_t>(macro(exported.header(), "NET_WEIGHT_BYTES")) / 4);
  const std::string start = exported.state.content();
  const Tensor untrained = exported.predict(x, {1, 3});
  for (int i = 0; i < 3; i++) exported.train(batch);
  const Tensor trained = exported.predict(x, {1, 3});
  EXPECT_FALSE(same_bits(untrained, trained));
  EXPECT_EQ(get(exported.state.data(), kept.data()), 0);
  EXPECT_EQ(init(exported.state.data()), 0);
  EXPECT_EQ(start, exported.state.content());
  EXPECT_TRUE(same_bits(exported.predict(x, {1, 3}), untrained));
  EXPECT_EQ(set(exported.state.data(), kept.data()), 0);
  EXPECT_TRUE(same_bits(exported.predict(x, {1, 3}), trained));
  // The learning rate is the device's to set.
  char* bytes = exported.state.data();
  float rate = -1;
  const auto at = macro(exported.header(), "NET_LEARNING_RATE_OFFSET");
  std::memcpy(&rate, bytes + at, sizeof rate);
  EXPECT_EQ(rate, 0.001f);
  auto* set_rate = exported.find<std::int32_t(void*, float)>("net_set_learning_rate");
  for (const float wrong : {-1.f, NAN, INFINITY}) EXPECT_EQ(set_rate(bytes, wrong), -1);
  EXPECT_EQ(set_rate(bytes, 0), 0);
  exported.train(batch);
  EXPECT_TRUE(same_bits(exported.predict(x, {1, 3}), trained));
  // Addresses that lack their alignment.
  EXPECT_EQ(init(bytes + 4), -1);
  EXPECT_EQ(init(nullptr), -1);
  EXPECT_EQ(get(bytes, reinterpret_cast<char*>(kept.data()) + 2), -1);
  EXPECT_EQ(set(bytes + 4, kept.data()), -1);
  float loss;
  EXPECT_EQ(
      (exported.find<std::int32_t(const void*, const void*, float*, void*, void*)>("net_train_on_batch")(
          batch[0].raw(), batch[1].raw(), &loss, bytes + 4, exported.train_scratch.data())),
      -1);
}

// ---- devices ----------------------------------------------------------------------------------------------

template <class T>
std::string c_array(const char* declaration, const std::vector<T>& values) {
  std::string text = fmt::format("static const {} = {{", declaration);
  for (const T value : values) text += fmt::format("{},", value);
  return text + "};\n";
}

// A device, and whether it trains LeNet on images, or a network with states on random numbers.
struct Course {
  const char* device;
  bool is_lenet;
};
class TrainingOn : public ::testing::TestWithParam<Course> {};

// 100 steps, and then what it makes of the images.
TEST_P(TrainingOn, FollowsTheHost) {
  const bool is_lenet = GetParam().is_lenet;
  constexpr std::int64_t rows = 4, batches = 20;
  constexpr int steps = 100;
  const Device& device = testing::device(GetParam().device);
  const TemporaryFolder folder;
  Model model = is_lenet ? lenet(optimizers::SGD({.learning_rate = 0.05, .momentum = 0.5}))
                         : with_states(optimizers::Adam({.use_ema = true, .ema_overwrite_frequency = 30}));
  model.export_training_step(folder / "net", {.target = device.args.target,
                                              .cpu = device.args.cpu,
                                              .features = device.args.features,
                                              .batch_size = rows});
  datasets::Split data;
  if (is_lenet) {
    data = datasets::fashion_mnist::load_data().train;
    data = {data.x.slice(0, rows * batches), data.y.slice(0, rows * batches).astype(DType::i32)};
  } else {
    const std::vector<Tensor> random = random_batch(model, rows * batches, 1);
    std::vector<int> classes(rows * batches);
    for (std::size_t i = 0; i < classes.size(); i++) classes[i] = static_cast<int>(i * i % 4);
    data = {random[0], utils::to_categorical(Tensor(classes), 4)};
  }
  std::vector<float> losses;
  for (int step = 0; step < steps; step++) {
    const std::int64_t first = step % batches * rows;
    model.reset_metrics();
    losses.push_back(static_cast<float>(
        model.train_on_batch(data.x.slice(first, first + rows), data.y.slice(first, first + rows))["loss"]));
  }
  if (is_lenet) {
    EXPECT_LT(std::accumulate(losses.end() - batches, losses.end(), 0.f),
              0.8f * std::accumulate(losses.begin(), losses.begin() + batches, 0.f));
  }
  const Tensor scores = model.predict(data.x, {.verbose = 0});
  std::vector<int> guesses;
  for (std::int64_t i = 0; i < scores.dim(0); i++) {
    const std::vector<float> of_image = scores.slice(i, i + 1).to_vector<float>();
    guesses.push_back(
        static_cast<int>(std::max_element(of_image.begin(), of_image.end()) - of_image.begin()));
  }
  write_file(
      folder / "data.h",
      fmt::format("enum {{ STEPS = {}, BATCHES = {}, TESTS = {} }};\n", steps, batches, rows * batches) +
          c_array(is_lenet ? "unsigned char images[]" : "float images[]", data.x.to_vector<float>()) +
          c_array(is_lenet ? "int labels[]" : "float labels[]", data.y.to_vector<float>()) +
          c_array("float losses[]", losses) + c_array("int guesses[]", guesses));
  const Outcome ran = run_on(device, folder, "net.o", std::string(KILN_DEVICE_DIR) + "/train.c", "");
  EXPECT_EQ(ran.status, 0) << ran.output;
}
INSTANTIATE_TEST_SUITE_P(Devices, TrainingOn,
                         ::testing::Values(Course{"x86_64", true}, Course{"aarch64", true},
                                           Course{"riscv64", true}, Course{"cortex_m4", true},
                                           Course{"wasm32", true}, Course{"aarch64", false},
                                           Course{"cortex_m4", false}, Course{"riscv32", false}),
                         [](const auto& info) {
                           return fmt::format("{}_{}", info.param.device,
                                              info.param.is_lenet ? "lenet" : "states");
                         });

TEST(TrainingObject, NeedsNothingAndShowsItsFunctions) {
  const std::vector<std::function<Model()>> models = {[] { return lenet("sgd"); },
                                                      [] { return with_frozen_convolutions("adam"); },
                                                      [] { return with_states(optimizers::RMSprop()); }};
  for (std::size_t i = 0; i < device_count; i++)
    for (const auto& make : models) {
      const Device& device = devices[i];
      const TemporaryFolder folder;
      make().export_training_step(folder / "net", {.target = device.args.target,
                                                   .cpu = device.args.cpu,
                                                   .features = device.args.features,
                                                   .batch_size = 2});
      EXPECT_EQ(needed_symbols(folder / "net.o"), "") << device.name;
      EXPECT_EQ(symbols("--extern-only --defined-only", folder / "net.o"),
                "net_get_weights\nnet_init\nnet_predict\nnet_set_learning_rate\nnet_set_weights\nnet_train_"
                "on_batch\n")
          << device.name;
    }
}

TEST(TrainingHeader, SuitsCAndCpp) {
  const TemporaryFolder folder;
  with_frozen_convolutions("adam").export_training_step(folder / "net", {.batch_size = 2});
  write_file(folder / "main.c", R"(
#include "net.h"
#include "net.h"
int main(void) {
  static double state[(NET_STATE_BYTES + 7) / 8], train[(NET_TRAIN_SCRATCH_BYTES + 7) / 8],
      predict[(NET_PREDICT_SCRATCH_BYTES + 7) / 8];
  static uint8_t images[NET_IMAGE_TRAIN_ELEMENTS];
  static int32_t labels[NET_SCORES_LABELS_ELEMENTS];
  float loss, scores[NET_SCORES_ELEMENTS];
  if (net_init(state)) return 1;
  if (net_train_on_batch(images, labels, &loss, state, train)) return 2;
  return net_predict(images, scores, state, predict);
}
)");
  const auto built = run_command(fmt::format(
      "cd {} && clang-19 -std=c99 -pedantic -Wall -Wextra -Werror main.c net.o -o main && ./main && "
      "clang-19 -x c++ -Wall -Werror -fsyntax-only main.c",
      folder.path()));
  EXPECT_EQ(built.status, 0) << built.output << read_file(folder / "net.h");
}

TEST(TrainingHeader, HasEveryNameOnce) {
  const TemporaryFolder folder;
  const auto x = Input({3}, {.name = "x"}), other = Input({5}, {.name = "x_train"}),
             state = Input({2}, {.name = "state"}), loss = Input({2}, {.name = "loss"});
  const auto joined = Concatenate()({x, other, state, loss});
  Model model({.inputs = {x, other, state, loss},
               .outputs = {Dense(1, {.name = "learning"})(joined), Dense(2, {.name = "unused"})(joined)}});
  model.compile({.optimizer = "sgd", .loss = {{"learning", "mse"}}});
  model.export_training_step(folder / "net", {.batch_size = 4, .sample_weight = true});
  write_file(folder / "main.c", R"(
#include "net.h"
int main(void) {
  double memory[(NET_STATE_BYTES + NET_TRAIN_SCRATCH_BYTES) / 8 + 2];
  const float x[NET_X_TRAIN_ELEMENTS] = {0}, other[NET_X_TRAIN_1_TRAIN_ELEMENTS] = {0},
              state[NET_STATE_1_TRAIN_ELEMENTS] = {0}, weight[NET_SAMPLE_WEIGHT_ELEMENTS] = {1},
              more[NET_LOSS_1_TRAIN_ELEMENTS] = {0}, labels[NET_LEARNING_LABELS_ELEMENTS] = {0};
  float loss;
  if (net_init(memory)) return 1;
  return net_train_on_batch(x, other, state, more, labels, 0, weight, &loss, memory,
                            memory + (NET_STATE_BYTES + 7) / 8);
}
)");
  const auto built = run_command(
      fmt::format("cd {} && clang-19 -std=c99 -pedantic -Wall -Wextra -Werror main.c net.o -o main && ./main",
                  folder.path()));
  EXPECT_EQ(built.status, 0) << built.output << read_file(folder / "net.h");
}

// ---- mistakes ---------------------------------------------------------------------------------------------

TEST(TrainingStepMistakes, SayHowToMendThem) {
  const TemporaryFolder folder;
  const auto expect = [](const std::string& message, const std::string& text) {
    EXPECT_NE(message.find(text), std::string::npos) << message;
  };
  const Sequential plain({Input({3}), Dense(2)});
  expect(message_of<StateError>([&] { plain.export_training_step(folder / "net"); }), "compile");
  Model frozen = mlp("sgd");
  frozen.set_trainable(false);
  expect(message_of<ValueError>([&] { frozen.export_training_step(folder / "net"); }), "trainable");
  const Model model = mlp("sgd");
  expect(message_of<ValueError>([&] { model.export_training_step(folder / "net", {.batch_size = 0}); }),
         "export_training_step: batch_size is 0; it must be at least 1");
  expect(
      message_of<ValueError>([&] { model.export_training_step(folder / "net", {.predict_batch_size = 0}); }),
      "export_training_step: predict_batch_size is 0; it must be at least 1");
  expect(message_of<ValueError>([&] { model.export_training_step(folder / "net", {.format = "elf"}); }),
         "export_training_step: format \"elf\" is not known");
  expect(message_of<FileError>([&] { model.export_training_step(folder / "missing/net"); }),
         "export_training_step: " + folder.path() + "/missing/net: there is no folder");
  const Model scheduled =
      mlp(optimizers::SGD({.learning_rate = optimizers::schedules::CosineDecay(0.1, 10)}));
  expect(message_of<ValueError>([&] {
           scheduled.export_training_step(folder / "net",
                                          {.target = "thumbv7em-none-eabihf", .cpu = "cortex-m4"});
         }),
         "would call");
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace kiln
