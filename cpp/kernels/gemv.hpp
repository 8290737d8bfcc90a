// Float32 products of a few rows with a large matrix, which is read once, where it lies. Compiled with contraction, and
// every sum in the order of gemm.hpp's: the same bits.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

constexpr std::ptrdiff_t kMostFewRows = 4;
constexpr std::ptrdiff_t kFewRowsColumns = 256;  // of C, the most of one call; a multiple of what is computed at once

// C = A B, or C += A B. Sums over k are taken in parts of k_block, each added to C.
struct FewRowsArgs {
  const float* a;  // Aᵀ, (k, m) without gaps
  const float* b;
  std::ptrdiff_t b_stride;  // between rows of B, or of Bᵀ
  float* c;
  std::ptrdiff_t c_stride;
  std::ptrdiff_t m, n, k;  // m is at most kMostFewRows, n at most kFewRowsColumns
  std::ptrdiff_t k_block;
  bool accumulate;
};

struct GemvTable {
  void (*by_columns)(const FewRowsArgs&);  // the columns of B are contiguous
  void (*by_rows)(const FewRowsArgs&);     // the rows of B are
};

}  // namespace petrain::kernels
