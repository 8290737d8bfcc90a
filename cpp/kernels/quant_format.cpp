#include "quant_format.hpp"

#include "load.hpp"
#include "magic.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;
using std::uint16_t;
using std::uint8_t;

int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
int32_t key_of(float x) { return order_key(__builtin_bit_cast(int32_t, x)); }

KeyRange range_run(const float* x, ptrdiff_t size) {
  int32_t low = INT32_MAX, high = INT32_MIN;
#pragma omp simd reduction(min : low) reduction(max : high)
  for (ptrdiff_t i = 0; i < size; ++i) {
    low = smaller(low, key_of(x[i]));
    high = larger(high, key_of(x[i]));
  }
  return {low, high};
}

void range_columns(const float* __restrict x, int32_t* __restrict low, int32_t* __restrict high, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) {
    low[i] = smaller(low[i], key_of(x[i]));
    high[i] = larger(high[i], key_of(x[i]));
  }
}

// A true division: a product with 1 / scale rounds twice. The limits are whole numbers, so that it does not matter that
// they are applied before rounding.
int8_t quantize_one(float x, float scale, int32_t zero_point, Limits limits) {
  const float least = static_cast<float>(limits.least - zero_point);
  const float most = static_cast<float>(limits.most - zero_point);
  float value = x / scale;
  value = value < most ? value : most;
  value = value > least ? value : least;
  const int32_t rounded = __builtin_bit_cast(int32_t, value + kMagic) - __builtin_bit_cast(int32_t, kMagic);
  return static_cast<int8_t>(rounded + zero_point);
}

void quantize_run(const float* __restrict x, float scale, int32_t zero_point, Limits limits, int8_t* __restrict q,
                  ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) q[i] = quantize_one(x[i], scale, zero_point, limits);
}

void quantize_columns(const float* __restrict x, const float* __restrict scale, const int8_t* __restrict zero_point,
                      Limits limits, int8_t* __restrict q, ptrdiff_t size) {
  if (zero_point == nullptr) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) q[i] = quantize_one(x[i], scale[i], 0, limits);
  } else {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) q[i] = quantize_one(x[i], scale[i], zero_point[i], limits);
  }
}

float dequantize_one(int8_t q, float scale, int32_t zero_point) { return static_cast<float>(q - zero_point) * scale; }

void dequantize_run(const int8_t* __restrict q, float scale, int32_t zero_point, float* __restrict x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = dequantize_one(q[i], scale, zero_point);
}

void dequantize_columns(const int8_t* __restrict q, const float* __restrict scale, const int8_t* __restrict zero_point,
                        float* __restrict x, ptrdiff_t size) {
  if (zero_point == nullptr) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) x[i] = dequantize_one(q[i], scale[i], 0);
  } else {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) x[i] = dequantize_one(q[i], scale[i], zero_point[i]);
  }
}

void pack4(const int8_t* __restrict q, uint8_t* __restrict bytes, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size / 2; ++i) {
    bytes[i] = static_cast<uint8_t>((q[2 * i] & 15) | (static_cast<uint8_t>(q[2 * i + 1]) << 4));
  }
  if (size % 2 != 0) bytes[size / 2] = static_cast<uint8_t>(q[size - 1] & 15);
}

// Extends the sign of the lower 4 bits, in operations on bytes alone.
int8_t signed4(uint8_t bits) { return static_cast<int8_t>(static_cast<uint8_t>((bits & 15) ^ 8) - 8); }

void unpack4(const uint8_t* __restrict bytes, int8_t* __restrict q, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size / 2; ++i) {
    q[2 * i] = signed4(bytes[i]);
    q[2 * i + 1] = signed4(static_cast<uint8_t>(bytes[i] >> 4));
  }
  if (size % 2 != 0) q[size - 1] = signed4(bytes[size / 2]);
}

void store16(const float* __restrict from, Storage storage, uint16_t* __restrict to, ptrdiff_t size) {
  if (storage == Storage::bf16) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) to[i] = to_bfloat16(from[i]);
  } else {
#pragma omp simd
    for (ptrdiff_t i = 0; i < size; ++i) to[i] = to_float16(from[i]);
  }
}

}  // namespace

extern const QuantFormatTable PETRAIN_TABLE(quant_format) = {
    range_run,          range_columns, quantize_run, quantize_columns, dequantize_run,
    dequantize_columns, pack4,         unpack4,      load<float>,      store16,
};

}  // namespace petrain::kernels
