// Between floats and integers of 8 or 4 bits: ranges, quantizing, dequantizing, packing. Everything here is one IEEE
// operation after another in a fixed order, so the bytes are the same on every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"
#include "storage.hpp"

namespace petrain::kernels {

// The smallest and the largest number so far, each as an integer (order_key) whose order is that of the numbers, with
// infinities beyond all others and NaN beyond these: one pass finds the range and what is not finite.
struct KeyRange {
  std::int32_t low = INT32_MAX;
  std::int32_t high = INT32_MIN;
};

// Of a float's bits, and back.
constexpr std::int32_t order_key(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

// The integers of a format.
struct Limits {
  std::int32_t least, most;
};

// "run": consecutive elements that share a scale and a zero point. "columns": each has its own; zero_point is null
// where all are zero.
//   q = clamp(round_half_even(x / scale) + zero_point, least, most);  x = float(q - zero_point) * scale
// The quotient must not be NaN.
struct QuantFormatTable {
  KeyRange (*range_run)(const float* x, std::ptrdiff_t size);
  // Widens low[i], high[i] to hold x[i].
  void (*range_columns)(const float* x, std::int32_t* low, std::int32_t* high, std::ptrdiff_t size);
  void (*quantize_run)(const float* x, float scale, std::int32_t zero_point, Limits limits, std::int8_t* q,
                       std::ptrdiff_t size);
  void (*quantize_columns)(const float* x, const float* scale, const std::int8_t* zero_point, Limits limits,
                           std::int8_t* q, std::ptrdiff_t size);
  void (*dequantize_run)(const std::int8_t* q, float scale, std::int32_t zero_point, float* x, std::ptrdiff_t size);
  void (*dequantize_columns)(const std::int8_t* q, const float* scale, const std::int8_t* zero_point, float* x,
                             std::ptrdiff_t size);
  // Two integers to a byte, the first in the lower bits; where `size` is odd, the last byte's upper bits are 0.
  void (*pack4)(const std::int8_t* q, std::uint8_t* bytes, std::ptrdiff_t size);
  void (*unpack4)(const std::uint8_t* bytes, std::int8_t* q, std::ptrdiff_t size);
  // `size` numbers from element `begin` on, exactly.
  void (*load)(const void* from, Storage storage, std::ptrdiff_t begin, float* to, std::ptrdiff_t size);
  // To f16 or bf16, rounded to the nearest, half to even.
  void (*store16)(const float* from, Storage storage, std::uint16_t* to, std::ptrdiff_t size);
};

}  // namespace petrain::kernels
