// Texts and categories beyond their golden values: hashes, vocabularies, quantiles, and what they refuse.
#include "api/layers/hashes.h"
#include "tests/api/support.h"
#include "tests/support/hash_data.h"

namespace kiln {
namespace {

using namespace layers;
using testing::expect_near;
using testing::message_of;

TEST(Hashes, SipHashIsThatOfItsPaper) {
  std::string message;
  for (char c = 0; c < 15; c++) message.push_back(c);
  EXPECT_EQ(internal::siphash(message, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u), 0xa129ca6149be45e5u);
}

// The graph computes what the host does, of numbers of every length.
TEST(Hashes, AreTheSameInAGraph) {
  std::vector<std::int64_t> numbers = {0, -1, INT64_MAX, INT64_MIN};
  for (int digits = 1; digits < 19; digits++)
    for (std::int64_t i = 0; i < 20; i++) {
      const auto n =
          static_cast<std::int64_t>(std::pow(10, digits) * testing::HashSequence("numbers")[digits * 20 + i]);
      numbers.push_back(i % 2 == 0 ? n : -n);
    }
  const Tensor wide(numbers), narrow = wide.astype(DType::i32);
  for (const std::optional<Salt> salt : {std::optional<Salt>(), std::optional<Salt>(Salt(3, -4))}) {
    const HashingLayer layer = Hashing(100003, {.salt = salt});
    for (const Tensor& x : {wide, narrow}) {
      const auto input = Input({}, {.dtype = x.dtype()});
      const Tensor y = Model({.inputs = {input}, .outputs = {layer(input)}}).predict(x, {.verbose = 0});
      EXPECT_EQ(y.dtype(), DType::i64);
      EXPECT_EQ(y.to_vector<std::int64_t>(), layer(x).to_vector<std::int64_t>());
    }
  }
}

TEST(Hashing, TakesFloatingNumbersWithoutTheirFractions) {
  const HashingLayer layer = Hashing(1000);
  EXPECT_EQ(testing::run(layer, Tensor({{1.9f, -2.5f}})).to_vector<std::int64_t>(),
            layer(Tensor({{1, -2}})).to_vector<std::int64_t>());
}

TEST(Hashing, FeedsAnEmbedding) {
  const auto input = Input({3}, {.dtype = DType::i32});
  Model model({.inputs = {input}, .outputs = {Dense(1)(Flatten()(Embedding(10, 4)(Hashing(10)(input))))}});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x({{1, 2, 3}, {100, -7, 1}}), y({{1.f}, {0.f}});
  const double first = model.train_on_batch(x, y)["loss"];
  for (int i = 0; i < 20; i++) model.train_on_batch(x, y);
  EXPECT_LT(model.train_on_batch(x, y)["loss"], first);
}

TEST(StringLookup, NumbersAndInverts) {
  const StringLookupLayer lookup = StringLookup({.vocabulary = {"red", "green"}});
  const Tensor numbers = lookup({{"green", "red"}, {"blue", "red"}});
  EXPECT_EQ(numbers.shape(), (Shape{2, 2}));
  EXPECT_EQ(numbers.dtype(), DType::i64);
  EXPECT_EQ(numbers.to_vector<std::int64_t>(), (std::vector<std::int64_t>{2, 1, 0, 1}));
  const StringLookupLayer back = StringLookup({.vocabulary = lookup.get_vocabulary(), .invert = true});
  EXPECT_EQ(back.tokens(numbers), Strings({{"green", "red"}, {"[UNK]", "red"}}));
}

TEST(StringLookup, AdaptsToTextsThatComeBitByBit) {
  StringLookupLayer lookup = StringLookup();
  int part = 0;
  lookup.adapt([&]() -> std::optional<Strings> {
    if (part++ == 3) return std::nullopt;
    return Strings({"a", part == 3 ? "c" : "b"});
  });
  EXPECT_EQ(lookup.get_vocabulary(), (std::vector<std::string>{"[UNK]", "a", "b", "c"}));
  lookup.adapt({"z"});  // anew
  EXPECT_EQ(lookup.get_vocabulary(/*include_special_tokens=*/false), std::vector<std::string>{"z"});
}

TEST(IntegerLookup, AdaptsToSeveralArrays) {
  IntegerLookupLayer lookup = IntegerLookup({.max_tokens = 3});
  lookup.adapt({Tensor({5, 6, 6}), Tensor({7, 6, 7})});
  EXPECT_EQ(lookup.get_vocabulary(), (std::vector<std::int64_t>{-1, 6, 7}));
}

TEST(IntegerLookup, StopsTheStepAtUnknownNumbers) {
  const IntegerLookupLayer lookup =
      IntegerLookup({.num_oov_indices = 0, .vocabulary = {5, 9}, .name = "ids"});
  const auto input = Input({2}, {.dtype = DType::i64});
  const Model model({.inputs = {input}, .outputs = {lookup(input)}});
  EXPECT_EQ(model.predict(Tensor({{9, 5}}), {.verbose = 0}).to_vector<int>(), (std::vector<int>{1, 0}));
  EXPECT_EQ(
      message_of<ValueError>([&] { model.predict(Tensor({{9, 5}, {7, 5}}), {.verbose = 0}); }),
      "layer \"ids\" (IntegerLookup): 7 isn't in the vocabulary; with num_oov_indices = 1 or more, unknown "
      "tokens have numbers, too");
  EXPECT_EQ(
      message_of<ValueError>([&] { lookup(Tensor({8})); }),
      "layer \"ids\" (IntegerLookup): 8 isn't in the vocabulary; with num_oov_indices = 1 or more, unknown "
      "tokens have numbers, too");
}

TEST(Strings, HaveRows) {
  EXPECT_EQ(Strings({"a", "b"}).shape(), Shape{2});
  EXPECT_EQ(Strings({{"a", "b"}, {"c", "d"}, {"e", "f"}}).shape(), (Shape{3, 2}));
  EXPECT_EQ(message_of<ShapeError>([] { Strings(std::vector<std::vector<std::string>>{{"a", "b"}, {"c"}}); }),
            "Strings: row 0 has 2 texts, but row 1 has 1; make them equally long");
  EXPECT_EQ(message_of<ShapeError>([] { Strings({"a", "b"}, Shape{3}); }),
            "Strings: 2 texts don't fill the shape (3,)");
}

TEST(Discretization, AdaptsAndIsUsed) {
  DiscretizationLayer layer = Discretization({}, {.num_bins = 4});
  std::vector<float> values;
  for (int i = 0; i < 100; i++) values.push_back(static_cast<float>(i));
  layer.adapt(Tensor(values));
  const Tensor bins = testing::run(layer, Tensor({{-5.f, 10.f, 30.f, 60.f, 99.f}}));
  EXPECT_EQ(bins.to_vector<int>(), (std::vector<int>{0, 0, 1, 2, 3}));
  EXPECT_EQ(from_config("Discretization", layer.get_config()).get_config(), layer.get_config());
}

// Case 19 of known faults: a constant feature, and what is far from 0.
TEST(Normalization, OfAConstantFeatureIsFinite) {
  NormalizationLayer norm = Normalization();
  norm.adapt(Tensor({{1.f, 7.f}, {3.f, 7.f}}));
  expect_near(norm.get_weights()[0], {2, 7});
  expect_near(norm.get_weights()[1], {1, 0});
  expect_near(testing::run(norm, Tensor({{5.f, 7.f}, {5.f, 8.f}})), {3, 0, 3, 1e7});
  expect_near(testing::run(Normalization({.mean = {0.1}, .variance = {0.04}}), Tensor({{0.1f, 0.3f, -0.1f}})),
              {0, 1, -1});
  NormalizationLayer far = Normalization();
  far.adapt(Tensor(std::vector<double>{1e6, 1e6 + 1}, {2, 1}));
  expect_near(far.get_weights()[1], {0.25});
}

TEST(Normalization, OfSeveralArraysIsThatOfAllTogether) {
  const Tensor all = testing::hash_signed("x", {30, 4, 3});
  NormalizationLayer once = Normalization(), often = Normalization(), streamed = Normalization();
  once.adapt(all);
  often.adapt({all.slice(0, 1), all.slice(1, 20), all.slice(20, 30)});
  std::int64_t row = 0;
  streamed.adapt([&]() -> std::optional<Tensor> {
    if (row == 30) return std::nullopt;
    row += 5;
    return all.slice(row - 5, row);
  });
  for (const auto& norm : {often, streamed})
    for (std::size_t i = 0; i < 2; i++)
      expect_near(norm.get_weights()[i], once.get_weights()[i].to_vector<double>(), 1e-7);
  // Far from 0, and constant in each array.
  NormalizationLayer far = Normalization();
  far.adapt({Tensor(std::vector<double>{1e6}, {1, 1}), Tensor(std::vector<double>{1e6 + 1}, {1, 1})});
  expect_near(far.get_weights()[0], {1e6 + 0.5});
  expect_near(far.get_weights()[1], {0.25});
  // Nothing is changed when a later array doesn't fit.
  EXPECT_EQ(message_of<ShapeError>([&] { far.adapt({Tensor({{5.f}}), Tensor({{1.f, 2.f}})}); }),
            "layer \"" + far.name() +
                "\" (Normalization): the layer has 1 features, but the data of shape (1, 2) have 2");
  expect_near(far.get_weights()[1], {0.25});
}

// ---- mistakes ---------------------------------------------------------------------------------------------

TEST(CategoryErrors, Hashing) {
  EXPECT_EQ(message_of<ValueError>([] { Hashing(0); }), "Hashing: num_bins must be positive, not 0");
  EXPECT_EQ(
      message_of<ValueError>([] { Hashing(3, {.output_mode = "multihot"}); }),
      "Hashing: output_mode \"multihot\" is not known. Did you mean \"multi_hot\"? Known names: \"one_hot\", "
      "\"multi_hot\", \"count\", \"int\".");
  EXPECT_EQ(message_of<ValueError>([] { Hashing(3, {.dtype = DType::f32}); }),
            "Hashing: output_mode \"int\" gives whole numbers, so dtype must be int32 or int64, not float32; "
            "or choose "
            "output_mode \"one_hot\"");
  EXPECT_EQ(message_of<ValueError>([] { Hashing(3, {.mask_value = 0.5}); }),
            "Hashing: mask_value must be a text or a whole number, not 0.5");
  EXPECT_EQ(message_of<TypeError>([] { Hashing(3, {.mask_value = 7, .name = "bins"})({"a"}); }),
            "layer \"bins\" (Hashing): the input holds texts, but mask_value is 7");
  EXPECT_EQ(message_of<TypeError>([] { Hashing(3, {.mask_value = "", .name = "bins"})(Tensor({1})); }),
            "layer \"bins\" (Hashing): the input holds whole numbers, but mask_value is \"\"");
  EXPECT_EQ(message_of<ValueError>([] { from_config("Hashing", Config::Dict{{"salt", 3}}); }),
            "Hashing: its configuration lacks \"num_bins\"");
}

TEST(CategoryErrors, HashedCrossing) {
  const HashedCrossingLayer cross = HashedCrossing(5, {.name = "cross"});
  EXPECT_EQ(message_of<ValueError>([] { HashedCrossing(-1); }),
            "HashedCrossing: num_bins must be positive, not -1");
  EXPECT_EQ(message_of<ValueError>([] { HashedCrossing(5, {.output_mode = "count"}); }),
            "HashedCrossing: output_mode \"count\" is not known. Known names: \"int\", \"one_hot\".");
  EXPECT_EQ(message_of<ShapeError>([&] { cross(std::vector<Feature>{Tensor({1})}); }),
            "layer \"cross\" (HashedCrossing) takes two or more features, but got 1; call it with a list: "
            "cross({a, b})");
  EXPECT_EQ(message_of<ShapeError>([&] { cross({Tensor({1}), Tensor({1, 2})}); }),
            "layer \"cross\" (HashedCrossing): features must have equal shapes, but have (1,) and (2,)");
  EXPECT_EQ(message_of<ShapeError>([&] { cross({Input({2}), Input({2})}); }),
            "layer \"cross\" (HashedCrossing): features have the shape (batch,) or (batch, 1), but one has "
            "(None, 2)");
  EXPECT_EQ(message_of<TypeError>([&] { cross({Input({1}), Input({1})}); }),
            "layer \"cross\" (HashedCrossing): features are texts or whole numbers, but one is of the type "
            "float32; "
            "give Input the dtype int64, or use Discretization first");
}

TEST(CategoryErrors, Vocabularies) {
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.vocabulary = {"a", "b", "a"}}); }),
            "StringLookup: the vocabulary has \"a\" twice; give each token once");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.vocabulary = {4, 4}}); }),
            "IntegerLookup: the vocabulary has 4 twice; give each token once");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.mask_token = "", .vocabulary = {"a", ""}}); }),
            "StringLookup: the vocabulary has the mask token \"\" among its tokens; leave it out, or begin "
            "with all "
            "special tokens: [\"\", \"[UNK]\"]");
  EXPECT_EQ(
      message_of<ValueError>([] { IntegerLookup({.vocabulary = {3, -1}, .invert = true}); }),
      "IntegerLookup: the vocabulary has the oov token -1 among its tokens; leave it out, or begin with all "
      "special tokens: [-1]");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.max_tokens = 3, .vocabulary = {"a", "b", "c"}}); }),
            "StringLookup: the vocabulary has 4 tokens with the special ones, but max_tokens is 3");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.vocabulary = {"[UNK]"}}); }),
            "StringLookup: the vocabulary has no token but the special ones");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup().set_vocabulary({}); }),
            "StringLookup: the vocabulary is empty");
  EXPECT_EQ(
      message_of<ValueError>([] { StringLookup({.vocabulary = {"a"}, .output_mode = "tf_idf"}); }),
      "StringLookup: output_mode \"tf_idf\" needs idf_weights beside the vocabulary; or let adapt find both");
  EXPECT_EQ(message_of<ValueError>(
                [] { IntegerLookup({.vocabulary = {4, 5}, .idf_weights = {1}, .output_mode = "tf_idf"}); }),
            "IntegerLookup: there are 1 idf_weights for a vocabulary of 2 tokens; give one for each");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.vocabulary = {4}, .idf_weights = {1}}); }),
            "IntegerLookup: idf_weights are for output_mode \"tf_idf\", not for \"int\"");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.idf_weights = {1}}); }),
            "IntegerLookup: idf_weights are those of a vocabulary, which isn't given");
}

