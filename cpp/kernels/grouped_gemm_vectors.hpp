// Products with weights of 4 bits on vectors: the loops are the same for every instruction set.
#pragma once

#if defined(__aarch64__)
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#include "grouped_gemm.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;
using std::uint8_t;

// What the loops below need of an instruction set. Packed: the sums of up to 32 products, in lanes that `totals` adds
// to one int32 for each column.
#if defined(__AVX2__)

using Bytes = __m256i;
using Packed = __m256i;
using Totals = __m256i;
using Floats = __m256;

inline Bytes load(const uint8_t* from) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(from)); }
inline void store(uint8_t* to, Bytes x) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), x); }
inline Bytes low(Bytes x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
inline Bytes high(Bytes x) { return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15)); }
inline Bytes broadcast(int32_t four) { return _mm256_set1_epi32(four); }
inline Packed start(int32_t offset) { return _mm256_set1_epi32(offset); }
#if defined(__AVX512VNNI__)
inline Packed add_products(Packed sums, Bytes weights, Bytes a) { return _mm256_dpbusd_epi32(sums, weights, a); }
inline Totals totals(Packed sums) { return sums; }
#else
inline Packed add_products(Packed sums, Bytes weights, Bytes a) {
  return _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, a));
}
inline Totals totals(Packed sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }
#endif
inline Totals add(Totals a, Totals b) { return _mm256_add_epi32(a, b); }
inline Totals less_products(Totals x, const int32_t* zeros, int32_t row_sum) {
  const __m256i z = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(zeros));
  return _mm256_sub_epi32(x, _mm256_mullo_epi32(z, _mm256_set1_epi32(row_sum)));
}
inline Floats scaled(Totals x, const float* scales) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_loadu_ps(scales));
}
inline void add_to(float* to, Floats x) { _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), x)); }

#elif defined(__aarch64__)

using Bytes = int8x16_t;
using Packed = int32x4_t;
using Totals = int32x4_t;
using Floats = float32x4_t;

inline Bytes load(const uint8_t* from) { return vreinterpretq_s8_u8(vld1q_u8(from)); }
inline void store(uint8_t* to, Bytes x) { vst1q_u8(to, vreinterpretq_u8_s8(x)); }
inline Bytes low(Bytes x) { return vandq_s8(x, vdupq_n_s8(15)); }
inline Bytes high(Bytes x) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(x), 4)); }
inline Bytes broadcast(int32_t four) { return vreinterpretq_s8_s32(vdupq_n_s32(four)); }
inline Packed start(int32_t offset) { return vdupq_n_s32(offset); }
#if defined(__ARM_FEATURE_DOTPROD)
inline Packed add_products(Packed sums, Bytes weights, Bytes a) { return vdotq_s32(sums, weights, a); }
#else
inline Packed add_products(Packed sums, Bytes weights, Bytes a) {
  const int32x4_t first = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(a)));
  const int32x4_t second = vpaddlq_s16(vmull_high_s8(weights, a));
  return vaddq_s32(sums, vpaddq_s32(first, second));
}
#endif
inline Totals totals(Packed sums) { return sums; }
inline Totals add(Totals a, Totals b) { return vaddq_s32(a, b); }
inline Totals less_products(Totals x, const int32_t* zeros, int32_t row_sum) {
  return vmlsq_s32(x, vld1q_s32(zeros), vdupq_n_s32(row_sum));
}
inline Floats scaled(Totals x, const float* scales) { return vmulq_f32(vcvtq_f32_s32(x), vld1q_f32(scales)); }
inline void add_to(float* to, Floats x) { vst1q_f32(to, vaddq_f32(vld1q_f32(to), x)); }

#else

using Bytes = __m128i;
using Packed = __m128i;
using Totals = __m128i;
using Floats = __m128;

