// Any stretch of a quantized array in float32.
#pragma once

#include <cstdint>

#include "petrain/quant.hpp"
#include "quant_layout.hpp"

namespace petrain {

class Dequantizer {
 public:
  static constexpr std::int64_t kMostElements = 4096;  // of a call

  // q is valid, stays where it is and does not change.
  explicit Dequantizer(const QuantTensor& q);

  // Elements begin … begin + size - 1 in row-major order become elements to_begin … of `to`, which is float32, or
  // float16 or bfloat16 and rounded to the nearest. May be called from several threads at once.
  void run(std::int64_t begin, std::int64_t size, const TensorView& to, std::int64_t to_begin) const;

 private:
  const QuantTensor& q_;
  QuantLayout layout_;
  Tensor scales_, zero_points_;
  const float* scale_;
  const std::int8_t* zero_point_;
};

}  // namespace petrain