TEST(CategoryErrors, ArgumentsOfLookups) {
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.max_tokens = 1}); }),
            "StringLookup: max_tokens must be 2 or more, not 1");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.pad_to_max_tokens = true}); }),
            "StringLookup: pad_to_max_tokens needs max_tokens");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.num_oov_indices = -2}); }),
            "IntegerLookup: num_oov_indices must not be negative, but it is -2");
  EXPECT_EQ(
      message_of<ValueError>([] { IntegerLookup({.output_mode = "tfidf"}); }),
      "IntegerLookup: output_mode \"tfidf\" is not known. Did you mean \"tf_idf\"? Known names: \"int\", "
      "\"one_hot\", \"multi_hot\", \"count\", \"tf_idf\".");
  EXPECT_EQ(
      message_of<ValueError>([] { IntegerLookup({.invert = true, .output_mode = "count"}); }),
      "IntegerLookup: a lookup that inverts gives tokens, so output_mode must be \"int\", not \"count\"");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.oov_method = "hash"}); }),
            "IntegerLookup: oov_method \"hash\" is not known. Known names: \"floormod\", \"farmhash\".");
  EXPECT_EQ(message_of<ValueError>([] { IntegerLookup({.salt = 3}); }),
            "IntegerLookup: a salt is for oov_method \"farmhash\"");
}

