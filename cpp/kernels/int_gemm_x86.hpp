// Integer products on x86, from SSE2 to AVX-512 VNNI.
//
// wide: vpmaddwd of int16, which cannot overflow in int32: 16 products in an AVX2 instruction.
// narrow with AVX2: vpmaddubsw of u8 and s8, 32 products in an instruction, whose pairs and pairs of pairs are kept
// within int16 (see `limited`); A is shifted by 128 to be unsigned.
// narrow with VNNI: vpdpbusd, which adds four products in int32.
#pragma once

#include <immintrin.h>

#include "int_gemm.hpp"
#include "transpose.hpp"

namespace petrain::kernels {
namespace {

using std::int16_t;
using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;
using std::uint8_t;

#if defined(__AVX2__)
using Integers = __m256i;
inline Integers load(const void* from) { return _mm256_load_si256(static_cast<const Integers*>(from)); }
inline Integers load_any(const void* from) { return _mm256_loadu_si256(static_cast<const Integers*>(from)); }
inline void store_any(void* to, Integers x) { _mm256_storeu_si256(static_cast<Integers*>(to), x); }
inline Integers add32(Integers a, Integers b) { return _mm256_add_epi32(a, b); }
inline Integers products16(Integers a, Integers b) { return _mm256_madd_epi16(a, b); }
inline Integers even_bytes(Integers x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
inline Integers odd_bytes(Integers x) { return _mm256_srai_epi16(x, 8); }
inline Integers all32(int32_t x) { return _mm256_set1_epi32(x); }
#else
using Integers = __m128i;
inline Integers load(const void* from) { return _mm_load_si128(static_cast<const Integers*>(from)); }
inline Integers load_any(const void* from) { return _mm_loadu_si128(static_cast<const Integers*>(from)); }
inline void store_any(void* to, Integers x) { _mm_storeu_si128(static_cast<Integers*>(to), x); }
inline Integers add32(Integers a, Integers b) { return _mm_add_epi32(a, b); }
inline Integers products16(Integers a, Integers b) { return _mm_madd_epi16(a, b); }
inline Integers even_bytes(Integers x) { return _mm_srai_epi16(_mm_slli_epi16(x, 8), 8); }
inline Integers odd_bytes(Integers x) { return _mm_srai_epi16(x, 8); }
inline Integers all32(int32_t x) { return _mm_set1_epi32(x); }
#endif

// Four bytes, or two int16.
inline int32_t four(const void* from) {
  int32_t bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

inline Integers broadcast(const void* from) { return all32(four(from)); }

constexpr int kRows = 4, kVectors = 2;  // the sums of a tile in registers
constexpr int kColumns = kVectors * static_cast<int>(sizeof(Integers) / sizeof(int32_t));

// Of four neighbours those at 0, 2, then those at 1, 3, as even_bytes and odd_bytes take them from B.
void prepare_wide(const int8_t* row, ptrdiff_t k, void* prepared) {
  auto* to = static_cast<int16_t*>(prepared);
  const ptrdiff_t whole = k - k % 4;
  for (ptrdiff_t p = 0; p < whole; p += 4) {
    for (int i = 0; i < 4; ++i) to[p + (i % 2) * 2 + i / 2] = row[p + i];
  }
  for (ptrdiff_t p = whole; p < (k + kDepthStep - 1) / kDepthStep * kDepthStep; ++p) to[p] = 0;
  for (ptrdiff_t p = whole; p < k; ++p) to[whole + ((p - whole) % 2) * 2 + (p - whole) / 2] = row[p];
}

template <int R>
void tile_wide_part(const IntTileArgs& args, int row, int column) {
  const auto* a = static_cast<const char*>(args.a) + row * args.a_stride;
  const int8_t* b = args.panel + column * 4;
  Integers sums[R][kVectors] = {};
  for (ptrdiff_t p = 0; p < args.k; p += 4, a += 8, b += kPanel * 4) {
    Integers even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const Integers bytes = load(b + v * sizeof(Integers));
      even[v] = even_bytes(bytes);
      odd[v] = odd_bytes(bytes);
    }
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const Integers a_even = broadcast(a + i * args.a_stride), a_odd = broadcast(a + i * args.a_stride + 4);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = add32(sums[i][v], add32(products16(a_even, even[v]), products16(a_odd, odd[v])));
      }
    }
  }
  for (int i = 0; i < R; ++i) {
    int32_t* to = args.sums + (row + i) * args.sums_stride + column;
    for (int v = 0; v < kVectors; ++v) store_any(to + v * (kColumns / kVectors), sums[i][v]);
  }
}

void tile_wide(const IntTileArgs& args) {
  for (int row = 0; row < args.rows; row += kRows) {
    for (int column = 0; column < kPanel; column += kColumns) {
      if (args.rows - row > 1) {
        tile_wide_part<kRows>(args, row, column);
      } else {
        tile_wide_part<1>(args, row, column);
      }
    }
  }
}

constexpr IntRoute kWide = {sizeof(int16_t), prepare_wide, tile_wide};

#if defined(__AVX2__)

void prepare_unsigned(const int8_t* __restrict row, ptrdiff_t k, void* __restrict prepared) {
  auto* to = static_cast<uint8_t*>(prepared);
#pragma omp simd
  for (ptrdiff_t p = 0; p < k; ++p) to[p] = static_cast<uint8_t>(row[p] ^ 0x80);
  for (ptrdiff_t p = k; p % kDepthStep != 0; ++p) to[p] = 0;
}

#endif

#if defined(__AVX512VNNI__)

// R rows, each in two sums, so that no instruction waits for the one before.
template <int R>
void tile_vnni_part(const IntTileArgs& args, int row) {
  const auto* a = static_cast<const uint8_t*>(args.a) + row * args.a_stride;
  const int8_t* b = args.panel;
  const __m512i start = _mm512_mullo_epi32(_mm512_loadu_si512(args.column_sums), _mm512_set1_epi32(-128));
  __m512i first[R], second[R];
  for (int i = 0; i < R; ++i) {
    first[i] = start;
    second[i] = _mm512_setzero_si512();
  }
  for (ptrdiff_t p = 0; p < args.k; p += kDepthStep, a += kDepthStep, b += kPanel * kDepthStep) {
    const __m512i b_first = _mm512_load_si512(b), b_second = _mm512_load_si512(b + kPanel * 4);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const uint8_t* at = a + i * args.a_stride;
      first[i] = _mm512_dpbusd_epi32(first[i], _mm512_set1_epi32(four(at)), b_first);
      second[i] = _mm512_dpbusd_epi32(second[i], _mm512_set1_epi32(four(at + 4)), b_second);
    }
  }
  for (int i = 0; i < R; ++i) {
    _mm512_storeu_si512(args.sums + (row + i) * args.sums_stride, _mm512_add_epi32(first[i], second[i]));
  }
}

