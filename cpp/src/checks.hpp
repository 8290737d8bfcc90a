// Checks that several capabilities share.
#pragma once

#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "petrain/tensor.hpp"

namespace petrain {

// A number as a person would write it: "0.001", not "0.001000".
inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

// Throws std::invalid_argument unless the array has this dtype and shape; `what` names it in the message.
inline void require(const ConstTensorView& array, DType dtype, const Shape& shape, const std::string& what) {
  if (array.dtype != dtype) {
    throw std::invalid_argument(what + ": expected dtype " + dtype_name(dtype) + ", got " + dtype_name(array.dtype));
  }
  if (array.shape != shape) {
    throw std::invalid_argument(what + ": expected shape " + shape_text(shape) + ", got " + shape_text(array.shape));
  }
}

inline void require_count(std::size_t got, std::size_t expected, const std::string& what) {
  if (got != expected) {
    throw std::invalid_argument("expected " + std::to_string(expected) + " " + what + ", got " + std::to_string(got));
  }
}

inline bool share_memory(const ConstTensorView& a, const ConstTensorView& b) {
  if (a.data == nullptr || b.data == nullptr) return false;
  const auto end = [](const ConstTensorView& view) {
    return view.as<std::byte>() + static_cast<std::size_t>(view.size()) * dtype_size(view.dtype);
  };
  return a.size() > 0 && b.size() > 0 && a.as<std::byte>() < end(b) && b.as<std::byte>() < end(a);
}

}  // namespace petrain
