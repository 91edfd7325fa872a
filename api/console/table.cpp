#include "api/console/table.h"

#include <algorithm>
#include <cmath>

namespace kiln::internal {
namespace {

bool continues(char c) {
  return (c & 0xC0) == 0x80;
}

// What doesn't fit into `width` characters is cut off and marked.
std::string shortened(const std::string& text, int width) {
  if (display_width(text) <= width) return text;
  std::size_t end = 0;
  for (int n = 0; end < text.size(); end++)
    if (!continues(text[end]) && n++ == width - 1) break;
  return text.substr(0, end) + "…";
}

std::string repeat(const std::string& cell, int times) {
  std::string out;
  for (int i = 0; i < times; i++) out += cell;
  return out;
}

std::string aligned(const std::string& text, int width, Align align) {
  const int space = std::max(0, width - display_width(text));
  const int left = align == Align::left ? 0 : align == Align::right ? space : space / 2;
  return std::string(static_cast<std::size_t>(left), ' ') + text +
         std::string(static_cast<std::size_t>(space - left), ' ');
}

// Widths of the columns, one space of padding on each side included: what is too much is taken off all
// columns alike, the remainders rounded half to even.
std::vector<int> column_widths(const Table& table) {
  std::vector<int> widths;
  int excess = -(table.width - static_cast<int>(table.columns.size()) - 1);
  for (const Table::Column& column : table.columns) {
    widths.push_back(column.width + 2);
    excess += widths.back();
  }
  int left = static_cast<int>(widths.size());
  for (int& width : widths) {
    if (excess <= 0) break;
    const int less = std::min(width, static_cast<int>(std::nearbyint(static_cast<double>(excess) / left--)));
    width -= less;
    excess -= less;
  }
  return widths;
}

class Drawing {
 public:
  explicit Drawing(const Table& table) : table_(table), widths_(column_widths(table)) {}

  void rule(const char* left, const char* line, const char* cross, const char* right) {
    text += left;
    for (std::size_t i = 0; i < widths_.size(); i++) text += (i > 0 ? cross : "") + repeat(line, widths_[i]);
    text += std::string(right) + "\n";
  }

  void row(const std::vector<std::string>& cells, const char* bar) {
    std::vector<std::vector<std::string>> lines;
    std::size_t height = 1;
    for (std::size_t i = 0; i < widths_.size(); i++) {
      lines.push_back(wrap(cells[i], widths_[i] - 2));
      height = std::max(height, lines.back().size());
    }
    for (std::size_t k = 0; k < height; k++) {
      for (std::size_t i = 0; i < widths_.size(); i++) {
        const std::string cell = k < lines[i].size() ? lines[i][k] : "";
        text += std::string(bar) + " " + aligned(cell, widths_[i] - 2, table_.columns[i].align) + " ";
      }
      text += std::string(bar) + "\n";
    }
  }

  std::string text;

 private:
  const Table& table_;
  std::vector<int> widths_;
};

}  // namespace

int display_width(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::vector<std::string> wrap(const std::string& text, int width) {
  if (width < 1) return {text};
  std::vector<std::string> lines;
  std::string line;
  std::size_t at = 0;
  while (at < text.size()) {
    // A word with the spaces before it.
    const std::size_t start = text.find_first_not_of(' ', at);
    if (start == std::string::npos) break;
    const std::size_t end = std::min(text.find(' ', start), text.size());
    const std::string spaces = text.substr(at, start - at);
    const std::string word = text.substr(start, end - start);
    at = end;
    if (display_width(line + spaces + word) <= width) {
      line += spaces + word;
      continue;
    }
    if (!line.empty()) lines.push_back(line);
    line = shortened(word, width);
  }
  if (!line.empty() || lines.empty()) lines.push_back(line);
  return lines;
}

std::string Table::to_string() const {
  Drawing drawing(*this);
  std::vector<std::string> headers;
  for (const Column& column : columns) headers.push_back(column.header);
  drawing.rule("┏", "━", "┳", "┓");
  drawing.row(headers, "┃");
  drawing.rule("┡", "━", "╇", "┩");
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (i > 0) drawing.rule("├", "─", "┼", "┤");
    drawing.row(rows[i], "│");
  }
  drawing.rule("└", "─", "┴", "┘");
  return drawing.text;
}

}  // namespace kiln::internal