inline Bytes load(const uint8_t* from) { return _mm_load_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store(uint8_t* to, Bytes x) { _mm_store_si128(reinterpret_cast<__m128i*>(to), x); }
inline Bytes low(Bytes x) { return _mm_and_si128(x, _mm_set1_epi8(15)); }
inline Bytes high(Bytes x) { return _mm_and_si128(_mm_srli_epi16(x, 4), _mm_set1_epi8(15)); }
inline Bytes broadcast(int32_t four) { return _mm_set1_epi32(four); }
inline Packed start(int32_t offset) { return _mm_set1_epi32(offset); }
// SSE2 multiplies int16 alone: bytes at even places, then those at odd ones.
inline Packed add_products(Packed sums, Bytes weights, Bytes a) {
  const __m128i even =
      _mm_madd_epi16(_mm_and_si128(weights, _mm_set1_epi16(15)), _mm_srai_epi16(_mm_slli_epi16(a, 8), 8));
  const __m128i odd = _mm_madd_epi16(_mm_srli_epi16(weights, 8), _mm_srai_epi16(a, 8));
  return _mm_add_epi32(sums, _mm_add_epi32(even, odd));
}
inline Totals totals(Packed sums) { return sums; }
inline Totals add(Totals a, Totals b) { return _mm_add_epi32(a, b); }
inline Totals less_products(Totals x, const int32_t* zeros, int32_t row_sum) {
  int32_t products[4];
  for (int i = 0; i < 4; ++i) products[i] = zeros[i] * row_sum;
  return _mm_sub_epi32(x, _mm_loadu_si128(reinterpret_cast<const __m128i*>(products)));
}
inline Floats scaled(Totals x, const float* scales) { return _mm_mul_ps(_mm_cvtepi32_ps(x), _mm_loadu_ps(scales)); }
inline void add_to(float* to, Floats x) { _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), x)); }

#endif

constexpr int kWidth = sizeof(Totals) / sizeof(int32_t);  // columns of a vector

inline int32_t four(const int8_t* from) {
  int32_t bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

// -8 Σ a over 32 of a row, in the lanes to which `start` gives it. Without VNNI, AVX2 has two int16, which may wrap:
// with the products, from -16384 to 16384 in a lane, they come back.
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
inline int32_t offset_of(const int8_t* a) {
  const __m256i pairs =
      _mm256_maddubs_epi16(_mm256_set1_epi8(8), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)));
  __m128i sums = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  sums = _mm_add_epi16(sums, _mm_srli_si128(sums, 8));
  sums = _mm_add_epi16(sums, _mm_srli_si128(sums, 4));
  return _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), sums));
}
#else
inline int32_t offset_of(const int8_t* a) {
  int32_t sum = 0;
  for (int p = 0; p < kInt4Depth; ++p) sum += a[p];
  return -8 * sum;
}
#endif

void prepare_row(const int8_t* a, ptrdiff_t depth, int32_t* offsets) {
  for (ptrdiff_t p = 0; p < depth; p += kInt4Depth) offsets[p / kInt4Depth] = offset_of(a + p);
}

constexpr int kStepBytes = kInt4Panel * 4;  // of a panel for 8 of k, and of an unpacked one for 4

// The weights of 32 of k, a byte each.
void unpack(const uint8_t* b, uint8_t* to) {
  for (int p = 0; p < kInt4Depth; p += 8, b += kStepBytes, to += 2 * kStepBytes) {
    for (int v = 0; v < kStepBytes; v += static_cast<int>(sizeof(Bytes))) {
      const Bytes both = load(b + v);
      store(to + v, low(both));
      store(to + kStepBytes + v, high(both));
    }
  }
}

// Adds 32 products for R rows and V vectors of columns. Some compilers spill what they unroll.
template <int R, int V, bool kUnpacked>
inline void multiply(const int8_t* a, ptrdiff_t a_stride, const uint8_t* b, Packed (&sums)[R][V]) {
#pragma GCC unroll 1
  for (int p = 0; p < kInt4Depth; p += 8, a += 8, b += kUnpacked ? 2 * kStepBytes : kStepBytes) {
    Bytes lower[V], upper[V];
    for (int v = 0; v < V; ++v) {
      const uint8_t* at = b + v * static_cast<int>(sizeof(Bytes));
      lower[v] = kUnpacked ? load(at) : low(load(at));
      upper[v] = kUnpacked ? load(at + kStepBytes) : high(load(at));
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const Bytes first = broadcast(four(a + i * a_stride)), second = broadcast(four(a + i * a_stride + 4));
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        sums[i][v] = add_products(add_products(sums[i][v], lower[v], first), upper[v], second);
      }
    }
  }
}

// Where one group of a tile begins. Copies of the arguments: a store through a vector's pointer could change them.
struct Group {
  const int8_t* a;
  ptrdiff_t a_stride;
  const int32_t* offsets;
  ptrdiff_t offsets_stride;
  const int32_t* row_sums;
  ptrdiff_t row_sums_stride;
  const uint8_t* b;
  const float* scales;
  const int32_t* zeros;
  float* sums;
  ptrdiff_t sums_stride;
  ptrdiff_t blocks;  // of 32
};

