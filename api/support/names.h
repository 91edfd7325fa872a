#pragma once
#include <span>
#include <string>
#include <string_view>

namespace kiln::internal {

/// Keras's snake case of a class name: Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, ReLU -> re_lu.
std::string snake_case(std::string_view class_name);

/// The next free name of a kind in this process, as Keras counts: dense, dense_1, dense_2.
std::string unique_name(const std::string& stem);
/// Starts all counts anew.
void reset_unique_names();

/// Name of a C++ class without namespaces and without the ending "Impl": kiln::layers::DenseImpl -> Dense.
std::string plain_class_name(const char* mangled);

/// The known name nearest to `given` by edit distance, or empty if none is near.
std::string_view nearest_name(std::string_view given, std::span<const std::string_view> known);

/// Throws ValueError: `activation "rellu" is not known. Did you mean "relu"? Known names: ...`.
[[noreturn]] void unknown_name(std::string_view what, std::string_view given,
                               std::span<const std::string_view> known);

/// "a", "b", "c"
std::string quoted_list(std::span<const std::string_view> names);

}  // namespace kiln::internal
