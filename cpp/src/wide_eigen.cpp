// Alone in its file because Eigen's template is slow to compile.
#include <Eigen/Eigenvalues>

#include "petrain/error.hpp"
#include "wide.hpp"

namespace petrain {

SymmetricEigen symmetric_eigen(const WideMatrix& matrix) {
  const std::int64_t n = matrix.rows;
  const Eigen::Map<const Eigen::MatrixXd, 0, Eigen::OuterStride<>> columns(matrix.values.data(), n, n,
                                                                           Eigen::OuterStride<>(matrix.stride));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(columns);  // increasing order
  if (solver.info() != Eigen::Success) throw Error("the eigenvalue iteration of a Gram matrix did not converge");
  SymmetricEigen result{std::vector<double>(n), WideMatrix(n, n)};
  for (std::int64_t j = 0; j < n; ++j) {
    result.values[j] = solver.eigenvalues()[n - 1 - j];
    for (std::int64_t i = 0; i < n; ++i) result.vectors.row(i)[j] = solver.eigenvectors()(i, n - 1 - j);
  }
  return result;
}

}  // namespace petrain
