// What becomes of the integer sums of a product. Everything here is exact or is one IEEE operation after another in a
// fixed order, so the bytes are the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

// sums[j] -= zeros[j] * row_sum + offsets[j], modulo 2³²; a null array stands for zeros.
struct CorrectArgs {
  std::int32_t* sums;
  const std::int32_t* zeros;
  const std::int32_t* offsets;
  std::int32_t row_sum;
  std::ptrdiff_t size;
};

// y[j] = float(sums[j]) * (x_scale * w_scale[j])
struct RescaleArgs {
  const std::int32_t* sums;
  const float* w_scale;
  float* y;
  std::ptrdiff_t size;
  float x_scale;
};

// x[i] * inverse, which is an integer of up to 2²² after rounding half to even, as 65536 high + 256 middle + low.
struct DigitsArgs {
  const float* x;
  float inverse;  // of a scale that is a power of two
  std::int8_t *high, *middle, *low;
  std::ptrdiff_t size;
};

struct QuantTable {
  // The largest |x|. NaN if an x is NaN, else infinite if one is infinite.
  float (*max_abs_run)(const float* x, std::ptrdiff_t size);
  void (*correct)(const CorrectArgs&);
  void (*rescale)(const RescaleArgs&);
  void (*digits)(const DigitsArgs&);
};

}  // namespace petrain::kernels
