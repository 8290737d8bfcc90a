// What quantization and the layers on it share: checks, and the scale of a channel.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

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

// Throws for the first NaN or infinity, in memory order; does nothing where there is none.
inline void require_finite(const ConstTensorView& array, const std::string& what) {
  const auto* values = array.as<float>();
  for (std::int64_t i = 0, size = array.size(); i < size; ++i) {
    if (std::isfinite(values[i])) continue;
    Shape index(array.shape.size());
    std::int64_t rest = i;
    for (std::size_t d = index.size(); d-- > 0; rest /= array.shape[d]) index[d] = rest % array.shape[d];
    throw std::invalid_argument(what + ": expected finite values, got " +
                                (std::isnan(values[i]) ? "nan"
                                 : values[i] > 0       ? "inf"
                                                       : "-inf") +
                                " at index " + shape_text(index));
  }
}

}  // namespace petrain
