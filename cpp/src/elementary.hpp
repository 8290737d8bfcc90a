// Functions of float64 whose bits are the same on every machine, which the C library does not promise.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace petrain {

// Natural logarithm of a positive normal x: x = m·2ᵉ with m in [√½, √2), and ln m = 2 artanh((m - 1)/(m + 1)) as a
// series whose 12 terms reach the last bits.
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

// e^x for |x| < 700: e^x = 2ᵏ e^r with |r| ≤ ½ ln 2, where 15 terms of Taylor's series reach the last bits.
inline double exp_of(double x) {
  const double k = std::round(x / std::numbers::ln2), r = x - k * std::numbers::ln2;
  double series = 1;
  for (int n = 15; n >= 1; --n) series = 1 + series * r / n;
  return std::ldexp(series, static_cast<int>(k));
}

}  // namespace petrain
