// Rows of activations to int8, and the integer product whose sums cannot saturate. Everything here is exact or is one
// IEEE operation after another in a fixed order, so the bytes are the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

// c[i][j] = Σ_p a[i][p] b[j][p], the rows of all three with a stride in elements. The sums are kept in int32, which
// is exact for any int8 values while k * 2¹⁴ < 2³¹: the caller sees to that.
struct MatmulArgs {
  const std::int8_t* a;
  const std::int8_t* b;
  std::int32_t* c;
  std::ptrdiff_t m, n, k;
  std::ptrdiff_t a_stride, b_stride, c_stride;
};

// y[j] = float(sum[j]) * (x_scale * w_scale[j]) + bias[j], in this order; no addition where bias is null.
struct RescaleArgs {
  const std::int32_t* sum;
  const float* w_scale;
  const float* bias;
  float* y;
  std::ptrdiff_t size;
  float x_scale;
};

// q = round_half_even(x / scale), clamped to [-127, 127]; the quotient must not be NaN.
struct QuantTable {
  // The largest |x|. NaN if an x is NaN, else infinite if one is infinite.
  float (*max_abs_run)(const float* x, std::ptrdiff_t size);
  void (*quantize_run)(const float* x, float scale, std::int8_t* q, std::ptrdiff_t size);
  void (*matmul)(const MatmulArgs&);
  void (*rescale)(const RescaleArgs&);
};

}  // namespace petrain::kernels
