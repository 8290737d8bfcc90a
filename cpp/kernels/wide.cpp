#include "wide.hpp"

#include "vectors.hpp"

namespace petrain::kernels {
namespace {

// The register tile: kRows × (kVectors · kWidth) sums.
#if defined(__AVX512F__)
constexpr std::ptrdiff_t kRows = 8;
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr std::ptrdiff_t kRows = 4;
#else
constexpr std::ptrdiff_t kRows = 2;
#endif
constexpr std::ptrdiff_t kWidth = kVectorBytes / sizeof(double), kVectors = kWideColumns / kWidth;

using Vector = double __attribute__((vector_size(kVectorBytes)));

template <int rows, class T>
void tile(const WideArgsOf<T>& args, std::ptrdiff_t first) {
  const T* a = args.a + first * args.row_stride;
  const double* b = args.b;
  Vector sums[rows][kVectors] = {};
  for (std::ptrdiff_t step = 0; step < args.depth; ++step, a += args.col_stride, b += kWideColumns) {
    Vector row[kVectors];
#pragma GCC unroll 4
    for (std::ptrdiff_t v = 0; v < kVectors; ++v) row[v] = load_vector<Vector>(b + v * kWidth);
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
    for (std::ptrdiff_t v = 0; v < kVectors; ++v)
      store_vector(c + v * kWidth, load_vector<Vector>(c + v * kWidth) + sums[i][v]);
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
