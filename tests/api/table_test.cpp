// Named columns: CSV files, selections, joins, and tensors made of them.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/api/support.h"
#include "tests/support/files.h"

namespace kiln::data {
namespace {

using testing::floats;
using testing::message_of;
using testing::TemporaryFolder;
using testing::write_file;
using Floats = std::vector<float>;
using Numbers = std::vector<double>;
using Strings = std::vector<std::string>;

class Csv : public ::testing::Test {
 protected:
  Table read(const std::string& content, const ReadCsvArgs& args = {}) const {
    write_file(path_, content);
    return read_csv(path_, args);
  }
  std::string fault(const std::string& content, const ReadCsvArgs& args = {}) const {
    const std::string message = message_of<FileError>([&] { read(content, args); });
    EXPECT_EQ(message.substr(0, path_.size() + 2), path_ + ": ");
    return message.substr(std::min(message.size(), path_.size() + 2));
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.csv";
};

TEST_F(Csv, ColumnsOfNumbersAndOfStrings) {
  const Table t = read("age, city ,score\n31,Paris,1.5e3\n-4, Rome ,+.5\r\n\n7,Oslo,2");
  EXPECT_EQ(t.names(), (Strings{"age", "city", "score"}));
  EXPECT_EQ(t.rows(), 3);
  EXPECT_EQ(t.numbers("age"), (Numbers{31, -4, 7}));
  EXPECT_EQ(t.strings("city"), (Strings{"Paris", "Rome", "Oslo"}));
  EXPECT_EQ(t.numbers("score"), (Numbers{1500, .5, 2}));
}

TEST_F(Csv, QuotesHoldDelimitersLineEndsAndQuotes) {
  const Table t = read("a,b\n\"x, y\",\"two\nlines\"\n\" kept \",\"say \"\"hi\"\"\"\n\"12\",z\n");
  EXPECT_EQ(t.strings("a"), (Strings{"x, y", " kept ", "12"}));
  EXPECT_EQ(t.strings("b"), (Strings{"two\nlines", "say \"hi\"", "z"}));
}

TEST_F(Csv, MissingValues) {
  const Table t = read("n,s,none\n1,a,\n,,\nNA,null,\n4,d,NaN\n");
  EXPECT_TRUE(std::isnan(t.numbers("n")[1]));
  EXPECT_TRUE(std::isnan(t.numbers("n")[2]));
  EXPECT_EQ(t.strings("s"), (Strings{"a", "", "", "d"}));
  EXPECT_TRUE(t.is_number("none")) << "a column without values could be of numbers";
  EXPECT_EQ(t.drop_missing({"n", "s"}).numbers("n"), (Numbers{1, 4}));
  EXPECT_EQ(t.drop_missing().rows(), 0);
  EXPECT_EQ(read("n\n-\n1\n", {.na_values = {"-"}}).drop_missing().numbers("n"), (Numbers{1}));
}

TEST_F(Csv, Arguments) {
  EXPECT_EQ(read("1;2\n3;4\n", {.delimiter = ';', .header = false}).names(), (Strings{"0", "1"}));
  EXPECT_EQ(read("1,2\n3,4\n", {.header = false, .names = {"p", "q"}}).numbers("q"), (Numbers{2, 4}));
  EXPECT_EQ(read("a,b\n3,4\n", {.names = {"p", "q"}}).numbers("p"), (Numbers{3}));
  EXPECT_EQ(read("zip\n01234\n", {.strings = {"zip"}}).strings("zip"), (Strings{"01234"}));
  EXPECT_EQ(read("\xEF\xBB\xBFid\n5\n").numbers("id"), (Numbers{5}));
  EXPECT_EQ(read("a,b\n").rows(), 0);
  EXPECT_EQ(read("v\n1e999\ninf\n").numbers("v")[0], INFINITY);
}

TEST_F(Csv, ErrorsNameTheLine) {
  EXPECT_EQ(fault(""), "the file is empty; a CSV file needs a row");
  EXPECT_EQ(fault("a,b\n1,2\n\n\"x\ny\",4\n5\n"),
            "line 6: the row has 1 fields, but the first has 2; the last one is \"5\"");
  EXPECT_EQ(fault("a,b\n1,2\n\"x\ny\",4,extra\n"),
            "line 3: the row has 3 fields, but the first has 2; the last one is \"extra\"");
  EXPECT_EQ(fault("a,b\n1,x\"y\n"),
            "line 2: a quote stands where none may, near character 4; a field with quotes in it is put into "
            "quotes, "
            "and they are doubled");
  EXPECT_EQ(fault("a,b\n1,2\n3,\"open\n\n"),
            "line 3: the row that begins here has quotes that aren't closed before the end of the file");
  EXPECT_EQ(fault("a,,c\n1,2,3\n"),
            "line 1: column 2 of the header has no name; give .names, or .header = false if there are none");
  EXPECT_EQ(
      fault("\n1,1\n2,3\n"),
      "line 2: two columns are called \"1\"; give .names, or .header = false if the first row holds values");
  EXPECT_EQ(fault("a,b\n1,2\n3,4x\n", {.numbers = {"b"}}),
            "line 3: column \"b\" holds \"4x\", which is no number");
  EXPECT_EQ(message_of<FileError>([&] { read_csv(folder_ / "none.csv"); }),
            folder_ / "none.csv" + ": can't open the file: No such file or directory");
}

TEST_F(Csv, Mistakes) {
  const auto value_error = [&](const ReadCsvArgs& args) {
    return message_of<ValueError>([&] { read("age,size\n1,2\n", args); });
  };
  EXPECT_EQ(value_error({.names = {"a"}}), "read_csv: 1 names for the 2 columns of " + path_);
  EXPECT_EQ(value_error({.names = {"a", "a"}}),
            "read_csv: names has \"a\" twice; each column needs a name of its own");
  EXPECT_EQ(value_error({.names = {"a", ""}}),
            "read_csv: names has \"\"; each column needs a name of its own");
  EXPECT_EQ(value_error({.strings = {"ages"}}),
            "read_csv: strings: column \"ages\" is not known. Did you mean \"age\"? Known names: \"age\", "
            "\"size\".");
  EXPECT_EQ(value_error({.numbers = {"width"}}),
            "read_csv: numbers: column \"width\" is not known. Known names: \"age\", \"size\".");
  EXPECT_EQ(value_error({.delimiter = '"'}),
            "read_csv: the delimiter can't be a quote, a space or a line end; give ',' or ';' or '\\t'");
}

// ---- tables -----------------------------------------------------------------------------------------------

Table people() {
  Table t;
  t.add("name", Strings{"Ann", "Bob", "Cid"})
      .add("age", Numbers{30, 40, 50})
      .add("city", Strings{"B", "A", "B"});
  return t;
}

TEST(Table, SelectsAndTakes) {
  const Table t = people();
  EXPECT_EQ(t.select({"city", "name"}).names(), (Strings{"city", "name"}));
  EXPECT_EQ(t.drop({"age"}).names(), (Strings{"name", "city"}));
  EXPECT_EQ(t.take(std::vector<std::int64_t>{2, 0}).strings("name"), (Strings{"Cid", "Ann"}));
  const auto parts = train_test_split(t, {.test_size = 1, .shuffle = false});
  EXPECT_EQ(parts[1].strings("name"), (Strings{"Cid"}));
  EXPECT_EQ(t.to_string(2), "  name  age  city\n   Ann   30     B\n   Bob   40     A\n3 rows, 3 columns\n");
  const Table from = Table::from_tensor(Tensor({{1.f, 2.f}, {3.f, 4.f}}), {"a", "b"});
  EXPECT_EQ(from.numbers("b"), (Numbers{2, 4}));
  EXPECT_EQ(floats(from.to_tensor({"b", "a"})), (Floats{2, 1, 4, 3}));
  EXPECT_EQ(from.to_tensor().shape(), (Shape{2, 2}));
}

TEST(Table, Mistakes) {
  Table t = people();
  EXPECT_EQ(
      message_of<ValueError>([&] { t.numbers("agee"); }),
      "Table: column \"agee\" is not known. Did you mean \"age\"? Known names: \"name\", \"age\", \"city\".");
  EXPECT_EQ(message_of<TypeError>([&] { t.numbers("city"); }),
            "Table: column \"city\" holds strings; read it with strings(), or make numbers of it with "
            "TableEncoder");
  EXPECT_EQ(message_of<TypeError>([&] { t.strings("age"); }),
            "Table: column \"age\" holds numbers; read it with numbers()");
  EXPECT_EQ(message_of<ValueError>([&] { t.add("age", Numbers{1, 2, 3}); }),
            "Table: there is a column \"age\" already; give another name");
  EXPECT_EQ(message_of<ShapeError>([&] { t.add("more", Numbers{1, 2}); }),
            "Table: column \"more\" has 2 rows, but the table has 3");
  EXPECT_EQ(message_of<ValueError>([&] { t.take(std::vector<std::int64_t>{3}); }),
            "Table: there is no row 3 among 3");
  EXPECT_EQ(message_of<ShapeError>([] { Table::from_tensor(Tensor({{1.f, 2.f}}), {"a"}); }),
            "Table::from_tensor: 1 names for the 2 columns of x, whose shape is (1, 2)");
  EXPECT_EQ(message_of<ShapeError>([] { Table::from_tensor(Tensor(), {"a"}); }),
            "Table::from_tensor: x is an empty Tensor; it must be (rows,) or (rows, columns)");
}

TEST(Concat, RowsAndColumns) {
  const Table t = people(), other = t.select({"city", "age", "name"});
  EXPECT_EQ(concat({t, other}).numbers("age"), (Numbers{30, 40, 50, 30, 40, 50}));
  EXPECT_EQ(concat({t.select({"age"}), t.select({"city"})}, {.axis = 1}).names(), (Strings{"age", "city"}));
}

TEST(Concat, Mistakes) {
  const Table t = people();
  EXPECT_EQ(message_of<ValueError>([&] { concat({t, t.drop({"age"})}); }),
            "concat: table 0 has 3 columns, one of them \"name\"; table 1 has 2; rows go below each other "
            "only where "
            "all columns are the same");
  Table ages;
  ages.add("age", Strings{"old", "young"});
  EXPECT_EQ(message_of<TypeError>([&] { concat({t.select({"age"}), ages}); }),
            "concat: column \"age\" holds numbers in table 0, but strings in table 1");
  EXPECT_EQ(message_of<ShapeError>([&] { concat({t, ages}, {.axis = 1}); }),
            "concat: table 0 has 3 rows, but table 1 has 2; to put together what a key joins, use merge");
  EXPECT_EQ(message_of<ValueError>([&] { concat({t, t}, {.axis = 1}); }),
            "concat: column \"name\" is in table 1 and in one before; drop one of them");
  EXPECT_EQ(message_of<ValueError>([&] { concat({t}, {.axis = 2}); }),
            "concat: axis is 2; give 0 (rows below rows) or 1 (columns beside columns)");
  EXPECT_EQ(message_of<ValueError>([] { concat({}); }), "concat: there are no tables; give at least one");
}

TEST(Merge, ByAKey) {
  Table left, right;
  left.add("id", Numbers{3, 1, 2, NAN}).add("v", Numbers{30, 10, 20, 0});
  right.add("id", Numbers{1, 3, 3, NAN}).add("v", Strings{"one", "three", "drei", "none"});
  const Table inner = merge(left, right, {.on = "id"});
  EXPECT_EQ(inner.names(), (Strings{"id", "v_x", "v_y"}));
  EXPECT_EQ(inner.numbers("id"), (Numbers{3, 3, 1}));
  EXPECT_EQ(inner.strings("v_y"), (Strings{"three", "drei", "one"}));
  const Table all = merge(left, right, {.on = "id", .how = "left"});
  EXPECT_EQ(all.rows(), 5);
  EXPECT_EQ(all.strings("v_y"), (Strings{"three", "drei", "one", "", ""}));
  Table scores;
  scores.add("name", Strings{"Cid", "Ann"}).add("score", Numbers{1, 2});
  const Table joined = merge(people(), scores, {.on = "name", .how = "left"});
  EXPECT_EQ(joined.numbers("score")[0], 2);
  EXPECT_TRUE(std::isnan(joined.numbers("score")[1]));
}

TEST(Merge, Mistakes) {
  const Table t = people();
  Table other;
  other.add("age", Strings{"x"}).add("id", Numbers{1});
  EXPECT_EQ(message_of<ValueError>([&] { merge(t, other, {}); }),
            "merge: there is no key; give .on = \"column\", a column of both tables");
  EXPECT_EQ(message_of<ValueError>([&] { merge(t, other, {.on = "id"}); }),
            "merge: the left table has no column \"id\" to join on; it has \"name\", \"age\", \"city\"");
  EXPECT_EQ(message_of<ValueError>([&] { merge(t, other, {.on = "name"}); }),
            "merge: the right table has no column \"name\" to join on; it has \"age\", \"id\"");
  EXPECT_EQ(message_of<TypeError>([&] { merge(t, other, {.on = "age"}); }),
            "merge: the key \"age\" holds numbers in the left table, but strings in the right one");
  EXPECT_EQ(message_of<ValueError>([&] { merge(t, t, {.on = "age", .how = "outer"}); }),
            "merge: how \"outer\" is not known. Known names: \"inner\", \"left\".");
  EXPECT_EQ(message_of<ValueError>([&] { merge(t, t, {.on = "age", .suffixes = {"_x"}}); }),
            "merge: 1 suffixes were given; two different ones are needed, such as \"_x\" and \"_y\"");
}

TEST(TableEncoder, OneHotAndIndex) {
  TableEncoder encoder({.columns = {"age", "city"}});
  const Tensor x = encoder.fit_transform(people());
  EXPECT_EQ(floats(x), (Floats{30, 0, 1, 40, 1, 0, 50, 0, 1}));
  EXPECT_EQ(encoder.feature_names(), (Strings{"age", "city=A", "city=B"}));
  EXPECT_EQ(encoder.categories("city"), (Strings{"A", "B"}));
  TableEncoder index(
      {.columns = {"city", "age"}, .strings = "index", .unknown = "ignore", .fill_missing = -7});
  index.fit(people());
  Table test;
  test.add("age", Numbers{NAN, 1}).add("city", Strings{"B", "Z"});
  EXPECT_EQ(floats(index.transform(test)), (Floats{1, -7, -1, 1}));
  EXPECT_EQ(index.feature_names(), (Strings{"city", "age"}));
  TableEncoder ignoring({.columns = {"city"}, .unknown = "ignore"});
  EXPECT_EQ(floats(ignoring.fit(people()).transform(test)), (Floats{0, 1, 0, 0}));
}

TEST(TableEncoder, Mistakes) {
  TableEncoder encoder;
  EXPECT_EQ(message_of<StateError>([&] { encoder.transform(people()); }),
            "TableEncoder: transform was called before fit; call fit on the training data first");
  encoder.fit(people());
  Table test;
  test.add("name", Strings{"Ann"}).add("age", Numbers{NAN}).add("city", Strings{"A"});
  EXPECT_EQ(message_of<ValueError>([&] { encoder.transform(test); }),
            "column \"age\" has no value in row 0; call drop_missing on the table, or give TableEncoder a "
            "fill_missing");
  EXPECT_EQ(message_of<ValueError>([&] { test.to_tensor({"age"}); }),
            "column \"age\" has no value in row 0; call drop_missing on the table, or give TableEncoder a "
            "fill_missing");
  test = Table().add("name", Strings{"Zoe"}).add("age", Numbers{1}).add("city", Strings{"A"});
  EXPECT_EQ(
      message_of<ValueError>([&] { encoder.transform(test); }),
      "TableEncoder: column \"name\" has \"Zoe\" in row 0, which isn't among the 3 categories that fit saw; "
      "give .unknown = \"ignore\", or fit on data that has it");
  test = Table().add("name", Numbers{1}).add("age", Numbers{1}).add("city", Strings{"A"});
  EXPECT_EQ(message_of<TypeError>([&] { encoder.transform(test); }),
            "TableEncoder: column \"name\" holds numbers, but strings when fit was called");
  EXPECT_EQ(
      message_of<ValueError>([] { TableEncoder({.strings = "onehot"}); }),
      "TableEncoder: strings \"onehot\" is not known. Did you mean \"one_hot\"? Known names: \"one_hot\", "
      "\"index\".");
  EXPECT_EQ(message_of<ValueError>([] { TableEncoder({.unknown = "skip"}); }),
            "TableEncoder: unknown \"skip\" is not known. Known names: \"error\", \"ignore\".");
  EXPECT_EQ(message_of<TypeError>([] { people().to_tensor(); }),
            "Table: column \"name\" holds strings; read it with strings(), or make numbers of it with "
            "TableEncoder");
}

}  // namespace
}  // namespace kiln::data
