#pragma once
#include <string>
#include <vector>

namespace kiln::internal {

enum class Align { left, right, center };

/// A table with a heavy head and a line between rows, as Keras's summary draws it (through Python's `rich`).
struct Table {
  struct Column {
    std::string header;
    Align align = Align::left;
    int width = 0;  ///< wanted width of the text
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  int width = 80;  ///< of the whole; columns shrink evenly to fit

  std::string to_string() const;
};

/// Characters on the screen: bytes that don't continue a UTF-8 sequence.
int display_width(const std::string& text);
/// Lines of at most `width` characters, broken between words; of a longer word the end is cut off (…).
std::vector<std::string> wrap(const std::string& text, int width);

}  // namespace kiln::internal
