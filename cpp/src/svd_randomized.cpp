#include <algorithm>
#include <cmath>
#include <utility>

#include "random.hpp"
#include "svd.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kMostIterations = 8;
constexpr double kGainThatCounts = 1e-3;  // of what is not yet captured, in ‖·‖²_F
constexpr double kNoise = 1e-8;           // of all: float32 products cannot tell less

ConstMatrix view(const Tensor& matrix) { return {matrix.as<float>(), matrix.shape()[0], matrix.shape()[1]}; }

Tensor product(const ConstMatrix& a, const ConstMatrix& b) {
  Tensor c(DType::f32, {a.rows, b.cols});
  gemm(a, b, c.as<float>(), b.cols);
  return c;
}

WideMatrix widened(const ConstMatrix& a) {
  WideMatrix wide(a.rows, a.cols);
  for (std::int64_t i = 0; i < a.rows; ++i) std::copy_n(a.data + i * a.cols, a.cols, wide.row(i));
  return wide;
}

// Puts the inverse of the upper Cholesky factor of a Gram matrix into `inverse` and returns the smallest pivot over
// its diagonal element: the squared sine between a column and the span of the earlier ones. 0: there is no inverse.
double inverse_cholesky(const WideMatrix& g, Tensor& inverse) {
  const std::int64_t l = g.rows;
  WideMatrix r(l, l), x(l, l);
  double least = 1;
  for (std::int64_t i = 0; i < l; ++i) {
    std::copy(g.row(i) + i, g.row(i) + l, r.row(i) + i);
    for (std::int64_t p = 0; p < i; ++p) {
      for (std::int64_t j = i; j < l; ++j) r.row(i)[j] -= r.row(p)[i] * r.row(p)[j];
    }
    const double pivot = r.row(i)[i];
    if (!(pivot > 1e-60)) return 0;  // nor one that float32 could hold
    least = std::min(least, pivot / g.row(i)[i]);
    const double factor = 1 / std::sqrt(pivot);
    for (std::int64_t j = i; j < l; ++j) r.row(i)[j] *= factor;
  }
  for (std::int64_t i = l - 1; i >= 0; --i) {  // R X = I, from the last row up
    x.row(i)[i] = 1;
    for (std::int64_t p = i + 1; p < l; ++p) {
      for (std::int64_t j = p; j < l; ++j) x.row(i)[j] -= r.row(i)[p] * x.row(p)[j];
    }
    for (std::int64_t j = i; j < l; ++j) x.row(i)[j] /= r.row(i)[i];
  }
  inverse = Tensor(DType::f32, {l, l});
  for (std::int64_t i = 0; i < l; ++i) {
    for (std::int64_t j = i; j < l; ++j) inverse.as<float>()[i * l + j] = static_cast<float>(x.row(i)[j]);
  }
  return least;
}

// Makes the columns of y orthonormal and returns ‖y‖²_F. One pass of Cholesky QR (its Gram matrix in float64) leaves
// errors that the next product does not mind, a second one leaves float32's rounding ("CholeskyQR2": Yamamoto et al.,
// ETNA 44, 2015). Where the columns are too dependent to be divided in float32, Householder's QR in float64.
double orthonormal_basis(Tensor& y, bool exact) {
  constexpr double kDependent = 1e-9, kNeedsTwo = 1e-4;
  double square = 0;
  for (int pass = 0; pass < 2; ++pass) {
    const WideMatrix g = gram(view(y));
    if (pass == 0) {
      for (std::int64_t j = 0; j < g.cols; ++j) square += g.row(j)[j];
    }
    Tensor inverse;
    const double pivot = inverse_cholesky(g, inverse);
    if (pivot < kDependent) {
      WideMatrix wide = widened(view(y));
      orthonormalize(wide);
      for (std::int64_t i = 0; i < wide.rows; ++i) {
        std::copy_n(wide.row(i), wide.cols, y.as<float>() + i * wide.cols);
      }
      break;
    }
    y = product(view(y), view(inverse));
    if (!exact && pivot > kNeedsTwo) break;
  }
  return square;
}

}  // namespace

SingularTriplets randomized_svd(const ConstMatrix& a, double square, std::int64_t k, const SvdOptions& options) {
  const std::int64_t l = k + std::min(options.oversample, a.cols - k);
  Tensor start(DType::f32, {a.cols, l});
  fill_normal(options.seed, 0, 0, 1, start.as<float>(), start.size());
  Tensor q = product(a, view(start));
  double captured = 0;
  for (std::int64_t i = 0; i < options.n_iter.value_or(kMostIterations); ++i) {
    orthonormal_basis(q, false);
    Tensor z = product(a.transposed(), view(q));
    const double before = std::exchange(captured, orthonormal_basis(z, false));  // ‖AᵀQ‖²: it only grows
    q = product(a, view(z));
    if (!options.n_iter && captured - before <= std::max(kGainThatCounts * (square - captured), kNoise * square)) break;
  }
  orthonormal_basis(q, true);
  const Tensor z = product(a.transposed(), view(q));  // A ≈ Q Zᵀ
  const SymmetricEigen eigen = symmetric_eigen(gram(view(z)));
  SingularTriplets triplets = lift(view(z), eigen.vectors, k);  // Z = V diag(s) Wᵀ, so A ≈ (Q W) diag(s) Vᵀ
  WideMatrix u = multiply(view(q), triplets.v, k);
  triplets.v = std::exchange(triplets.u, std::move(u));
  return triplets;
}

}  // namespace petrain
