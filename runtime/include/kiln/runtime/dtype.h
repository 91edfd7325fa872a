#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kiln {

/// Element types of tensors and of values in the graph. `bool_` is one byte holding 0 or 1.
enum class DType : std::uint8_t { f32, f64, i32, i64, u8, bool_ };

/// Bytes of one element.
constexpr std::size_t size_of(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::u8:
    case DType::bool_:
      return 1;
  }
  return 0;
}
constexpr bool is_float(DType t) {
  return t == DType::f32 || t == DType::f64;
}
/// i32, i64 and u8; bool is not an integer.
constexpr bool is_integer(DType t) {
  return t == DType::i32 || t == DType::i64 || t == DType::u8;
}

/// Keras's name: "float32", "int64", "bool".
constexpr std::string_view name(DType t) {
  switch (t) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
    case DType::bool_:
      return "bool";
  }
  return "?";
}
/// The compiler's name, used in graph text and dumps: "f32", "i64", "bool".
constexpr std::string_view short_name(DType t) {
  switch (t) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::bool_:
      return "bool";
  }
  return "?";
}

/// Maps a C++ element type to its DType: `dtype_of<float> == DType::f32`.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "kiln tensors hold float, double, int32_t, int64_t, uint8_t or bool");
  return DType::f32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<bool> = DType::bool_;

/// Calls `f` with a value-initialised object of the C++ type of `t`:
/// `visit(t, [&](auto zero) { using T = decltype(zero); ... })`.
template <class F>
decltype(auto) visit(DType t, F&& f) {
  switch (t) {
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::bool_:
      return f(bool{});
    case DType::f32:
      break;
  }
  return f(float{});
}

}  // namespace kiln
