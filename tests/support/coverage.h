#pragma once
#include <gtest/gtest.h>

#include <string>

namespace kiln::testing {

/// Says that this test, if it passes, shows something of a name of Keras's vocabulary: marks as in
/// tests/coverage/vocabulary.json, one or several ("forward gradient"). They stand in gtest's report, from
/// which docs/COVERAGE.md is made.
inline void covers(const std::string& section, const std::string& name, const std::string& marks) {
  ::testing::Test::RecordProperty("covers " + section + "/" + name, marks);
}

}  // namespace kiln::testing
