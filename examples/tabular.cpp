// From a CSV file to a classifier: columns of numbers and strings, a split, scaling, training. Options:
// --file CSV with a column "bought" of 0 and 1 (else the program makes one up), --epochs.
#include <kiln/kiln.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "options.h"

using namespace kiln;
using namespace kiln::layers;

/// Who buys: the older, the more often, and in Oslo more than in Rome. One age in fifty isn't known.
void make_up(const std::string& path) {
  std::ofstream file(path);
  std::mt19937 random(1);
  file << "age,income,city,bought\n";
  for (int i = 0; i < 2000; i++) {
    const auto age = 18 + random() % 60, income = 1000 + random() % 4000;
    const char* city = random() % 2 == 0 ? "Oslo" : "Rome";
    const bool bought = age + (*city == 'O' ? 20 : 0) + random() % 10 > 60;
    file << (i % 50 == 0 ? "" : std::to_string(age)) << ',' << income << ',' << city << ',' << bought << '\n';
  }
}

int main(int argc, char** argv) {
  const Options options(argc, argv);
  set_random_seed(1);
  std::string path = options.text("file", "");
  if (path.empty()) make_up(path = std::filesystem::temp_directory_path() / "kiln_tabular.csv");

  const data::Table table = data::read_csv(path).drop_missing();
  std::printf("%s", table.to_string(5).c_str());
  const auto [train, test] = data::train_test_split(table, {.test_size = 0.2, .seed = 1});
  data::TableEncoder encoder;  // "city" becomes two columns, one for each city
  data::MinMaxScaler scaler;
  const Tensor x_train = scaler.fit_transform(encoder.fit_transform(train.drop({"bought"}))),
               x_test = scaler.transform(encoder.transform(test.drop({"bought"})));

  Sequential model({Dense(16, {.activation = "relu"}), Dense(1, {.activation = "sigmoid"})});
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}),
                 .loss = "binary_crossentropy",
                 .metrics = {"accuracy"}});
  const auto batches =
      data::Dataset::from_tensor_slices({x_train, train.to_tensor({"bought"})}).shuffle(2000).batch(32);
  model.fit(batches, {.epochs = options.number("epochs", 20)});
  auto result = model.evaluate(x_test, test.to_tensor({"bought"}));
  std::printf("test accuracy %.4f\n", result["accuracy"]);
}
