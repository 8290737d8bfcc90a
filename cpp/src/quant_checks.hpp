// What quantization and the layers on it share: checks, and the scale of a channel.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/convert.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// See petrain/quant.hpp: at least the smallest normal number, and `steps` times it is finite. Rounding can make
// steps * (FLT_MAX / steps) infinite, so the largest is one step lower.
inline float bounded_scale(double scale, int steps) {
  const float largest = std::nextafter(FLT_MAX / static_cast<float>(steps), 0.0F);
  return static_cast<float>(std::clamp<double>(scale, FLT_MIN, largest));
}

// The scale of symmetric int8 for values up to this magnitude. What is not finite gives any number.
inline float scale_for(float max_abs) {
  return max_abs == 0 ? 1.0F : bounded_scale(static_cast<double>(max_abs) / 127, 127);
}

inline void require_bits(int bits) {
  if (bits != 8 && bits != 4) throw std::invalid_argument("bits: expected 8 or 4, got " + std::to_string(bits));
}

inline void require_dtype(const ConstTensorView& array, DType dtype, const std::string& what) {
  if (array.dtype != dtype) {
    throw std::invalid_argument(what + ": expected dtype " + dtype_name(dtype) + ", got " + dtype_name(array.dtype));
  }
}

inline void require_elements(const ConstTensorView& array, const std::string& what) {
  if (array.size() == 0) {
    throw std::invalid_argument(what + ": expected at least one element, got shape " + shape_text(array.shape));
  }
}

inline void require_quantizable(const ConstTensorView& array, const std::string& what) {
  if (array.dtype != DType::f32 && array.dtype != DType::f16 && array.dtype != DType::bf16) {
    throw std::invalid_argument(what + ": expected dtype float32, float16 or bfloat16, got " + dtype_name(array.dtype));
  }
}

// Of a float32, float16 or bfloat16 array.
inline float number_at(const ConstTensorView& array, std::int64_t i) {
  if (array.dtype == DType::f16) return kernels::from_float16(array.as<std::uint16_t>()[i]);
  if (array.dtype == DType::bf16) return kernels::from_bfloat16(array.as<std::uint16_t>()[i]);
  return array.as<float>()[i];
}

// Of element i in row-major order.
inline Shape index_of(std::int64_t i, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t d = index.size(); d-- > 0; i /= shape[d]) index[d] = i % shape[d];
  return index;
}

// Throws for the first NaN or infinity, in memory order; does nothing where there is none.
inline void require_finite(const ConstTensorView& array, const std::string& what) {
  for (std::int64_t i = 0, size = array.size(); i < size; ++i) {
    const float value = number_at(array, i);
    if (std::isfinite(value)) continue;
    throw std::invalid_argument(what + ": expected finite values, got " +
                                (std::isnan(value) ? "nan"
                                 : value > 0       ? "inf"
                                                   : "-inf") +
                                " at index " + shape_text(index_of(i, array.shape)));
  }
}

}  // namespace petrain
