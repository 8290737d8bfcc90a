#include "directions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "random.hpp"

namespace petrain {
namespace {

template <class T>
std::vector<double> squares(const Thin<T>& y) {
  std::vector<double> sums(y.cols);
  for (const T *row = y.values.data(), *end = row + y.values.size(); row != end; row += y.cols) {
    for (std::int64_t j = 0; j < y.cols; ++j) sums[j] += static_cast<double>(row[j]) * row[j];
  }
  return sums;
}

// Makes the columns orthonormal by Cholesky QR, its Gram matrix in float64, and once more where they were far from it.
// Where they are too dependent to be divided, by Householder's QR. Returns how near to orthogonal they were: the least
// squared sine between a column and the span of those before it.
template <class T>
double make_orthonormal(Thin<T>& y) {
  constexpr double kDependent = 1e-9, kNear = 0.9;
  double least = 0;
  for (int pass = 0; pass < 2; ++pass) {
    WideMatrix inverse;
    const double pivot = inverse_cholesky(gram(y.view()), inverse);
    if (pass == 0) least = pivot;
    if (!(pivot >= kDependent)) {
      WideMatrix wide(y.rows, y.cols);
      for (std::int64_t i = 0; i < y.rows; ++i) std::copy_n(y.values.data() + i * y.cols, y.cols, wide.row(i));
      orthonormalize(wide);
      for (std::int64_t i = 0; i < y.rows; ++i) std::copy_n(wide.row(i), y.cols, y.values.data() + i * y.cols);
      break;
    }
    Thin<T> factor(y.cols, y.cols), next(y.rows, y.cols);
    for (std::int64_t i = 0; i < y.cols; ++i) {
      for (std::int64_t j = 0; j < y.cols; ++j) factor.values[i * y.cols + j] = static_cast<T>(inverse.row(i)[j]);
    }
    add_product(y.view(), factor.view(), next, false);
    y = std::move(next);
    if (pivot > kNear) break;
  }
  return least;
}

}  // namespace

// Inner sums of 512 at a time, so that a product by parts has the bits of the whole.
void multiply_into(const ConstMatrixOf<double>& a, const ConstMatrixOf<double>& b, double* c, std::int64_t c_stride,
                   bool accumulate) {
  for (std::int64_t first = 0; first < a.cols; first += kGemmDepth) {
    const std::int64_t depth = std::min(kGemmDepth, a.cols - first);
    const WideMatrix product = multiply(a.transposed().row_range(first, depth).transposed(), b.row_range(first, depth));
    for (std::int64_t i = 0; i < product.rows; ++i) {
      double* row = c + i * c_stride;
      for (std::int64_t j = 0; j < product.cols; ++j)
        row[j] = accumulate || first > 0 ? row[j] + product.row(i)[j] : product.row(i)[j];
    }
  }
}

template <class T>
void Columns<T>::append(const Thin<T>& block) {
  const std::size_t begin = values_.size();
  values_.resize(begin + block.values.size());
  for (std::int64_t i = 0; i < rows_; ++i) {
    for (std::int64_t j = 0; j < block.cols; ++j) values_[begin + j * rows_ + i] = block.values[i * block.cols + j];
  }
}

template <class T>
Thin<T> Directions<T>::random(std::int64_t count) const {
  Thin<T> block(length_, count);
  std::vector<float> values(block.values.size());
  const auto size = static_cast<std::int64_t>(values.size());
  fill_normal(seed_, static_cast<std::uint64_t>(this->count()) << 32, 0, 1, values.data(), size);
  std::copy(values.begin(), values.end(), block.values.begin());
  return block;
}

// Again and again, mostly twice, until little is taken off that rounding could have left behind (Giraud, Langou,
// Rozložník, Comput. Math. Appl. 50, 2005).
template <class T>
void Directions<T>::append_rest(Thin<T> y) {
  constexpr double kMostOff = 0.5;
  constexpr int kMostPasses = 5;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const double left = leave_rest(y), apart = make_orthonormal(y);
    if (std::min(left, apart) > kMostOff) break;
  }
  this->append(y);
}

// Takes off y what is in the span. Returns how much was left of the square of that column which lost most; where that
// is no more than rounding 0, and a random column is in its place.
template <class T>
double Directions<T>::leave_rest(Thin<T>& y) const {
  constexpr double kRounding = std::numeric_limits<T>::epsilon() * std::numeric_limits<T>::epsilon() * 1e4;
  constexpr double kNothing = 1e-60;
  const std::vector<double> before = squares(y);
  if (this->count() > 0) {
    Thin<T> inner(this->count(), y.cols);
    add_product(this->view().transposed(), y.view(), inner, false);
    for (T& value : inner.values) value = -value;
    add_product(this->view(), inner.view(), y, true);
  }
  const std::vector<double> after = squares(y);
  double least = 1;
  for (std::int64_t j = 0; j < y.cols; ++j) {
    if (after[j] > kRounding * before[j] && after[j] > kNothing) {
      least = std::min(least, after[j] / before[j]);
      continue;
    }
    least = 0;
    std::vector<float> random(length_);
    fill_normal(seed_, static_cast<std::uint64_t>(this->count() + j + 1), 0, 1, random.data(), length_);
    for (std::int64_t i = 0; i < length_; ++i) y.values[i * y.cols + j] = random[i];
  }
  return least;
}

template class Columns<float>;
template class Columns<double>;
template class Directions<float>;
template class Directions<double>;

}  // namespace petrain
