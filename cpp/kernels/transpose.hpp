// Transposing bytes, 16 × 16 at a time, on vectors of 16 bytes, which every instruction set has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace petrain::kernels {
namespace {

// to[j * to_stride + i] = from[i * from_stride + j], by interleaving halves four times.
inline void transpose_16(const std::int8_t* from, std::ptrdiff_t from_stride, std::int8_t* to,
                         std::ptrdiff_t to_stride) {
  typedef std::int8_t Bytes __attribute__((vector_size(16)));
  Bytes x[16], y[16];
  for (int i = 0; i < 16; ++i) __builtin_memcpy(&x[i], from + i * from_stride, sizeof x[i]);
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const Bytes a = x[i], b = x[i + 8];
      y[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      y[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) x[i] = y[i];
  }
  for (int i = 0; i < 16; ++i) __builtin_memcpy(to + i * to_stride, &x[i], sizeof x[i]);
}

}  // namespace
}  // namespace petrain::kernels