void tile_vnni(const IntTileArgs& args) {
  for (int row = 0; row < args.rows; row += kRowStep) {
    if (args.rows - row > 1) {
      tile_vnni_part<kRowStep>(args, row);
    } else {
      tile_vnni_part<1>(args, row);
    }
  }
}

constexpr IntRoute kNarrow = {sizeof(uint8_t), prepare_unsigned, tile_vnni};
constexpr IntGemmTable kIntGemm = {kWide, kNarrow, false, nullptr, nullptr, nullptr, nullptr};

#elif defined(__AVX2__)

void tile_narrow_part(const IntTileArgs& args, int row) {
  const auto* a = static_cast<const uint8_t*>(args.a) + row * args.a_stride;
  const int8_t* b = args.panel;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const __m256i shifted = _mm256_slli_epi32(load_any(args.column_sums + v * 8), 7);
    for (int i = 0; i < kRows; ++i) sums[i][v] = _mm256_sub_epi32(_mm256_setzero_si256(), shifted);
  }
  for (ptrdiff_t p = 0; p < args.k; p += kDepthStep, a += kDepthStep, b += kPanel * kDepthStep) {
    __m256i first[kVectors], second[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      first[v] = load(b + v * 32);
      second[v] = load(b + kPanel * 4 + v * 32);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const __m256i a_first = broadcast(a + i * args.a_stride), a_second = broadcast(a + i * args.a_stride + 4);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const __m256i pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(a_first, first[v]), _mm256_maddubs_epi16(a_second, second[v]));
        sums[i][v] = add32(sums[i][v], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) store_any(args.sums + (row + i) * args.sums_stride + v * 8, sums[i][v]);
  }
}