// R rows and V vectors of columns. kBlocks: how many blocks, or 0 where the group says so.
template <int R, int V, bool kUnpacked, bool kSymmetric, int kBlocks>
__attribute__((always_inline)) inline void add_group(const Group& group) {
  const ptrdiff_t blocks = kBlocks == 0 ? group.blocks : kBlocks;
  const int8_t* a = group.a;
  const uint8_t* b = group.b;
  Totals sums[R][V];
  ptrdiff_t block = 0;
  do {
    Packed packed[R][V];
    for (int i = 0; i < R; ++i) {
      for (int v = 0; v < V; ++v) packed[i][v] = start(group.offsets[i * group.offsets_stride + block]);
    }
    multiply<R, V, kUnpacked>(a, group.a_stride, b, packed);
    a += kInt4Depth;
    b += (kUnpacked ? 2 : 1) * kInt4Depth / 8 * kStepBytes;
    for (int i = 0; i < R; ++i) {
      for (int v = 0; v < V; ++v) {
        sums[i][v] = block == 0 ? totals(packed[i][v]) : add(sums[i][v], totals(packed[i][v]));
      }
    }
  } while (++block < blocks);
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Totals products = sums[i][v];
      if (!kSymmetric) {
        products = less_products(products, group.zeros + v * kWidth, group.row_sums[i * group.row_sums_stride]);
      }
      add_to(group.sums + i * group.sums_stride + v * kWidth, scaled(products, group.scales + v * kWidth));
    }
  }
}

template <int R, bool kSymmetric>
inline void next_rows(Group& group) {
  group.a += R * group.a_stride;
  group.offsets += R * group.offsets_stride;
  if (!kSymmetric) group.row_sums += R * group.row_sums_stride;
  group.sums += R * group.sums_stride;
}

template <bool kUnpacked, bool kSymmetric, int kBlocks>
void add_rows(Group group, int rows) {
  constexpr int kRows = 4, kVectors = 2;
  for (; rows > 1; rows -= kRows) {
    add_group<kRows, kVectors, kUnpacked, kSymmetric, kBlocks>(group);
    next_rows<kRows, kSymmetric>(group);
  }
  if (rows == 1) add_group<1, kVectors, kUnpacked, kSymmetric, kBlocks>(group);
}

template <bool kSymmetric, int kBlocks>
void tile_of(const Int4TileArgs& args) {
  constexpr int kMostUnpacked = 128, kColumns = 2 * kWidth;
  const ptrdiff_t size = args.group_size, blocks = size / kInt4Depth;
  alignas(64) uint8_t unpacked[kMostUnpacked * kInt4Panel];
  const bool many = args.rows > 4 && size <= kMostUnpacked;
  for (int i = 0; i < args.rows; ++i) {
    for (int j = 0; j < kInt4Panel; ++j) args.sums[i * args.sums_stride + j] = 0;
  }
  for (ptrdiff_t g = 0; g < args.groups; ++g) {
    const uint8_t* b = args.panel + g * size * kInt4Panel / 2;
    for (ptrdiff_t p = 0; many && p < size; p += kInt4Depth) unpack(b + p * kInt4Panel / 2, unpacked + p * kInt4Panel);
    for (int column = 0; column < kInt4Panel; column += kColumns) {
      const ptrdiff_t at = g * kInt4Panel + column;
      const Group group = {args.a + g * size,
                           args.a_stride,
                           args.offsets + g * blocks,
                           args.groups * blocks,
                           kSymmetric ? nullptr : args.row_sums + g,
                           args.groups,
                           (many ? unpacked : b) + column * 4,
                           args.scales + at,
                           kSymmetric ? nullptr : args.zeros + at,
                           args.sums + column,
                           args.sums_stride,
                           blocks};
      if (many) {
        add_rows<true, kSymmetric, kBlocks>(group, args.rows);
      } else {
        add_rows<false, kSymmetric, kBlocks>(group, args.rows);
      }
    }
  }
}

void tile(const Int4TileArgs& args) {
  if (args.zeros != nullptr) {
    tile_of<false, 0>(args);
  } else if (args.group_size == kInt4Depth) {
    tile_of<true, 1>(args);
  } else {
    tile_of<true, 0>(args);
  }
}

}  // namespace
}  // namespace petrain::kernels
