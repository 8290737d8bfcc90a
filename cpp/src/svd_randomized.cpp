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

// The inverse of the upper factor of a Gram matrix; false where a column of the matrix lies so nearly within the
// span of the earlier ones that dividing by its remainder in float32 would leave noise.
bool inverse_cholesky(const WideMatrix& g, Tensor& inverse) {
  constexpr double kLeastPivot = 1e-9;
  const std::int64_t l = g.rows;
  WideMatrix r(l, l), x(l, l);
  for (std::int64_t i = 0; i < l; ++i) {
    std::copy(g.row(i) + i, g.row(i) + l, r.row(i) + i);
    for (std::int64_t p = 0; p < i; ++p) {
      for (std::int64_t j = i; j < l; ++j) r.row(i)[j] -= r.row(p)[i] * r.row(p)[j];
    }
    const double pivot = r.row(i)[i];
    if (!(pivot > kLeastPivot * g.row(i)[i])) return false;
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
  return true;
}

// Makes the columns of y orthonormal and returns ‖y‖²_F. One pass of Cholesky QR (its Gram matrix in float64)
// leaves the small errors that the next product does not mind, two passes ("CholeskyQR2": Yamamoto et al., ETNA 44,
// 2015) leave float32's rounding. Where the columns are too dependent for it, Householder's QR in float64.
double orthonormal_basis(Tensor& y, int passes) {
  double square = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const WideMatrix g = gram(view(y));
    if (pass == 0) {
      for (std::int64_t j = 0; j < g.cols; ++j) square += g.row(j)[j];
    }
    Tensor inverse;
    if (inverse_cholesky(g, inverse)) {
      y = product(view(y), view(inverse));
      continue;
    }
    WideMatrix wide(y.shape()[0], y.shape()[1]);
    for (std::int64_t i = 0; i < wide.rows; ++i) {
      std::copy_n(y.as<float>() + i * wide.cols, wide.cols, wide.row(i));
    }
    orthonormalize(wide);
    for (std::int64_t i = 0; i < wide.rows; ++i) {
      for (std::int64_t j = 0; j < wide.cols; ++j)
        y.as<float>()[i * wide.cols + j] = static_cast<float>(wide.row(i)[j]);
    }
    break;
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
    orthonormal_basis(q, 1);
    Tensor z = product(a.transposed(), view(q));
    const double before = std::exchange(captured, orthonormal_basis(z, 1));  // ‖AᵀQ‖²: it only grows
    q = product(a, view(z));
    if (!options.n_iter && captured - before <= std::max(kGainThatCounts * (square - captured), kNoise * square)) break;
  }
  orthonormal_basis(q, 2);
  const Tensor z = product(a.transposed(), view(q));  // A ≈ Q Zᵀ
  const SymmetricEigen eigen = symmetric_eigen(gram(view(z)));
  SingularTriplets triplets = lift(view(z), eigen.vectors, k);  // Z = V diag(s) Wᵀ, so A ≈ (Q W) diag(s) Vᵀ
  WideMatrix u = multiply(view(q), triplets.v, k);
  triplets.v = std::exchange(triplets.u, std::move(u));
  return triplets;
}

}  // namespace petrain
