// Alone in its file because Eigen's template is slow to compile.
#include <Eigen/Eigenvalues>
#include <algorithm>

#include "petrain/error.hpp"
#include "wide.hpp"

namespace petrain {
namespace {

Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solve(const WideMatrix& matrix, int options) {
  const Eigen::Map<const Eigen::MatrixXd, 0, Eigen::OuterStride<>> columns(
      matrix.values.data(), matrix.rows, matrix.rows, Eigen::OuterStride<>(matrix.stride));
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(columns, options);
  if (solver.info() != Eigen::Success) throw Error("the eigenvalue iteration of a Gram matrix did not converge");
  return solver;
}

std::vector<double> largest_first(const Eigen::VectorXd& increasing) {
  std::vector<double> values(increasing.begin(), increasing.end());
  std::reverse(values.begin(), values.end());
  return values;
}

}  // namespace

SymmetricEigen symmetric_eigen(const WideMatrix& matrix) {
  const std::int64_t n = matrix.rows;
  const auto solver = solve(matrix, Eigen::ComputeEigenvectors);
  SymmetricEigen result{largest_first(solver.eigenvalues()), WideMatrix(n, n)};
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = 0; i < n; ++i) result.vectors.row(i)[j] = solver.eigenvectors()(i, n - 1 - j);
  }
  return result;
}

std::vector<double> symmetric_eigenvalues(const WideMatrix& matrix) {
  return largest_first(solve(matrix, Eigen::EigenvaluesOnly).eigenvalues());
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
