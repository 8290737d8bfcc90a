// The exponential function with the same bits everywhere.
#pragma once

#include <cstdint>

#include "magic.hpp"

namespace petrain::kernels {
namespace {

// e^x for x ≤ 0 within 2 units in the last place, the same bits everywhere: x = n ln 2 + r with |r| ≤ ln 2 / 2, a
// Taylor series of e^r whose rest is below 2^-27, and 2^n through the exponent bits. ln 2 is split in two parts
// (Cody, Waite, 1980) so that n ln 2 is exact. Results below the normal range become 0.
inline float exp_nonpositive(float x) {
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

// The same in float64, within 2 units in the last place: the rest of the series is below 2^-57. After adding the magic
// number, n is in the lower bits.
inline double exp_nonpositive(double x) {
  // NOLINTNEXTLINE(modernize-use-std-numbers): no inline functions of the library's in a kernel
  constexpr double kLog2e = 1.4426950408889634, kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const double bounded = x < -708.0 ? -708.0 : x;
  const double shifted = bounded * kLog2e + kMagic64, n = shifted - kMagic64;
  const double r = (bounded - n * kLn2High) - n * kLn2Low;
  double sum = 1.0 / 6227020800;
  sum = sum * r + 1.0 / 479001600;
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  std::uint64_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return x < -708.0 ? 0.0 : sum * power;
}

}  // namespace
}  // namespace petrain::kernels
