#include "quant.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::int8_t;
using std::ptrdiff_t;

// Without their sign, IEEE numbers are ordered as their bits are: finite < infinite < NaN. So an integer maximum
// finds the largest magnitude and anything that is not finite in one pass.
int32_t magnitude_bits(float x) { return __builtin_bit_cast(int32_t, x) & 0x7fffffff; }
int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

float max_abs_run(const float* x, ptrdiff_t size) {
  int32_t most = 0;
#pragma omp simd reduction(max : most)
  for (ptrdiff_t i = 0; i < size; ++i) most = larger(most, magnitude_bits(x[i]));
  return __builtin_bit_cast(float, most);
}

// A true division: a product with 1 / scale rounds twice. In [2²³, 2²⁴) the distance between floats is 1, so adding
// 1.5 * 2²³ rounds half to even, as every addition does, and leaves the integer in the low bits.
int8_t quantize_one(float x, float scale) {
  float value = x / scale;
  value = value < 127.0f ? value : 127.0f;
  value = value > -127.0f ? value : -127.0f;
  constexpr float kMagic = 12582912.0f;
  return static_cast<int8_t>(__builtin_bit_cast(int32_t, value + kMagic) - __builtin_bit_cast(int32_t, kMagic));
}

void quantize_run(const float* __restrict x, float scale, int8_t* __restrict q, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) q[i] = quantize_one(x[i], scale);
}

// The type in which rows of a are laid out for the loop below. x86 multiplies int16 exactly and adds neighbours in
// int32 (pmaddwd; pmaddubsw would saturate): with one operand widened beforehand GCC finds it. On ARM int8 * int8
// is exact as it is, with sdot where there is one.
#if defined(__aarch64__)
using Wide = int8_t;
#else
using Wide = std::int16_t;
#endif

constexpr int kRows = 4;            // rows of a for which each row of b is read once
constexpr ptrdiff_t kDepth = 2048;  // of k at a time, so that kRows widened rows stay in the first-level cache

// R rows of a against C rows of b. A plain loop: `omp simd reduction` would hide the dot product from the compiler.
template <int R, int C>
void block(const Wide* a, const int8_t* b, ptrdiff_t b_stride, int32_t* c, ptrdiff_t c_stride, ptrdiff_t depth) {
  int32_t sum[R][C] = {};
  for (ptrdiff_t p = 0; p < depth; ++p) {
    for (int i = 0; i < R; ++i) {
      for (int j = 0; j < C; ++j) sum[i][j] += static_cast<int32_t>(a[i * kDepth + p]) * b[j * b_stride + p];
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < C; ++j) c[i * c_stride + j] += sum[i][j];
  }
}

template <int R, int C>
void strip(const Wide* a, const int8_t* b, int32_t* c, ptrdiff_t depth, const MatmulArgs& args) {
  ptrdiff_t j = 0;
  for (; j + C <= args.n; j += C) block<R, C>(a, b + j * args.b_stride, args.b_stride, c + j, args.c_stride, depth);
  for (; j < args.n; ++j) block<R, 1>(a, b + j * args.b_stride, args.b_stride, c + j, args.c_stride, depth);
}

void matmul(const MatmulArgs& args) {
  alignas(64) Wide wide[kRows * kDepth];
  for (ptrdiff_t i = 0; i < args.m; ++i) {
    for (ptrdiff_t j = 0; j < args.n; ++j) args.c[i * args.c_stride + j] = 0;
  }
  for (ptrdiff_t begin = 0; begin < args.k; begin += kDepth) {
    const ptrdiff_t depth = args.k - begin < kDepth ? args.k - begin : kDepth;
    for (ptrdiff_t i = 0; i < args.m; i += kRows) {
      const ptrdiff_t rows = args.m - i < kRows ? args.m - i : kRows;
      for (ptrdiff_t r = 0; r < rows; ++r) {
        const int8_t* row = args.a + (i + r) * args.a_stride + begin;
        for (ptrdiff_t p = 0; p < depth; ++p) wide[r * kDepth + p] = row[p];
      }
      const int8_t* b = args.b + begin;
      int32_t* c = args.c + i * args.c_stride;
      switch (rows) {
        case 1:
          strip<1, 4>(wide, b, c, depth, args);
          break;
        case 2:
          strip<2, 2>(wide, b, c, depth, args);
          break;
        case 3:
          strip<3, 2>(wide, b, c, depth, args);
          break;
        default:
          strip<4, 2>(wide, b, c, depth, args);
      }
    }
  }
}

void rescale(const RescaleArgs& args) {
  const int32_t* __restrict sum = args.sum;
  const float* __restrict w_scale = args.w_scale;
  const float* __restrict bias = args.bias;
  float* __restrict y = args.y;
  const float x_scale = args.x_scale;
  const ptrdiff_t size = args.size;
  if (bias == nullptr) {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) y[j] = static_cast<float>(sum[j]) * (x_scale * w_scale[j]);
  } else {
#pragma omp simd
    for (ptrdiff_t j = 0; j < size; ++j) y[j] = static_cast<float>(sum[j]) * (x_scale * w_scale[j]) + bias[j];
  }
}

}  // namespace

extern const QuantTable PETRAIN_TABLE(quant) = {
    max_abs_run,
    quantize_run,
    matmul,
    rescale,
};

}  // namespace petrain::kernels
