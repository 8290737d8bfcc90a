#include "gemm.hpp"

#include "vectors.hpp"

namespace petrain::kernels {
namespace {

// The register tile: kRows × (kVectors · kWidth) sums, as many as the registers hold beside one row of B.
#if defined(__AVX512F__)
constexpr std::ptrdiff_t kRows = 12, kVectors = 2;
#elif defined(__aarch64__)
constexpr std::ptrdiff_t kRows = 6, kVectors = 4;
#else
constexpr std::ptrdiff_t kRows = 6, kVectors = 2;
#endif
constexpr std::ptrdiff_t kWidth = kVectorBytes / sizeof(float), kColumns = kVectors * kWidth;

using Vector = float __attribute__((vector_size(kVectorBytes)));

template <int panel>
void pack(const PackArgs& args) {
  float* packed = args.packed;
  for (std::ptrdiff_t first = 0; first < args.count; first += panel) {
    const float* source = args.source + first * args.stride;
    const std::ptrdiff_t rest = args.count - first;
    if (rest >= panel && args.stride == 1) {
      for (std::ptrdiff_t k = 0; k < args.k; ++k, packed += panel, source += args.k_stride) {
        for (std::ptrdiff_t i = 0; i < panel; ++i) packed[i] = source[i];
      }
    } else if (rest >= panel) {
      for (std::ptrdiff_t k = 0; k < args.k; ++k, packed += panel, source += args.k_stride) {
        for (std::ptrdiff_t i = 0; i < panel; ++i) packed[i] = source[i * args.stride];
      }
    } else {
      for (std::ptrdiff_t k = 0; k < args.k; ++k, packed += panel, source += args.k_stride) {
        for (std::ptrdiff_t i = 0; i < panel; ++i) packed[i] = i < rest ? source[i * args.stride] : 0.0f;
      }
    }
  }
}

void store_part(const float* sums, float* c, std::ptrdiff_t c_stride, std::ptrdiff_t m, std::ptrdiff_t n,
                bool accumulate) {
  for (std::ptrdiff_t i = 0; i < m; ++i, c += c_stride, sums += kColumns) {
    for (std::ptrdiff_t j = 0; j < n; ++j) c[j] = accumulate ? c[j] + sums[j] : sums[j];
  }
}

// One register tile; m and n say how much of it is part of C. A's rows are a_stride apart, or it is packed. Rows that
// are not packed come from far away, and no prefetcher guesses where the next tile's begin: `ahead` elements on.
template <bool packed>
void tile(const float* a, std::ptrdiff_t a_stride, std::ptrdiff_t ahead, const float* b, std::ptrdiff_t k, float* c,
          std::ptrdiff_t c_stride, std::ptrdiff_t m, std::ptrdiff_t n, bool accumulate) {
  constexpr std::ptrdiff_t kLine = 64 / sizeof(float);
  const float* rows[kRows];
  for (std::ptrdiff_t i = 0; i < kRows; ++i) rows[i] = a + (i < m ? i : m - 1) * a_stride;
  Vector sums[kRows][kVectors] = {};
  for (std::ptrdiff_t step = 0; step < k; ++step, b += kColumns) {
    if (!packed && step % kLine == 0) {
#pragma GCC unroll 12
      for (std::ptrdiff_t i = 0; i < kRows; ++i) __builtin_prefetch(rows[i] + step + ahead);
    }
    Vector row[kVectors];
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) row[v] = load_vector<Vector>(b + v * kWidth);
#pragma GCC unroll 12
    for (std::ptrdiff_t i = 0; i < kRows; ++i) {
      const float factor = packed ? a[step * kRows + i] : rows[i][step];
#pragma GCC unroll 4
      for (std::ptrdiff_t v = 0; v < kVectors; ++v) sums[i][v] += factor * row[v];
    }
  }
  if (m == kRows && n == kColumns) {
#pragma GCC unroll 12
    for (std::ptrdiff_t i = 0; i < kRows; ++i, c += c_stride) {
#pragma GCC unroll 4
      for (std::ptrdiff_t v = 0; v < kVectors; ++v) {
        float* target = c + v * kWidth;
        store_vector(target, accumulate ? load_vector<Vector>(target) + sums[i][v] : sums[i][v]);
      }
    }
    return;
  }
  float part[kRows * kColumns];
#pragma GCC unroll 12
  for (std::ptrdiff_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) store_vector(part + i * kColumns + v * kWidth, sums[i][v]);
  }
  store_part(part, c, c_stride, m, n, accumulate);
}

template <bool packed>
void block(const BlockArgs& args) {
  const std::ptrdiff_t row = packed ? args.k : args.a_stride;
  for (std::ptrdiff_t j = 0; j < args.n; j += kColumns) {
    const std::ptrdiff_t n = args.n - j < kColumns ? args.n - j : kColumns;
    for (std::ptrdiff_t i = 0; i < args.m; i += kRows) {
      const std::ptrdiff_t m = args.m - i < kRows ? args.m - i : kRows;
      const std::ptrdiff_t ahead = i + 2 * kRows <= args.m ? kRows * args.a_stride : 0;
      tile<packed>(args.a + i * row, args.a_stride, ahead, args.b + j * args.k, args.k, args.c + i * args.c_stride + j,
                   args.c_stride, m, n, args.accumulate);
    }
  }
}

// sums (m, kColumns) += A B for `count` steps of k, whose rows of B stay in the registers.
template <int count>
void add_steps(const float* a, std::ptrdiff_t a_stride, const float* b, std::ptrdiff_t m, float* sums) {
  Vector rows[count][kVectors];
#pragma GCC unroll 12
  for (int p = 0; p < count; ++p) {
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) rows[p][v] = load_vector<Vector>(b + p * kColumns + v * kWidth);
  }
  for (std::ptrdiff_t i = 0; i < m; ++i, sums += kColumns) {
    Vector sum[kVectors];
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) sum[v] = load_vector<Vector>(sums + v * kWidth);
#pragma GCC unroll 12
    for (int p = 0; p < count; ++p) {
      const float factor = a[p * a_stride + i];
#pragma GCC unroll 4
      for (std::ptrdiff_t v = 0; v < kVectors; ++v) sum[v] += factor * rows[p][v];
    }
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) store_vector(sums + v * kWidth, sum[v]);
  }
}

void block_of_columns(const BlockArgs& args) {
  float sums[kMostColumns * kColumns];
  for (std::ptrdiff_t j = 0; j < args.n; j += kColumns) {
    const float* b = args.b + j * args.k;
    for (std::ptrdiff_t i = 0; i < args.m * kColumns; ++i) sums[i] = 0;
    std::ptrdiff_t k = 0;
    for (; k + kRows <= args.k; k += kRows)
      add_steps<kRows>(args.a + k * args.a_stride, args.a_stride, b + k * kColumns, args.m, sums);
    for (; k < args.k; ++k) add_steps<1>(args.a + k * args.a_stride, args.a_stride, b + k * kColumns, args.m, sums);
    const std::ptrdiff_t n = args.n - j < kColumns ? args.n - j : kColumns;
    store_part(sums, args.c + j, args.c_stride, args.m, n, args.accumulate);
  }
}

}  // namespace

extern const GemmTable PETRAIN_TABLE(gemm) = {kRows,       kColumns,     pack<kRows>,     pack<kColumns>,
                                              block<true>, block<false>, block_of_columns};

}  // namespace petrain::kernels
