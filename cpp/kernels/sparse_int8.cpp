#include "sparse_int8.hpp"

#include "int_gemm.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace petrain::kernels {
namespace {

using std::ptrdiff_t;

#if defined(__AVX2__)
void gather_windows(const GatherArgs& args) {
  const std::int8_t* row = args.row;
  const std::uint8_t* places = args.places;
  std::int8_t* to = args.to;
  for (ptrdiff_t s = 0; s < args.count; s += args.in_window) {
    const __m128i window = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
    const __m128i at = _mm_loadu_si128(reinterpret_cast<const __m128i*>(places));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi8(window, at));
    row += kWindow;
    places += args.in_window;
    to += args.in_window;
  }
}
#endif

void gather(const GatherArgs& args) {
#if defined(__AVX2__)
  if (args.places != nullptr) return gather_windows(args);
#endif
  for (ptrdiff_t s = 0; s < args.count; ++s) args.to[s] = args.row[args.positions[s]];
}

#if defined(__AVX2__)
inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store(void* to, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }

inline __m256i broadcast(const void* from) {
  int four;
  __builtin_memcpy(&four, from, sizeof four);
  return _mm256_set1_epi32(four);
}

// |a| times b with the sign of a: two products are at most 2 · 127², which int16 holds.
template <bool whole>
void row_product(const SparseRowArgs& args) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[2] = {};
  const std::int8_t* panel = args.panel;
  for (ptrdiff_t s = 0; s < args.fours; ++s, panel += kSparseOutputs * 4) {
    const __m256i a = broadcast(args.a + (whole ? args.positions[s * 4] : s * 4)), size = _mm256_abs_epi8(a);
    for (int v = 0; v < 2; ++v) {
      const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(load(panel + v * 32), a));
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(pairs, ones));
    }
  }
  for (int v = 0; v < 2; ++v) store(args.sums + v * 8, sums[v]);
}

void row(const SparseRowArgs& args) {
  if (args.positions != nullptr) return row_product<true>(args);
  row_product<false>(args);
}

constexpr int kFour = kFoursRows * 4;  // bytes

void fours(const FoursArgs& args) {
  for (ptrdiff_t f = 0; f < args.fours; ++f) {
    __m256i columns[4];
    for (int i = 0; i < 4; ++i) {
      const ptrdiff_t position = f * 4 + i < args.count ? args.positions[f * 4 + i] : 0;
      columns[i] = load(args.transposed + position * kMostRows);
    }
    const __m256i low01 = _mm256_unpacklo_epi8(columns[0], columns[1]);
    const __m256i high01 = _mm256_unpackhi_epi8(columns[0], columns[1]);
    const __m256i low23 = _mm256_unpacklo_epi8(columns[2], columns[3]);
    const __m256i high23 = _mm256_unpackhi_epi8(columns[2], columns[3]);
    std::uint8_t* to = args.to + f * kFour;  // rows 0-3 and 16-19, 4-7 and 20-23, …
    store(to, _mm256_unpacklo_epi16(low01, low23));
    store(to + 32, _mm256_unpackhi_epi16(low01, low23));
    store(to + 64, _mm256_unpacklo_epi16(high01, high23));
    store(to + 96, _mm256_unpackhi_epi16(high01, high23));
  }
}

// For numbers of which too many would have something taken off: as row_product.
void tile_signed(const FoursTileArgs& args) {
  const __m256i ones = _mm256_set1_epi16(1), shift = _mm256_set1_epi8(-128);
  for (int row = 0; row < args.rows; row += 4) {
    const std::uint8_t* a = args.fours + row / 4 % 4 * 32 + row / 16 * 16;
    const std::int8_t* b = args.panel;
    __m256i sums[4][2] = {};
    for (ptrdiff_t f = 0; f < args.count; ++f, a += kFour, b += 4 * kSparseOutputs) {
      const __m256i columns[2] = {load(b), load(b + 32)};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m256i number = _mm256_xor_si256(broadcast(a + i * 4), shift), size = _mm256_abs_epi8(number);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(columns[v], number));
          sums[i][v] = _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(pairs, ones));
        }
      }
    }
    for (int i = 0; i < 4; ++i) {
      for (int v = 0; v < 2; ++v) store(args.sums + (row + i) * kSparseOutputs + v * 8, sums[i][v]);
    }
  }
}

void tile(const FoursTileArgs& args) {
  if (args.column_sums == nullptr) return tile_signed(args);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int row = 0; row < args.rows; row += 4) {
    const std::uint8_t* a = args.fours + row / 4 % 4 * 32 + row / 16 * 16;
    const std::int8_t* b = args.panel;
    __m256i sums[4][2];
    for (int v = 0; v < 2; ++v) {
      const __m256i shifted = _mm256_slli_epi32(load(args.column_sums + v * 8), 7);
      for (int i = 0; i < 4; ++i) sums[i][v] = _mm256_sub_epi32(_mm256_setzero_si256(), shifted);
    }
    for (ptrdiff_t f = 0; f < args.count; f += 2, a += 2 * kFour, b += 2 * 4 * kSparseOutputs) {
      __m256i first[2], second[2];
      for (int v = 0; v < 2; ++v) {
        first[v] = load(b + v * 32);
        second[v] = load(b + 64 + v * 32);
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m256i a_first = broadcast(a + i * 4), a_second = broadcast(a + kFour + i * 4);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const __m256i pairs =
              _mm256_add_epi16(_mm256_maddubs_epi16(a_first, first[v]), _mm256_maddubs_epi16(a_second, second[v]));
          sums[i][v] = _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(pairs, ones));
        }
      }
    }
    for (int i = 0; i < 4; ++i) {
      for (int v = 0; v < 2; ++v) store(args.sums + (row + i) * kSparseOutputs + v * 8, sums[i][v]);
    }
  }
}
#endif

}  // namespace

#if defined(__AVX2__)
extern const SparseInt8Table PETRAIN_TABLE(sparse_int8) = {gather, row, fours, tile};
#else
extern const SparseInt8Table PETRAIN_TABLE(sparse_int8) = {gather, nullptr, nullptr, nullptr};
#endif

}  // namespace petrain::kernels
