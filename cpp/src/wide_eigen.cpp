// Alone in its file because Eigen's template is slow to compile.
#include <Eigen/Eigenvalues>
#include <algorithm>

#include "petrain/error.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

using Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

Solver solve(const Tridiagonal& t) {
  const auto vector = [](const std::vector<double>& values) {
    return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
  };
  Solver solver;
  solver.computeFromTridiagonal(vector(t.diagonal), vector(t.beside), Eigen::ComputeEigenvectors);
  if (solver.info() != Eigen::Success) throw Error("the eigenvalue iteration of a Gram matrix did not converge");
  return solver;
}

}  // namespace

WideMatrix tridiagonal_vectors(const Tridiagonal& t, std::int64_t count) {
  const Solver solver = solve(t);
  const auto n = static_cast<std::int64_t>(t.diagonal.size());
  WideMatrix vectors(n, count);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < count; ++j) vectors.row(i)[j] = solver.eigenvectors()(i, n - 1 - j);
  }
  return vectors;
}

void solve_symmetric(const WideMatrix& g, WideMatrix& x) {
  constexpr double kNothing = 1e-14;  // of the largest eigenvalue: no direction
  const SymmetricEigen eigen = symmetric_eigen(g);
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto map = [](const WideMatrix& m) {
    return Eigen::Map<const Rows, 0, Eigen::OuterStride<>>(m.values.data(), m.rows, m.cols,
                                                           Eigen::OuterStride<>(m.stride));
  };
  Eigen::VectorXd inverse(g.rows);
  for (std::int64_t i = 0; i < g.rows; ++i)
    inverse[i] = eigen.values[i] > kNothing * eigen.values[0] ? 1 / eigen.values[i] : 0;
  const auto vectors = map(eigen.vectors);
  const Rows solution = vectors * (inverse.asDiagonal() * (vectors.transpose() * map(x)));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) x.row(i)[j] = solution(i, j);
  }
}

}  // namespace petrain
