#include "wide.hpp"

namespace petrain::kernels {
namespace {

// The register tile: kRows × (kVectors · kWidth) sums.
#if defined(__AVX512F__)
constexpr std::ptrdiff_t kWidth = 8, kRows = 8;
#elif defined(__AVX2__)
constexpr std::ptrdiff_t kWidth = 4, kRows = 4;
#elif defined(__aarch64__)
constexpr std::ptrdiff_t kWidth = 2, kRows = 4;
#else
constexpr std::ptrdiff_t kWidth = 2, kRows = 2;
#endif
constexpr std::ptrdiff_t kVectors = kWideColumns / kWidth;

using Vector = double __attribute__((vector_size(kWidth * sizeof(double))));
// Unaligned access. Not through a vector type of lower alignment: gcc and clang each lose that attribute in places.
inline Vector load(const double* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}
inline void store(double* to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

template <int rows, class T>
void tile(const WideArgsOf<T>& args, std::ptrdiff_t first) {
  const T* a = args.a + first * args.row_stride;
  const double* b = args.b;
  Vector sums[rows][kVectors] = {};
  for (std::ptrdiff_t step = 0; step < args.depth; ++step, a += args.col_stride, b += kWideColumns) {
    Vector row[kVectors];
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) row[v] = load(b + v * kWidth);
#pragma GCC unroll 8
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      const double factor = a[i * args.row_stride];
#pragma GCC unroll 4
      for (std::ptrdiff_t v = 0; v < kVectors; ++v) sums[i][v] += factor * row[v];
    }
  }
  double* c = args.c + first * args.c_stride;
#pragma GCC unroll 8
  for (std::ptrdiff_t i = 0; i < rows; ++i, c += args.c_stride) {
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) store(c + v * kWidth, load(c + v * kWidth) + sums[i][v]);
  }
}

template <class T>
void multiply(const WideArgsOf<T>& args) {
  std::ptrdiff_t first = 0;
  for (; first + kRows <= args.rows; first += kRows) tile<kRows>(args, first);
  for (; first < args.rows; ++first) tile<1>(args, first);
}

}  // namespace

extern const WideTable PETRAIN_TABLE(wide) = {multiply<float>, multiply<double>};

}  // namespace petrain::kernels
