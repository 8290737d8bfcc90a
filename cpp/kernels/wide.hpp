// Products of float32 or float64 by float64 accumulated in float64, for what float32 cannot resolve: Gram matrices,
// whose condition is the square of the matrix's, and factors that must be orthonormal beside tiny singular values.
// Every element is summed in order and without contraction, so the bits do not depend on the instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kWideColumns = 8;

// C += A B for one panel of kWideColumns columns of B and C.
template <class T>
struct WideArgsOf {
  const T* a;
  std::ptrdiff_t row_stride, col_stride;  // of A, in elements
  const double* b;                        // packed: depth rows of kWideColumns
  double* c;
  std::ptrdiff_t c_stride;  // between rows of C
  std::ptrdiff_t rows, depth;
};

using WideArgs = WideArgsOf<float>;
using Wide64Args = WideArgsOf<double>;

struct WideTable {
  void (*multiply)(const WideArgs&);
  void (*multiply64)(const Wide64Args&);
};

}  // namespace petrain::kernels
