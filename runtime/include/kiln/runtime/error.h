#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

#if defined(__GNUC__)
#define KILN_API __attribute__((visibility("default")))
#else
#define KILN_API
#endif

namespace kiln {

/// Base of everything Kiln throws. The message says which layer or argument, what was expected, what came,
/// and how to mend it.
class KILN_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// A shape doesn't fit: ranks, sizes, broadcasting, a kernel larger than its input.
class KILN_API ShapeError : public Error {
  using Error::Error;
};
/// An element type doesn't fit.
class KILN_API TypeError : public Error {
  using Error::Error;
};
/// An argument's value is outside what is allowed, or data holds a forbidden value (a label out of range).
class KILN_API ValueError : public Error {
  using Error::Error;
};
/// A `check` inside a graph found a forbidden value in the data, such as a label out of range. Where it stands is
/// kept, so that a caller who knows which rows it passed can say which of the user's it is.
class KILN_API DataError : public ValueError {
 public:
  /// In `message`, {row} and {value} are replaced.
  DataError(std::string message, std::int64_t row, double value);
  /// With {row} and {value} still in it.
  const std::string& message() const { return message_; }
  std::int64_t row() const { return row_; }
  double value() const { return value_; }

 private:
  std::string message_;
  std::int64_t row_;
  double value_;
};
/// A file is missing, damaged, or can't be written.
class KILN_API FileError : public Error {
  using Error::Error;
};
/// Calls in the wrong order: fit before compile, weights before build.
class KILN_API StateError : public Error {
  using Error::Error;
};
/// A fault of Kiln's own. Please report it; the message holds what is needed.
class KILN_API InternalError : public Error {
  using Error::Error;
};

}  // namespace kiln
