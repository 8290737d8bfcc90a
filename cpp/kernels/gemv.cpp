#include "gemv.hpp"

#include "vectors.hpp"

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kWidth = kVectorBytes / sizeof(float);
constexpr std::ptrdiff_t kQuad = 4;  // consecutive k of one row that are loaded together
constexpr std::ptrdiff_t kLag = 64;  // see columns_tile

using Vector = float __attribute__((vector_size(kVectorBytes)));
using Quad = float __attribute__((vector_size(kQuad * sizeof(float))));

// Four numbers of each of the rows i, i + 4, … beside each other; and, within each four: the lower or upper halves of
// two vectors interleaved, the first or second halves of two vectors.
#if defined(__AVX512F__)
inline Vector load_rows(const float* const* rows, std::ptrdiff_t k) {
  const Quad a = load_vector<Quad>(rows[0] + k), b = load_vector<Quad>(rows[4] + k);
  const Quad c = load_vector<Quad>(rows[8] + k), d = load_vector<Quad>(rows[12] + k);
  return __builtin_shufflevector(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7),
                                 __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                 10, 11, 12, 13, 14, 15);
}
inline Vector low(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
}
inline Vector high(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}
inline Vector first(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
}
inline Vector second(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}
#elif defined(__AVX2__)
inline Vector load_rows(const float* const* rows, std::ptrdiff_t k) {
  return __builtin_shufflevector(load_vector<Quad>(rows[0] + k), load_vector<Quad>(rows[4] + k), 0, 1, 2, 3, 4, 5, 6,
                                 7);
}
inline Vector low(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13); }
inline Vector high(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15); }
inline Vector first(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13); }
inline Vector second(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15); }
#else
inline Vector load_rows(const float* const* rows, std::ptrdiff_t k) { return load_vector<Quad>(rows[0] + k); }
inline Vector low(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Vector high(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
inline Vector first(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
inline Vector second(Vector a, Vector b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }
#endif

// columns[p]: element k + p of each of kWidth rows.
inline void load_transposed(const float* const* rows, std::ptrdiff_t k, Vector (&columns)[kQuad]) {
  const Vector a = load_rows(rows, k), b = load_rows(rows + 1, k);
  const Vector c = load_rows(rows + 2, k), d = load_rows(rows + 3, k);
  const Vector ab_low = low(a, b), ab_high = high(a, b), cd_low = low(c, d), cd_high = high(c, d);
  columns[0] = first(ab_low, cd_low);
  columns[1] = second(ab_low, cd_low);
  columns[2] = first(ab_high, cd_high);
  columns[3] = second(ab_high, cd_high);
}

// sums += A[:, k … k + 3] times four rows of B, of the columns that are the tile's lanes.
template <int m>
inline void add_quad(const FewRowsArgs& args, const float* const* rows, std::ptrdiff_t k, Vector* sums) {
  Vector columns[kQuad];
  load_transposed(rows, k, columns);
#pragma GCC unroll 4
  for (int p = 0; p < kQuad; ++p) {
#pragma GCC unroll 4
    for (int i = 0; i < m; ++i) sums[i] += args.a[(k + p) * m + i] * columns[p];
  }
}

// C[:, j … j + tiles kWidth - 1], each lane a column of B. The second tile comes kLag later: rows a multiple of 4096
// bytes apart would else drive each other out of the first-level cache.
template <int m, int tiles>
void columns_tile(const FewRowsArgs& args, std::ptrdiff_t j) {
  const float* rows[tiles * kWidth];
  for (std::ptrdiff_t i = 0; i < tiles * kWidth; ++i) {
    rows[i] = args.b + (j + i < args.n ? j + i : args.n - 1) * args.b_stride;
  }
  const std::ptrdiff_t n = args.n - j < tiles * kWidth ? args.n - j : tiles * kWidth;
  float part[m][tiles * kWidth] = {};
  for (int i = 0; i < m && args.accumulate; ++i) {
    for (std::ptrdiff_t l = 0; l < n; ++l) part[i][l] = args.c[i * args.c_stride + j + l];
  }
  for (std::ptrdiff_t k0 = 0; k0 < args.k; k0 += args.k_block) {
    const std::ptrdiff_t end = args.k - k0 < args.k_block ? args.k : k0 + args.k_block;
    const std::ptrdiff_t whole = k0 + (end - k0) / kQuad * kQuad;
    const std::ptrdiff_t lag = whole - k0 < kLag ? whole - k0 : kLag;
    Vector sums[tiles][m] = {};
    if constexpr (tiles == 2) {
      for (std::ptrdiff_t k = k0; k < k0 + lag; k += kQuad) add_quad<m>(args, rows, k, sums[0]);
      for (std::ptrdiff_t k = k0 + lag; k < whole; k += kQuad) {
        add_quad<m>(args, rows, k, sums[0]);
        add_quad<m>(args, rows + kWidth, k - lag, sums[1]);
      }
      for (std::ptrdiff_t k = whole - lag; k < whole; k += kQuad) add_quad<m>(args, rows + kWidth, k, sums[1]);
    } else {
      for (std::ptrdiff_t k = k0; k < whole; k += kQuad) add_quad<m>(args, rows, k, sums[0]);
    }
    for (std::ptrdiff_t k = whole; k < end; ++k) {
      for (int t = 0; t < tiles; ++t) {
        Vector column;
        for (std::ptrdiff_t lane = 0; lane < kWidth; ++lane) column[lane] = rows[t * kWidth + lane][k];
        for (int i = 0; i < m; ++i) sums[t][i] += args.a[k * m + i] * column;
      }
    }
    for (int i = 0; i < m; ++i) {
      for (int t = 0; t < tiles; ++t) {
        float* total = part[i] + t * kWidth;
        store_vector(total, k0 == 0 && !args.accumulate ? sums[t][i] : load_vector<Vector>(total) + sums[t][i]);
      }
    }
  }
  for (int i = 0; i < m; ++i) {
    for (std::ptrdiff_t l = 0; l < n; ++l) args.c[i * args.c_stride + j + l] = part[i][l];
  }
}

// As many sums side by side as the registers hold: each waits for itself.
template <int m>
void columns_of(const FewRowsArgs& args) {
  constexpr int tiles = m <= 2 ? 2 : 1;
  for (std::ptrdiff_t j = 0; j < args.n; j += tiles * kWidth) columns_tile<m, tiles>(args, j);
}

// sums[:, j …] += A[:, k … k + count - 1] B[k … k + count - 1, j …], as many columns as V has.
template <class V, int m, int count>
inline void add_rows(const FewRowsArgs& args, std::ptrdiff_t k, std::ptrdiff_t j, float (*sums)[kFewRowsColumns]) {
  V values[count];
#pragma GCC unroll 4
  for (int p = 0; p < count; ++p) values[p] = load_vector<V>(args.b + (k + p) * args.b_stride + j);
#pragma GCC unroll 4
  for (int i = 0; i < m; ++i) {
    V sum = load_vector<V>(sums[i] + j);
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) sum += args.a[(k + p) * m + i] * values[p];
    __builtin_memcpy(sums[i] + j, &sum, sizeof sum);
  }
}

template <int m, int count>
inline void add_steps(const FewRowsArgs& args, std::ptrdiff_t k, float (*sums)[kFewRowsColumns]) {
  std::ptrdiff_t j = 0;
  for (; j + kWidth <= args.n; j += kWidth) add_rows<Vector, m, count>(args, k, j, sums);
  for (; j < args.n; ++j) add_rows<float, m, count>(args, k, j, sums);
}

template <int m>
void rows_of(const FewRowsArgs& args) {
  float sums[m][kFewRowsColumns];
  for (std::ptrdiff_t k0 = 0; k0 < args.k; k0 += args.k_block) {
    const std::ptrdiff_t end = args.k - k0 < args.k_block ? args.k : k0 + args.k_block;
    for (int i = 0; i < m; ++i) {
      for (std::ptrdiff_t j = 0; j < args.n; ++j) sums[i][j] = 0;
    }
    std::ptrdiff_t k = k0;
    for (; k + kQuad <= end; k += kQuad) add_steps<m, kQuad>(args, k, sums);
    for (; k < end; ++k) add_steps<m, 1>(args, k, sums);
    for (int i = 0; i < m; ++i) {
      float* c = args.c + i * args.c_stride;
      for (std::ptrdiff_t j = 0; j < args.n; ++j) c[j] = k0 == 0 && !args.accumulate ? sums[i][j] : c[j] + sums[i][j];
    }
  }
}

void by_columns(const FewRowsArgs& args) {
  constexpr decltype(&by_columns) of[] = {columns_of<1>, columns_of<2>, columns_of<3>, columns_of<4>};
  of[args.m - 1](args);
}

void by_rows(const FewRowsArgs& args) {
  constexpr decltype(&by_rows) of[] = {rows_of<1>, rows_of<2>, rows_of<3>, rows_of<4>};
  of[args.m - 1](args);
}

}  // namespace

extern const GemvTable PETRAIN_TABLE(gemv) = {by_columns, by_rows};

}  // namespace petrain::kernels
