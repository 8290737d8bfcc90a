// Quantization to int8, and what becomes of integer sums. Everything here is exact or is one IEEE operation after
// another in a fixed order, so the bytes are the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

// y[j] = float(sum[j]) * (x_scale * w_scale[j]) + bias[j], in this order; no addition where bias is null.
struct RescaleArgs {
  const std::int32_t* sum;
  const float* w_scale;
  const float* bias;
  float* y;
  std::ptrdiff_t size;
  float x_scale;
};

// "run": consecutive elements of one channel. "columns": each element is of another channel, with a maximum or a
// scale of its own. q = round_half_even(x / scale), clamped to [-127, 127]; the quotient must not be NaN.
struct QuantTable {
  // The largest |x|. NaN if an x is NaN, else infinite if one is infinite.
  float (*max_abs_run)(const float* x, std::ptrdiff_t size);
  // maxima[j] = max(maxima[j], |x[j]|), in the same sense.
  void (*max_abs_columns)(const float* x, float* maxima, std::ptrdiff_t size);
  void (*quantize_run)(const float* x, float scale, std::int8_t* q, std::ptrdiff_t size);
  void (*quantize_columns)(const float* x, const float* scale, std::int8_t* q, std::ptrdiff_t size);
  void (*dequantize_run)(const std::int8_t* q, float scale, float* x, std::ptrdiff_t size);
  void (*dequantize_columns)(const std::int8_t* q, const float* scale, float* x, std::ptrdiff_t size);
  void (*rescale)(const RescaleArgs&);
};

}  // namespace petrain::kernels
