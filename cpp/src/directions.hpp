// Thin matrices of float or double, and orthonormal directions to which more are added.
#pragma once

#include <cstdint>
#include <vector>

#include "gemm.hpp"
#include "wide.hpp"

namespace petrain {

// A few columns, row-major.
template <class T>
struct Thin {
  Thin() = default;
  Thin(std::int64_t row_count, std::int64_t col_count)
      : rows(row_count), cols(col_count), values(static_cast<std::size_t>(row_count * col_count)) {}
  ConstMatrixOf<T> view() const { return {values.data(), rows, cols}; }

  std::int64_t rows = 0, cols = 0;
  std::vector<T> values;
};

// C = A B or C += A B, like gemm.
inline void multiply_into(const ConstMatrix& a, const ConstMatrix& b, float* c, std::int64_t c_stride,
                          bool accumulate) {
  gemm(a, b, c, c_stride, accumulate);
}
void multiply_into(const ConstMatrixOf<double>& a, const ConstMatrixOf<double>& b, double* c, std::int64_t c_stride,
                   bool accumulate);

template <class T>
void add_product(const ConstMatrixOf<T>& a, const ConstMatrixOf<T>& b, Thin<T>& c, bool accumulate) {
  multiply_into(a, b, c.values.data(), c.cols, accumulate);
}

// Columns that grow in number, each contiguous.
template <class T>
class Columns {
 public:
  explicit Columns(std::int64_t rows) : rows_(rows) {}

  std::int64_t count() const { return static_cast<std::int64_t>(values_.size()) / rows_; }
  ConstMatrixOf<T> view() const { return view(0, count()); }
  ConstMatrixOf<T> view(std::int64_t first, std::int64_t count) const {
    return {values_.data() + first * rows_, rows_, count, 1, rows_};
  }
  void append(const Thin<T>& block);

 private:
  std::int64_t rows_;
  std::vector<T> values_;
};

template <class T>
class Directions : public Columns<T> {
 public:
  Directions(std::int64_t length, std::uint64_t seed) : Columns<T>(length), length_(length), seed_(seed) {}

  Thin<T> random(std::int64_t count) const;
  // Adds directions with which the columns of y are in the span; for a column that is in it, a random one.
  void append_rest(Thin<T> y);

 private:
  double leave_rest(Thin<T>& y) const;

  std::int64_t length_;
  std::uint64_t seed_;
};

}  // namespace petrain
