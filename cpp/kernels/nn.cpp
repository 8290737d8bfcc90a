#include "nn.hpp"

#include <cstdint>

#include "lanes.hpp"

namespace petrain::kernels {
namespace {

void add_bias(float* __restrict y, const float* __restrict bias, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) y[i] += bias[i];
}

void relu(float* x, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = x[i] < 0 ? 0.0f : x[i];  // NaN stays NaN
}

void relu_backward(float* __restrict gradient, const float* __restrict output, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) gradient[i] = output[i] > 0 ? gradient[i] : 0.0f;
}

void scale(float* x, float factor, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) x[i] *= factor;
}

// e^x for x ≤ 0 within 2 units in the last place, the same bits everywhere: x = n ln 2 + r with |r| ≤ ln 2 / 2, a
// Taylor series of e^r whose rest is below 2^-27, and 2^n through the exponent bits. ln 2 is split in two parts
// (Cody, Waite, 1980) so that n ln 2 is exact. Results below the normal range become 0.
float exp_nonpositive(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to the nearest integer, half to even
  // NOLINTNEXTLINE(modernize-use-std-numbers): no inline functions of the library's in a kernel
  constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const float bounded = x < -87.0f ? -87.0f : x;
  const float n = (bounded * kLog2e + kMagic) - kMagic;
  const float r = (bounded - n * kLn2High) - n * kLn2Low;
  float sum = 1.0f / 5040;
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : sum * power;
}

void softmax_row(SoftmaxRow& row) {
  const float* __restrict logits = row.logits;
  float* __restrict exponentials = row.exponentials;
  float greatest = logits[0];
  for (std::ptrdiff_t i = 1; i < row.size; ++i) greatest = logits[i] > greatest ? logits[i] : greatest;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < row.size; ++i) exponentials[i] = exp_nonpositive(logits[i] - greatest);
  double lanes[kLanes] = {};
  for (std::ptrdiff_t i = 0; i < row.size; ++i) lanes[i % kLanes] += exponentials[i];
  row.greatest = greatest;
  row.sum = sum_lanes(lanes);
}

}  // namespace

extern const NnTable PETRAIN_TABLE(nn) = {add_bias, relu, relu_backward, scale, softmax_row};

}  // namespace petrain::kernels
