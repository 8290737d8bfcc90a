// Eight bits for an entry of an optimizer's state, in groups of 64 with one float32 scale: the group's largest
// magnitude. A code is the upper bits of x + bias, as a float32, above those of the bias: 16 codes to the octave,
// becoming linear towards zero, which is code 0 exactly. No table is needed in either direction.
//   averages: a sign and 7 bits, bias 2^-8;   squares: 8 bits, bias 2^-16
//
// A moving average changes by less than a code's step, so rounding to the nearest would hold it for ever: codes are
// rounded stochastically. A square that is not zero never becomes zero, since its root divides.
#pragma once

#include "convert.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kGroup = 64;
constexpr int kShift = 19;  // bits of a float32 below those of a code

struct Average {
  static constexpr float bias = 0x1p-8f;
  static constexpr std::uint32_t first = 0x3b800000u, last = 127;  // bits of the bias; the greatest code
};
struct Square {
  static constexpr float bias = 0x1p-16f;
  static constexpr std::uint32_t first = 0x37800000u, last = 255;
};

// The greatest x that has a code. Scaled numbers stay a little below, so that neither rounding nor a random number
// carries over the last code.
template <class Kind>
constexpr float kMost = __builtin_bit_cast(float, Kind::first + (Kind::last << kShift)) - Kind::bias;
template <class Kind>
constexpr float kTop = kMost<Kind> * (1 - 0x1p-21f);

template <class Kind>
float decode(std::uint32_t code) {
  return float_of((code << kShift) + Kind::first) - Kind::bias;
}

// x in [0, kMost]; random in [0, 2^kShift).
template <class Kind>
std::uint32_t encode(float x, std::uint32_t random) {
  return (bits_of(x + Kind::bias) + random - Kind::first) >> kShift;
}

inline float greatest(const float* x) {
  std::int32_t most = 0;  // without their sign, floats are ordered as their bits are
#pragma omp simd reduction(max : most)
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const auto magnitude = static_cast<std::int32_t>(bits_of(x[i]) & 0x7fffffffu);
    most = magnitude > most ? magnitude : most;
  }
  return float_of(static_cast<std::uint32_t>(most));
}

// A whole group each; the callers pad.

inline void load_group(Average, const std::uint8_t* codes, float scale, float* x) {
  const float unit = scale / kMost<Average>;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const std::int32_t code = static_cast<std::int8_t>(codes[i]), sign = code >> 31;
    const float magnitude = decode<Average>(static_cast<std::uint32_t>((code ^ sign) - sign)) * unit;
    x[i] = float_of(bits_of(magnitude) | (static_cast<std::uint32_t>(sign) & 0x80000000u));
  }
}

inline float store_group(Average, std::uint8_t* codes, const float* x, std::uint32_t key, std::uint32_t index) {
  const float scale = greatest(x);
  const float inverse = scale > 0 ? kTop<Average> / scale : 0.0f;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const std::uint32_t random = random_of(key, index + static_cast<std::uint32_t>(i)) >> (32 - kShift);
    const auto sign = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits_of(x[i])) >> 31);
    const std::uint32_t code = encode<Average>(float_of(bits_of(x[i]) & 0x7fffffffu) * inverse, random);
    codes[i] = static_cast<std::uint8_t>((code ^ sign) - sign);
  }
  return scale;
}

inline void load_group(Square, const std::uint8_t* codes, float scale, float* x) {
  const float unit = scale / kMost<Square>;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) x[i] = decode<Square>(codes[i]) * unit;
}

inline float store_group(Square, std::uint8_t* codes, const float* x, std::uint32_t key, std::uint32_t index) {
  const float scale = greatest(x);
  const float inverse = scale > 0 ? kTop<Square> / scale : 0.0f;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const std::uint32_t random = random_of(key, index + static_cast<std::uint32_t>(i)) >> (32 - kShift);
    const auto code = static_cast<std::int32_t>(encode<Square>(x[i] * inverse, random));
    const std::int32_t least = bits_of(x[i]) == 0 ? 0 : 1;
    codes[i] = static_cast<std::uint8_t>(code > least ? code : least);
  }
  return scale;
}

}  // namespace
}  // namespace petrain::kernels
