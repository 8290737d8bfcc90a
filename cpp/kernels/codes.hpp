// Eight bits for an entry of an optimizer's state, in groups of 64 with one float32 scale: the group's largest
// magnitude. A code is the upper bits of x + bias, as a float32, above those of the bias: 16 codes to the octave,
// becoming linear towards zero, which is code 0 exactly. No table is needed in either direction.
//   averages: a sign and 7 bits, bias 2^-8;   squares: 8 bits, bias 2^-16
//
// A moving average changes by less than a code's step, so rounding to the nearest would hold it for ever: codes are
// rounded stochastically. A square that is not zero never becomes zero, since its root divides.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "convert.hpp"
#include "dither.hpp"

namespace petrain::kernels {
namespace {

constexpr int kShift = 19;  // bits of a float32 below those of a code

struct Average {
  using Byte = std::int8_t;
  static constexpr float bias = 0x1p-8f;
  static constexpr std::uint32_t first = 0x3b800000u, last = 127;  // bits of the bias; the greatest code
};
struct Square {
  using Byte = std::uint8_t;
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
  return ((bits_of(x + Kind::bias) + random) >> kShift) - (Kind::first >> kShift);
}

// The largest magnitude of a group. (Without their sign, floats are ordered as their bits are.)
inline float greatest(const float* x) {
  std::int32_t most = 0;
#pragma omp simd reduction(max : most)
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const auto magnitude = static_cast<std::int32_t>(bits_of(x[i]) & 0x7fffffffu);
    most = magnitude > most ? magnitude : most;
  }
  return float_of(static_cast<std::uint32_t>(most));
}

// Bytes to and from 32 bits, in passes of their own: in one loop with arithmetic the compiler runs out of registers,
// and what it makes of these loops for AVX2 takes twice the time.
inline void widen(const std::int8_t* from, std::int32_t* to) {
#if defined(__AVX2__)
  for (std::ptrdiff_t i = 0; i < kGroup; i += 8) {
    const __m256i words = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i)));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), words);
  }
#else
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) to[i] = static_cast<std::int32_t>(from[i]);
#endif
}

inline void widen(const std::uint8_t* from, std::int32_t* to) {
#if defined(__AVX2__)
  for (std::ptrdiff_t i = 0; i < kGroup; i += 8) {
    const __m256i words = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i)));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), words);
  }
#else
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) to[i] = from[i];
#endif
}

// The lowest byte of each.
inline void narrow(const std::int32_t* from, std::uint8_t* to) {
#if defined(__AVX2__)
  const __m256i lowest = _mm256_set1_epi32(0xff), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const auto words = [&](std::ptrdiff_t i) {
    return _mm256_and_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(from + i)), lowest);
  };
  for (std::ptrdiff_t i = 0; i < kGroup; i += 32) {
    const __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(words(i), words(i + 8)),
                                              _mm256_packus_epi32(words(i + 16), words(i + 24)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_permutevar8x32_epi32(bytes, order));
  }
#else
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) to[i] = static_cast<std::uint8_t>(from[i]);
#endif
}

// The scale of a group: its largest magnitude, but no more than what has an inverse in the normal range. NaN stays.
inline float scale_of(const float* x) {
  const float most = greatest(x);
  return most > 0x1p125f ? 0x1p125f : most;
}

// The bits of the lesser of two numbers that are not negative.
inline std::uint32_t lesser(std::uint32_t a, std::uint32_t b) {
  const auto x = static_cast<std::int32_t>(a), y = static_cast<std::int32_t>(b);
  return static_cast<std::uint32_t>(x < y ? x : y);
}

inline float read_code(Average, std::int32_t code, float unit) {
  const std::int32_t magnitude = code < 0 ? -code : code;
  const float size = decode<Average>(static_cast<std::uint32_t>(magnitude)) * unit;
  return float_of(bits_of(size) | (static_cast<std::uint32_t>(code) & 0x80000000u));
}

inline float read_code(Square, std::int32_t code, float unit) {
  return decode<Square>(static_cast<std::uint32_t>(code)) * unit;
}

inline std::int32_t write_code(Average, float x, std::uint32_t limit, float inverse, std::uint32_t random) {
  const std::int32_t sign = static_cast<std::int32_t>(bits_of(x)) >> 31;
  const float size = float_of(lesser(bits_of(x) & 0x7fffffffu, limit)) * inverse;
  const auto code = static_cast<std::int32_t>(encode<Average>(size, random));
  return (code ^ sign) - sign;
}

inline std::int32_t write_code(Square, float x, std::uint32_t limit, float inverse, std::uint32_t random) {
  const auto code = static_cast<std::int32_t>(encode<Square>(float_of(lesser(bits_of(x), limit)) * inverse, random));
  const std::int32_t least = bits_of(x) == 0 ? 0 : 1;
  return code > least ? code : least;
}

// A whole group each; the callers pad. Not unrolled: registers would run out.

template <class Kind>
void load_group(Kind kind, const std::uint8_t* codes, float scale, float* __restrict x) {
  const float unit = scale / kMost<Kind>;
  alignas(64) std::int32_t wide[kGroup];
  widen(reinterpret_cast<const typename Kind::Byte*>(codes), wide);
#pragma GCC ivdep
#pragma GCC unroll 1
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) x[i] = read_code(kind, wide[i], unit);
}

template <class Kind>
void store_group(Kind kind, std::uint8_t* codes, float scale, const float* __restrict x, std::uint32_t start) {
  const float inverse = scale > 0 ? kTop<Kind> / scale : 0.0f;
  const std::uint32_t limit = bits_of(scale);
  alignas(64) std::int32_t wide[kGroup];
#pragma GCC ivdep
#pragma GCC unroll 1
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    wide[i] = write_code(kind, x[i], limit, inverse, (kSteps.of[i] + start) >> (32 - kShift));
  }
  narrow(wide, codes);
}

}  // namespace
}  // namespace petrain::kernels
