#include "quant.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;

// Without their sign, IEEE numbers are ordered as their bits are: finite < infinite < NaN. So an integer maximum
// finds the largest magnitude and anything that is not finite in one pass.
int32_t magnitude_bits(float x) { return __builtin_bit_cast(int32_t, x) & 0x7fffffff; }
int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

float max_abs_run(const float* x, ptrdiff_t size) {
  int32_t most = 0;
#pragma omp simd reduction(max : most)
  for (ptrdiff_t i = 0; i < size; ++i) most = larger(most, magnitude_bits(x[i]));
  return __builtin_bit_cast(float, most);
}

// A true division: a product with 1 / scale rounds twice. In [2²³, 2²⁴) the distance between floats is 1, so adding
// 1.5 * 2²³ rounds half to even, as every addition does, and leaves the integer in the low bits.
int8_t quantize_one(float x, float scale) {
  float value = x / scale;
  value = value < 127.0f ? value : 127.0f;
  value = value > -127.0f ? value : -127.0f;
  constexpr float kMagic = 12582912.0f;
  return static_cast<int8_t>(__builtin_bit_cast(int32_t, value + kMagic) - __builtin_bit_cast(int32_t, kMagic));
}

void quantize_run(const float* __restrict x, float scale, int8_t* __restrict q, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) q[i] = quantize_one(x[i], scale);
}

void rescale(const RescaleArgs& args) {
  const int32_t* __restrict sum = args.sum;
  const float* __restrict w_scale = args.w_scale;
  const float* __restrict bias = args.bias;
  float* __restrict y = args.y;
  const float x_scale = args.x_scale;
  const ptrdiff_t size = args.size;
  if (bias == nullptr) {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) y[j] = static_cast<float>(sum[j]) * (x_scale * w_scale[j]);
  } else {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) y[j] = static_cast<float>(sum[j]) * (x_scale * w_scale[j]) + bias[j];
  }
}

}  // namespace

extern const QuantTable PETRAIN_TABLE(quant) = {
    max_abs_run,
    quantize_run,
    rescale,
};

}  // namespace petrain::kernels
