// Integer products on 64-bit Arm: sdot adds four int8 products in int32; without it, int8 products are exact in int16
// and are added in pairs to int32.
#pragma once

#include <arm_neon.h>

#include "int_gemm_same.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;

// Four bytes of a row in every 32 bits.
inline int8x16_t broadcast(const int8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

#if defined(__ARM_FEATURE_DOTPROD)
constexpr int kRows = 4;
inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b) { return vdotq_s32(sums, a, b); }
#else
constexpr int kRows = 2;
inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b) {
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
  return vaddq_s32(sums, vpaddq_s32(low, high));
}
#endif

void tile(const IntTileArgs& args) {
  for (int row = 0; row < args.rows; row += kRows) {
    const auto* a = static_cast<const int8_t*>(args.a) + row * args.a_stride;
    const int8_t* b = args.panel;
    int32x4_t sums[kRows][4] = {};
    for (ptrdiff_t p = 0; p < args.k; p += 4, a += 4, b += kPanel * 4) {
      int8x16_t columns[4];
      for (int v = 0; v < 4; ++v) columns[v] = vld1q_s8(b + v * 16);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const int8x16_t four = broadcast(a + i * args.a_stride);
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) sums[i][v] = add_products(sums[i][v], four, columns[v]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < 4; ++v) vst1q_s32(args.sums + (row + i) * args.sums_stride + v * 4, sums[i][v]);
    }
  }
}

constexpr IntRoute kRoute = {sizeof(int8_t), prepare_same, tile};
constexpr IntGemmTable kIntGemm = {kRoute, kRoute, false, nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace petrain::kernels