void tile_narrow(const IntTileArgs& args) {
  for (int row = 0; row < args.rows; row += kRows) tile_narrow_part(args, row);
}

// Moves from `a` to `part` what keeps four products of a and b + 128, which are at most 255, within int16: 128 of the
// positive numbers and 128 of the negative ones. True where nothing is left.
bool take(int8_t* a, int8_t* part, int pair) {
  int positive = 128, negative = -128;
  bool all = true;
  for (int i = 0; i < 4; ++i) {
    const int at = pair + i % 2 + i / 2 * 4;
    const int number = a[at];
    int taken = 0;
    if (number > 0) positive -= taken = number < positive ? number : positive;
    if (number < 0) negative -= taken = number > negative ? number : negative;
    part[at] = static_cast<int8_t>(taken);
    a[at] = static_cast<int8_t>(number - taken);
    all = all && taken == number;
  }
  return all;
}

// Of four eights, bit 8 i where eight i does not go in one step.
int not_within(__m256i a) {
  const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1), most = _mm256_set1_epi16(128);
  __m256i positive = _mm256_maddubs_epi16(_mm256_max_epi8(a, zero), ones);
  __m256i negative = _mm256_maddubs_epi16(_mm256_sub_epi8(zero, _mm256_min_epi8(a, zero)), ones);
  positive = _mm256_add_epi16(positive, _mm256_srli_epi64(positive, 32));
  negative = _mm256_add_epi16(negative, _mm256_srli_epi64(negative, 32));
  const __m256i over = _mm256_or_si256(_mm256_cmpgt_epi16(positive, most), _mm256_cmpgt_epi16(negative, most));
  const int mask = _mm256_movemask_epi8(over);
  return (mask | mask >> 2) & 0x01010101;
}

// A row of numbers around zero has few eights that do not go in one step; none needs more than four.
ptrdiff_t row_steps(const int8_t* row, ptrdiff_t k, RowEight* steps) {
  constexpr ptrdiff_t kAtOnce = 4 * kDepthStep;
  const RowEight* const begin = steps;
  for (ptrdiff_t p = 0; p < k; p += kAtOnce) {
    int8_t rest[kAtOnce] = {};
    __builtin_memcpy(rest, row + p, static_cast<std::size_t>(k - p < kAtOnce ? k - p : kAtOnce));
    const int split = not_within(load_any(rest));
    for (ptrdiff_t i = 0; i < 4 && p + i * kDepthStep < k; ++i) {
      const auto index = static_cast<int32_t>(p / kDepthStep + i);
      int8_t* eight = rest + i * kDepthStep;
      if ((split >> 8 * i & 1) == 0) {
        steps->index = index;
        __builtin_memcpy(steps->a, eight, kDepthStep);
        ++steps;
        continue;
      }
      bool all = false;
      while (!all) {
        steps->index = index;
        const bool first = take(eight, steps->a, 0), second = take(eight, steps->a, 2);
        all = first && second;
        ++steps;
      }
    }
  }
  return steps - begin;
}

