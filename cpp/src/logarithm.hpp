// A logarithm that is the same to the last bit on every machine, as the C library's is not.
#pragma once

#include <bit>
#include <cstdint>
#include <numbers>

namespace petrain {

// Of a positive, normal x: x = m·2ᵉ with m in [√½, √2), and ln m = 2 artanh((m - 1)/(m + 1)) as a series
// whose 12 terms reach the last bits.
inline double log_of(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (mantissa > std::numbers::sqrt2) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double s = (mantissa - 1) / (mantissa + 1), square = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * square + 1.0 / k;
  return 2 * s * series + exponent * std::numbers::ln2;
}

}  // namespace petrain
