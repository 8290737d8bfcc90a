#include "matrix_by_rows.hpp"

#include <algorithm>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace petrain {

void drop_pages(const void* begin, std::int64_t bytes) {
#if defined(__unix__) || defined(__APPLE__)
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const std::uintptr_t last =
      (reinterpret_cast<std::uintptr_t>(begin) + static_cast<std::uintptr_t>(bytes)) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#else
  (void)begin;
  (void)bytes;
#endif
}

template <class T>
MatrixByRows<T>::MatrixByRows(const ConstMatrixOf<T>& a, std::int64_t limit, bool drop) : a_(a), drop_(drop) {
  const std::int64_t rows = a.col_stride == 1 ? a.rows : a.cols, cols = a.col_stride == 1 ? a.cols : a.rows;
  const std::int64_t fitting = limit / (cols * static_cast<std::int64_t>(sizeof(T))) / kGemmDepth * kGemmDepth;
  rows_ = limit > 0 ? std::max(fitting, kGemmDepth) : rows;
}

template <class T>
void MatrixByRows<T>::multiply(const ConstMatrixOf<T>& x, Thin<T>& y) const {
  product(a_, x, y);
}

template <class T>
void MatrixByRows<T>::multiply_transposed(const ConstMatrixOf<T>& x, Thin<T>& y) const {
  product(a_.transposed(), x, y);
}

template <class T>
void MatrixByRows<T>::product(const ConstMatrixOf<T>& a, const ConstMatrixOf<T>& x, Thin<T>& y) const {
  const bool by_rows = a.col_stride == 1;
  const std::int64_t rows = by_rows ? a.rows : a.cols, cols = by_rows ? a.cols : a.rows;
  for (std::int64_t first = 0; first < rows; first += rows_) {
    const std::int64_t count = std::min(rows_, rows - first);
    if (by_rows) {
      multiply_into(a.row_range(first, count), x, y.values.data() + first * y.cols, y.cols, false);
    } else {
      multiply_into(a.transposed().row_range(first, count).transposed(), x.row_range(first, count), y.values.data(),
                    y.cols, first > 0);
    }
    if (drop_) drop_pages(a.data + first * cols, count * cols * static_cast<std::int64_t>(sizeof(T)));
  }
}

template class MatrixByRows<float>;
template class MatrixByRows<double>;

}  // namespace petrain