TEST(CategoryErrors, LookupsAtTheWrongTime) {
  EXPECT_EQ(message_of<StateError>([] { StringLookup({.name = "words"})({"a"}); }),
            "layer \"words\" (StringLookup) has no vocabulary yet: give it one, or call adapt with data, "
            "before the "
            "layer is used");
  EXPECT_EQ(
      message_of<StateError>([] { IntegerLookup({.name = "ids"})(Input({3})); }),
      "layer \"ids\" (IntegerLookup) has no vocabulary yet: give it one, or call adapt with data, before the "
      "layer is used");
  EXPECT_EQ(message_of<StateError>([] { StringLookup({.vocabulary = {"a"}, .name = "words"}).adapt({"b"}); }),
            "layer \"words\" (StringLookup): adapt has nothing to find, as the vocabulary was given");
  IntegerLookupLayer used = IntegerLookup({.name = "ids"});
  used.adapt(Tensor({1, 2}));
  used(Input({3}));
  EXPECT_EQ(message_of<StateError>([&] { used.adapt(Tensor({1, 2, 3})); }),
            "layer \"ids\" (IntegerLookup): adapt comes too late, as models hold the present vocabulary; "
            "call it on a "
            "new layer, before it is used in a model");
  EXPECT_EQ(message_of<ShapeError>([] { StringLookup({.name = "words"}).adapt(Strings()); }),
            "layer \"words\" (StringLookup): adapt needs data, but got none");
  EXPECT_EQ(message_of<ValueError>([] { StringLookup({.name = "words"}).adapt({"[UNK]"}); }),
            "layer \"words\" (StringLookup): adapt found no token for the vocabulary: the data hold the mask "
            "token or "
            "the oov token only, or max_tokens leaves no room");
  EXPECT_EQ(
      message_of<TypeError>(
          [] { Sequential({Input({2}), StringLookup({.vocabulary = {"a"}, .name = "words"})}); }),
      "layer \"words\" (StringLookup) can't be part of a model, as tensors hold no texts: call it with the "
      "texts, lookup(texts), and give the model the numbers that it returns");
  const StringLookupLayer inverts = StringLookup({.vocabulary = {"a"}, .invert = true, .name = "words"});
  EXPECT_EQ(message_of<TypeError>([&] { inverts({"a"}); }),
            "layer \"words\" (StringLookup) inverts: it takes numbers, by its function tokens(numbers)");
  EXPECT_EQ(
      message_of<TypeError>([] { StringLookup({.vocabulary = {"a"}, .name = "words"}).tokens(Tensor({1})); }),
      "layer \"words\" (StringLookup) takes texts; for tokens of numbers, make it with .invert = true");
}

