#pragma once
#include <initializer_list>
#include <string>
#include <vector>

#include "kiln/runtime/shape.h"

namespace kiln {

/// An array of texts, which tensors don't hold: what Hashing, HashedCrossing and StringLookup take. Made
/// implicitly from a list of texts, or from rows of them:
///
///     lookup({"red", "green", "red"});              // shape (3,)
///     lookup({{"red", "green"}, {"blue", "red"}});  // shape (2, 2)
class KILN_API Strings {
 public:
  Strings() = default;
  Strings(std::vector<std::string> texts);
  Strings(std::initializer_list<const char*> texts);
  /// Throws ShapeError if the rows' lengths differ.
  Strings(const std::vector<std::vector<std::string>>& rows);
  Strings(std::initializer_list<std::initializer_list<const char*>> rows);
  /// Throws ShapeError if the counts differ.
  Strings(std::vector<std::string> texts, Shape shape);

  const Shape& shape() const { return shape_; }
  std::size_t size() const { return texts_.size(); }
  /// All texts, row by row.
  const std::vector<std::string>& texts() const { return texts_; }
  const std::string& operator[](std::size_t i) const { return texts_[i]; }
  friend bool operator==(const Strings&, const Strings&) = default;

 private:
  std::vector<std::string> texts_;
  Shape shape_ = {0};
};

}  // namespace kiln
