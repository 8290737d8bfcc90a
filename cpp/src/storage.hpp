// Dtypes as kernels know them.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/storage.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

constexpr std::int64_t kCodesPerScale = 64;  // kGroup of kernels/codes.hpp

inline bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::f16 || dtype == DType::bf16;
}

// Of float types; 8-bit codes are DType::i8 or u8.
inline kernels::Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return kernels::Storage::f32;
    case DType::f64:
      return kernels::Storage::f64;
    case DType::f16:
      return kernels::Storage::f16;
    case DType::bf16:
      return kernels::Storage::bf16;
    default:
      return kernels::Storage::code8;
  }
}

// Of the sums of an accumulator: f32, bf16 or i8.
inline kernels::Storage sum_storage_of(DType dtype) {
  if (dtype == DType::f32) return kernels::Storage::f32;
  return dtype == DType::bf16 ? kernels::Storage::sum_bf16 : kernels::Storage::sum_code8;
}

inline void require_float(const ConstTensorView& array, const std::string& what) {
  if (!is_float(array.dtype)) {
    throw std::invalid_argument(what + ": expected dtype float32, float64, float16 or bfloat16, got " +
                                dtype_name(array.dtype));
  }
}

inline void require_float(const ConstTensorView& array, const Shape& shape, const std::string& what) {
  require_float(array, what);
  if (array.shape != shape) {
    throw std::invalid_argument(what + ": expected shape " + shape_text(shape) + ", got " + shape_text(array.shape));
  }
}

}  // namespace petrain