TEST(CategoryErrors, Discretization) {
  EXPECT_EQ(message_of<ValueError>([] { Discretization(); }),
            "Discretization: give bin_boundaries, or num_bins for adapt to find them");
  EXPECT_EQ(message_of<ValueError>([] { Discretization({1.0}, {.num_bins = 3}); }),
            "Discretization: give bin_boundaries or num_bins, not both");
  EXPECT_EQ(message_of<ValueError>([] { Discretization({}, {.num_bins = 1}); }),
            "Discretization: num_bins must be 2 or more, not 1");
  EXPECT_EQ(message_of<ValueError>([] { Discretization({}, {.num_bins = 3, .epsilon = 0}); }),
            "Discretization: epsilon must be in (0, 1), but it is 0");
  EXPECT_EQ(message_of<ValueError>([] { Discretization({2.0, 1.0}); }),
            "Discretization: bin_boundaries must ascend, but 2 is followed by 1");
  DiscretizationLayer bins = Discretization({}, {.num_bins = 3, .name = "bins"});
  EXPECT_EQ(
      message_of<StateError>([&] { bins(Input({2})); }),
      "layer \"bins\" (Discretization) has no bin_boundaries yet: call adapt with data, before the layer is "
      "used");
  EXPECT_EQ(message_of<ShapeError>([&] { bins.adapt(Tensor::zeros({0, 2})); }),
            "layer \"bins\" (Discretization): adapt needs data, but got no element");
  EXPECT_EQ(message_of<StateError>([] { Discretization({1.0}, {.name = "bins"}).adapt(Tensor({1.f, 2.f})); }),
            "layer \"bins\" (Discretization): adapt has nothing to find, as bin_boundaries were given; make "
            "the layer "
            "with num_bins");
  bins.adapt(Tensor({1.f, 2.f, 3.f, 4.f}));
  bins(Input({2}));
  EXPECT_EQ(message_of<StateError>([&] { bins.adapt(Tensor({1.f, 2.f})); }),
            "layer \"bins\" (Discretization): adapt comes too late, as models hold the present "
            "bin_boundaries; call "
            "it on a new layer, before it is used in a model");
  EXPECT_EQ(message_of<ShapeError>([] { Normalization({.name = "norm"}).adapt(Tensors()); }),
            "layer \"norm\" (Normalization): adapt needs data, but got none");
}

}  // namespace
}  // namespace kiln
