// Float32 matrix products over strided views.
#pragma once

#include <cstdint>

namespace petrain {

template <class T>
struct ConstMatrixOf {
  const T* data;
  std::int64_t rows, cols;
  std::int64_t row_stride, col_stride;  // in elements

  ConstMatrixOf(const T* values, std::int64_t row_count, std::int64_t col_count)
      : ConstMatrixOf(values, row_count, col_count, col_count, 1) {}
  ConstMatrixOf(const T* values, std::int64_t row_count, std::int64_t col_count, std::int64_t between_rows,
                std::int64_t between_cols)
      : data(values), rows(row_count), cols(col_count), row_stride(between_rows), col_stride(between_cols) {}

  ConstMatrixOf transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  ConstMatrixOf row_range(std::int64_t first, std::int64_t count) const {
    return {data + first * row_stride, count, cols, row_stride, col_stride};
  }
};
using ConstMatrix = ConstMatrixOf<float>;

// A product in parts of so many columns of A, each added to those before it, has the bits of the whole.
constexpr std::int64_t kGemmDepth = 512;

// C = A B, or C += A B. C is row-major with c_stride elements between rows and may not overlap A or B. The result
// does not depend on the number of threads, nor does a row of it on the other rows of A.
void gemm(const ConstMatrix& a, const ConstMatrix& b, float* c, std::int64_t c_stride, bool accumulate = false);

}  // namespace petrain
