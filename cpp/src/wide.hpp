// Products of a float32 matrix in float64, split over the threads. The bits depend neither on the number of
// threads nor on the instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "gemm.hpp"

namespace petrain {

// A row-major matrix of doubles; the rows may lie further apart than `cols`.
struct WideMatrix {
  WideMatrix() = default;
  WideMatrix(std::int64_t row_count, std::int64_t col_count)
      : rows(row_count), cols(col_count), stride((col_count + 7) / 8 * 8), values(row_count * stride) {}

  ConstMatrixOf<double> view() const { return {values.data(), rows, cols, stride, 1}; }
  double* row(std::int64_t i) { return values.data() + i * stride; }
  const double* row(std::int64_t i) const { return values.data() + i * stride; }

  std::int64_t rows = 0, cols = 0, stride = 0;
  std::vector<double> values;
};

// XᵀX and A B, of float or double.
template <class T>
WideMatrix gram(const ConstMatrixOf<T>& x);
template <class T, class U>
WideMatrix multiply(const ConstMatrixOf<T>& a, const ConstMatrixOf<U>& b);

inline WideMatrix multiply(const ConstMatrix& a, const WideMatrix& b, std::int64_t columns) {
  return multiply(a, ConstMatrixOf<double>(b.values.data(), b.rows, columns, b.stride, 1));
}

// Makes the columns orthonormal, in order, by Householder's QR; a column within the span of the earlier ones becomes
// some direction outside of it. Gives the diagonal of R, made non-negative: how long each column was beyond that span.
std::vector<double> orthonormalize(WideMatrix& y);

// The same by Cholesky QR, for columns of length 1 that are not far from orthonormal ("CholeskyQR2": Yamamoto et al.,
// ETNA 44, 2015). Nothing is done where they are, to that precision. False where a pivot is below `least`, and then `y`
// is left somewhere between.
bool orthonormalize_near(WideMatrix& y, double least, double precision = 1e-15);

// Puts the inverse of the upper Cholesky factor of a Gram matrix into `inverse` and returns the smallest pivot over its
// diagonal element: the squared sine between a column and the span of the earlier ones. 0: there is no inverse.
double inverse_cholesky(const WideMatrix& gram, WideMatrix& inverse);

// Eigenvalues of a symmetric matrix, largest first, and its eigenvectors as columns.
struct SymmetricEigen {
  std::vector<double> values;
  WideMatrix vectors;
};
SymmetricEigen symmetric_eigen(const WideMatrix& matrix);

// Y with G Y = X for a G without negative eigenvalues, in the place of X; where G is singular, one of them.
void solve_symmetric(const WideMatrix& g, WideMatrix& x);

}  // namespace petrain
