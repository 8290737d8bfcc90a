// Products with a matrix that may lie in a file which is mapped into memory: by blocks of its rows, with the bits of
// the product as a whole.
#pragma once

#include <cstdint>

#include "directions.hpp"

namespace petrain {

template <class T>
class MatrixByRows {
 public:
  // `a` may be the transpose of the matrix whose rows are contiguous. With a limit, a block has no more bytes, but 512
  // rows at least; and with `drop`, its pages are given back after use: of a mapping that is only read.
  MatrixByRows(const ConstMatrixOf<T>& a, std::int64_t limit, bool drop);

  const ConstMatrixOf<T>& matrix() const { return a_; }
  void multiply(const ConstMatrixOf<T>& x, Thin<T>& y) const;             // Y = A X
  void multiply_transposed(const ConstMatrixOf<T>& x, Thin<T>& y) const;  // Y = Aᵀ X

 private:
  void product(const ConstMatrixOf<T>& a, const ConstMatrixOf<T>& x, Thin<T>& y) const;

  ConstMatrixOf<T> a_;
  std::int64_t rows_;  // of a block
  bool drop_;
};

// Gives the pages that lie within these bytes back to the system, which reads them again when they are used.
void drop_pages(const void* begin, std::int64_t bytes);

}  // namespace petrain
