// Blocks of 16-bit floats to and from float32, in integer operations that vectorize on every instruction set and meet
// no float32 denormals (the update loops run with denormals flushed to zero).
#pragma once

#include <cstddef>
#include <cstdint>

namespace petrain::kernels {
namespace {

inline std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
inline float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline float from_bfloat16(std::uint16_t x) { return float_of(static_cast<std::uint32_t>(x) << 16); }

// `add` is what is added to the bits that are cut: half (to even) to round to nearest, random ones to round
// stochastically. NaN becomes the NaN without a sign; infinity stays as it is.
inline std::uint16_t cut_bfloat16(float x, std::uint32_t add) {
  return static_cast<std::uint16_t>((x != x ? 0x7fc00000u : bits_of(x) + add) >> 16);
}
inline std::uint16_t to_bfloat16(float x) { return cut_bfloat16(x, 0x7fffu + ((bits_of(x) >> 16) & 1u)); }
inline std::uint16_t to_bfloat16(float x, std::uint32_t random) { return cut_bfloat16(x, random >> 16); }

inline float from_float16(std::uint16_t x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x & 0x8000u) << 16;
  const std::uint32_t exponent = (x >> 10) & 0x1fu, mantissa = x & 0x3ffu;
  // 2^-24 times a whole number below the normal range; above it the exponent is rebased.
  const std::uint32_t small = bits_of(static_cast<float>(static_cast<std::int32_t>(mantissa)) * 0x1p-24f);
  const std::uint32_t normal = ((exponent + 112u) << 23) | (mantissa << 13);
  const std::uint32_t special = 0x7f800000u | (mantissa << 13);
  const std::uint32_t magnitude = exponent == 0 ? small : exponent == 31 ? special : normal;
  return float_of(sign | magnitude);
}

// As for bfloat16; `add` counts in the 13 bits that are cut of a normal number. Below the normal range the same share
// of a step of 2^-24 is added to x.
inline std::uint16_t cut_float16(float x, std::uint32_t add, bool nearest) {
  const std::uint32_t bits = bits_of(x), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const float size = float_of(magnitude);
  const float share = nearest ? 0.0f : static_cast<float>(static_cast<std::int32_t>(add)) * 0x1p-13f;
  const float steps = (size < 0x1p-14f ? size : 0.0f) * 0x1p24f + share;
  const float rounded = nearest ? (steps + 8388608.0f) - 8388608.0f : steps;
  const auto small = static_cast<std::uint32_t>(static_cast<std::int32_t>(rounded));
  const std::uint32_t normal = (magnitude + add - (112u << 23)) >> 13;
  const std::uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const std::uint32_t finite = size < 0x1p-14f ? small : normal > 0x7c00u ? 0x7c00u : normal;
  return static_cast<std::uint16_t>(sign | (magnitude >= 0x7f800000u ? special : finite));
}
inline std::uint16_t to_float16(float x) { return cut_float16(x, 0xfffu + ((bits_of(x) >> 13) & 1u), true); }
inline std::uint16_t to_float16(float x, std::uint32_t random) { return cut_float16(x, random >> 19, false); }

}  // namespace
}  // namespace petrain::kernels
