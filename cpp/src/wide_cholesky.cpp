#include <algorithm>
#include <cmath>

#include "wide.hpp"

namespace petrain {

double inverse_cholesky(const WideMatrix& gram, WideMatrix& inverse) {
  const std::int64_t l = gram.rows;
  WideMatrix r(l, l);
  double least = 1;
  for (std::int64_t i = 0; i < l; ++i) {
    std::copy(gram.row(i) + i, gram.row(i) + l, r.row(i) + i);
    for (std::int64_t p = 0; p < i; ++p) {
      const double factor = r.row(p)[i];
      for (std::int64_t j = i; j < l; ++j) r.row(i)[j] -= factor * r.row(p)[j];
    }
    const double pivot = r.row(i)[i];
    if (!(pivot > 0)) return 0;
    least = std::min(least, pivot / gram.row(i)[i]);
    const double factor = 1 / std::sqrt(pivot);
    for (std::int64_t j = i; j < l; ++j) r.row(i)[j] *= factor;
  }
  inverse = WideMatrix(l, l);
  for (std::int64_t i = l - 1; i >= 0; --i) {  // R X = I, from the last row up
    double* x = inverse.row(i);
    x[i] = 1;
    for (std::int64_t p = i + 1; p < l; ++p) {
      const double factor = r.row(i)[p];
      for (std::int64_t j = p; j < l; ++j) x[j] -= factor * inverse.row(p)[j];
    }
    const double factor = 1 / r.row(i)[i];
    for (std::int64_t j = i; j < l; ++j) x[j] *= factor;
  }
  return least;
}

bool orthonormalize_near(WideMatrix& y, double least, double precision) {
  constexpr double kNear = 0.1;  // off the identity
  constexpr int kMostPasses = 4;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const WideMatrix g = gram(y.view());
    double off = 0;
    for (std::int64_t i = 0; i < g.rows; ++i) {
      for (std::int64_t j = i; j < g.cols; ++j) off = std::max(off, std::fabs(g.row(i)[j] - (i == j ? 1 : 0)));
    }
    if (off <= precision) return true;
    WideMatrix inverse;
    if (!(inverse_cholesky(g, inverse) >= least)) return false;
    y = multiply(y.view(), inverse.view());
    if (off <= kNear) return true;
  }
  return false;
}

}  // namespace petrain
