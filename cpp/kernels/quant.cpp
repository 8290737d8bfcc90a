#include "quant.hpp"

#include "magic.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
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

void correct(const CorrectArgs& args) {
  // Unsigned: what wraps comes back, as the result fits.
  auto* __restrict sums = reinterpret_cast<std::uint32_t*>(args.sums);
  const auto* __restrict zeros = reinterpret_cast<const std::uint32_t*>(args.zeros);
  const auto* __restrict offsets = reinterpret_cast<const std::uint32_t*>(args.offsets);
  const auto row_sum = static_cast<std::uint32_t>(args.row_sum);
  const ptrdiff_t size = args.size;
  if (zeros != nullptr) {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) sums[j] -= zeros[j] * row_sum;
  }
  if (offsets != nullptr) {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) sums[j] -= offsets[j];
  }
}

void rescale(const RescaleArgs& args) {
  const int32_t* __restrict sums = args.sums;
  const float* __restrict w_scale = args.w_scale;
  float* __restrict y = args.y;
  const float x_scale = args.x_scale;
  const ptrdiff_t size = args.size;
#pragma omp simd
  for (ptrdiff_t j = 0; j < size; ++j) y[j] = static_cast<float>(sums[j]) * (x_scale * w_scale[j]);
}

void digits(const DigitsArgs& args) {
  const float* __restrict x = args.x;
  int8_t* __restrict high = args.high;
  int8_t* __restrict middle = args.middle;
  int8_t* __restrict low = args.low;
  const float inverse = args.inverse;
  const ptrdiff_t size = args.size;
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) {
    const int32_t number = static_cast<int32_t>((x[i] * inverse + kMagic) - kMagic);
    const int32_t last = static_cast<int8_t>(number);
    const int32_t rest = (number - last) >> 8;
    const int32_t second = static_cast<int8_t>(rest);
    low[i] = static_cast<int8_t>(last);
    middle[i] = static_cast<int8_t>(second);
    high[i] = static_cast<int8_t>((rest - second) >> 8);
  }
}

}  // namespace

extern const QuantTable PETRAIN_TABLE(quant) = {
    max_abs_run,
    correct,
    rescale,
    digits,
};

}  // namespace petrain::kernels
