// Eight bits for an entry of an optimizer's state, in groups of 64 with one float32 scale: the group's largest
// magnitude. A code is the upper bits of x + 2^-8, as a float32, above those of 2^-8: 16 (averages) or 32 (squares)
// codes to the octave, becoming linear towards zero, which is code 0 exactly. No table is needed in either direction,
// and decoding loses nothing.
//
// A moving average changes by less than a code's step, so rounding to the nearest would hold it for ever: codes are
// rounded stochastically. Squares are stored through their root, which doubles their range, and one that is not
// zero never becomes zero, since it divides.
#pragma once

#include "convert.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kGroup = 64;
constexpr std::uint32_t kFirst = 0x3b800000u;  // the bits of 2^-8

// The greatest x that has a code: code 127 with 16, or 255 with 32 codes to the octave.
constexpr float kMostSigned = 0x1.fp-1f - 0x1p-8f, kMostUnsigned = 0x1.f8p-1f - 0x1p-8f;
constexpr int kShiftSigned = 19, kShiftUnsigned = 18;

template <int shift>
float decode(std::uint32_t code) {
  return float_of((code << shift) + kFirst) - 0x1p-8f;
}

// x in [0, most]; random in [0, 2^shift). The clamp to `last` meets a random number that carries over the end.
template <int shift>
std::uint32_t encode(float x, std::uint32_t random, std::uint32_t last) {
  const std::uint32_t code = (bits_of(x + 0x1p-8f) + random - kFirst) >> shift;
  return code < last ? code : last;
}

inline float greatest(const float* x, std::ptrdiff_t size) {
  std::int32_t most = 0;  // without their sign, floats are ordered as their bits are
#pragma omp simd reduction(max : most)
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const auto magnitude = static_cast<std::int32_t>(bits_of(x[i]) & 0x7fffffffu);
    most = magnitude > most ? magnitude : most;
  }
  return float_of(static_cast<std::uint32_t>(most));
}

inline void load_average(const std::int8_t* codes, float scale, float* x, std::ptrdiff_t size) {
  const float unit = scale / kMostSigned;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::int32_t code = codes[i];
    const float magnitude = decode<kShiftSigned>(static_cast<std::uint32_t>(code < 0 ? -code : code)) * unit;
    x[i] = code < 0 ? -magnitude : magnitude;
  }
}

inline float store_average(std::int8_t* codes, const float* x, std::ptrdiff_t size, std::uint32_t key,
                           std::uint32_t first) {
  const float scale = greatest(x, size);
  const float inverse = scale > 0 ? kMostSigned / scale : 0.0f;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::uint32_t random = random_of(key, first + static_cast<std::uint32_t>(i)) >> (32 - kShiftSigned);
    const float magnitude = float_of(bits_of(x[i]) & 0x7fffffffu) * inverse;
    const auto code = static_cast<std::int32_t>(encode<kShiftSigned>(magnitude, random, 127u));
    codes[i] = static_cast<std::int8_t>(x[i] < 0 ? -code : code);
  }
  return scale;
}

// scale is that of the roots.
inline void load_square(const std::uint8_t* codes, float scale, float* x, std::ptrdiff_t size) {
  const float unit = scale / kMostUnsigned;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const float root = decode<kShiftUnsigned>(codes[i]) * unit;
    x[i] = root * root;
  }
}

inline float store_square(std::uint8_t* codes, const float* x, std::ptrdiff_t size, std::uint32_t key,
                          std::uint32_t first) {
  const float scale = __builtin_sqrtf(greatest(x, size));
  const float inverse = scale > 0 ? kMostUnsigned / scale : 0.0f;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::uint32_t random = random_of(key, first + static_cast<std::uint32_t>(i)) >> (32 - kShiftUnsigned);
    const std::uint32_t code = encode<kShiftUnsigned>(__builtin_sqrtf(x[i]) * inverse, random, 255u);
    codes[i] = static_cast<std::uint8_t>(x[i] > 0 && code == 0 ? 1u : code);
  }
  return scale;
}

}  // namespace
}  // namespace petrain::kernels