// P panels at once.
template <int P>
void row_panels(const RowArgs& args, ptrdiff_t panel) {
  const __m256i ones = _mm256_set1_epi16(1), start = all32(-128 * args.row_sum);
  const ptrdiff_t size = args.k * kPanel;
  const uint8_t* b = args.panels + panel * size;
  __m256i sums[P][kVectors];
  for (auto& of_panel : sums) {
    for (auto& sum : of_panel) sum = start;
  }
  for (ptrdiff_t s = 0; s < args.step_count; ++s) {
    const RowEight& step = args.steps[s];
    const uint8_t* eight = b + static_cast<ptrdiff_t>(step.index) * kDepthStep * kPanel;
    const __m256i a_first = broadcast(step.a), a_second = broadcast(step.a + 4);
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const uint8_t* at = eight + i * size + v * 32;
        const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(load(at), a_first),
                                               _mm256_maddubs_epi16(load(at + kPanel * 4), a_second));
        sums[i][v] = add32(sums[i][v], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
  for (int i = 0; i < P; ++i) {
    for (int v = 0; v < kVectors; ++v) store_any(args.sums + (panel + i) * kPanel + v * 8, sums[i][v]);
  }
}

void row_product(const RowArgs& args) {
  ptrdiff_t panel = 0;
  for (; panel + 4 <= args.panel_count; panel += 4) row_panels<4>(args, panel);
  for (; panel < args.panel_count; ++panel) row_panels<1>(args, panel);
}

void transpose(const int8_t* rows, ptrdiff_t stride, int count, ptrdiff_t k, int8_t* transposed) {
  const ptrdiff_t whole = k - k % 16;
  for (int i = 0; i < count; i += 16) {
    for (ptrdiff_t p = 0; p < whole && i + 16 <= count; p += 16) {
      transpose_16(rows + i * stride + p, stride, transposed + p * kMostRows + i, kMostRows);
    }
    const ptrdiff_t first = i + 16 <= count ? whole : 0;
    const int last = i + 16 <= count ? i + 16 : count;
    for (ptrdiff_t p = first; p < k; ++p) {
      for (int r = i; r < last; ++r) transposed[p * kMostRows + r] = rows[r * stride + p];
    }
  }
}

// 32 rows of one column: four of A's columns are interleaved to four bytes of a row.
inline void add_column(const ExcessArgs& args, int row, int column, __m256i (&sums)[4]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int32_t e = args.first[column]; e < args.first[column + 1]; e += 4) {
    __m256i a[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) a[i] = load(args.transposed + static_cast<ptrdiff_t>(args.k[e + i]) * kMostRows + row);
    const __m256i low01 = _mm256_unpacklo_epi8(a[0], a[1]), high01 = _mm256_unpackhi_epi8(a[0], a[1]);
    const __m256i low23 = _mm256_unpacklo_epi8(a[2], a[3]), high23 = _mm256_unpackhi_epi8(a[2], a[3]);
    const __m256i quads[4] = {_mm256_unpacklo_epi16(low01, low23), _mm256_unpackhi_epi16(low01, low23),
                              _mm256_unpacklo_epi16(high01, high23), _mm256_unpackhi_epi16(high01, high23)};
    const __m256i values = broadcast(args.values + e);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      sums[i] = add32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(quads[i], values), ones));
    }
  }
}

// Eight columns of eight rows to eight rows of eight columns.
inline void transpose_8(__m256i (&x)[8]) {
  __m256i y[8];
  for (int i = 0; i < 8; i += 2) {
    y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    x[i] = _mm256_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm256_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm256_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm256_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x20);
    y[i + 4] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) x[i] = y[i];
}

void add_excess(const ExcessArgs& args) {
  for (int row = 0; row < args.rows; row += 32) {
    for (int column = 0; column < kPanel; column += 8) {
      if (args.first[column] == args.first[column + 8]) continue;
      __m256i sums[8][4] = {};  // of a column: rows 0-3 and 16-19, 4-7 and 20-23, …
      for (int j = 0; j < 8; ++j) add_column(args, row, column + j, sums[j]);
      for (int part = 0; part < 4; ++part) {
        __m256i x[8];
        for (int j = 0; j < 8; ++j) x[j] = sums[j][part];
        transpose_8(x);
        for (int i = 0; i < 8; ++i) {
          const int r = row + part * 4 + i % 4 + i / 4 * 16;
          if (r >= args.rows) continue;
          int32_t* to = args.sums + r * args.sums_stride + column;
          store_any(to, add32(load_any(to), x[i]));
        }
      }
    }
  }
}

constexpr IntRoute kNarrow = {sizeof(uint8_t), prepare_unsigned, tile_narrow};
constexpr IntGemmTable kIntGemm = {kWide, kNarrow, true, transpose, add_excess, row_steps, row_product};

#else

constexpr IntGemmTable kIntGemm = {kWide, kWide, false, nullptr, nullptr, nullptr, nullptr};

#endif

}  // namespace
}  // namespace petrain::kernels
