#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "kiln/runtime/error.h"

/// What handles (Loss, Optimizer, ...) check before they use the pointer that they are made of.
namespace kiln::internal {

/// The pointer. Throws StateError if it is empty.
template <class T>
std::shared_ptr<T> not_empty(std::shared_ptr<T> pointer, std::string_view handle) {
  if (!pointer)
    throw StateError(std::string(handle) +
                     " was made from an empty pointer; give it an object: std::make_shared<Mine>(...)");
  return pointer;
}

/// What the pointer points to. Throws StateError if it is empty: the handle was made without anything, or
/// moved from.
template <class T>
T& used(const std::shared_ptr<T>& pointer, std::string_view handle) {
  if (!pointer)
    throw StateError("an empty " + std::string(handle) +
                     " was used: it was made without anything, or moved from");
  return *pointer;
}

/// A name given as a C string. Throws ValueError for a null pointer.
inline std::string given_name(std::string_view what, const char* name) {
  if (name == nullptr)
    throw ValueError(std::string(what) + ": the name is a null pointer; give a name in quotes");
  return name;
}

/// A function given by the user. Throws ValueError if it is empty.
template <class F>
F not_empty_function(F function, std::string_view what) {
  if (!function) throw ValueError(std::string(what) + ": the function is empty; give one that emits ops");
  return function;
}

}  // namespace kiln::internal
