// Alone in its file because Eigen's template is slow to compile.
#include <Eigen/QR>

#include "wide.hpp"

namespace petrain {

std::vector<double> orthonormalize(WideMatrix& y) {
  using Rows =
      Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
  Rows rows(y.values.data(), y.rows, y.cols, Eigen::OuterStride<>(y.stride));
  Eigen::HouseholderQR<Eigen::MatrixXd> qr(rows);
  const Eigen::VectorXd diagonal = qr.matrixQR().diagonal().head(y.cols);
  rows = qr.householderQ() * Eigen::MatrixXd::Identity(y.rows, y.cols);
  std::vector<double> lengths(y.cols);
  for (std::int64_t j = 0; j < y.cols; ++j) {
    if (diagonal[j] < 0) rows.col(j) *= -1;
    lengths[j] = std::abs(diagonal[j]);
  }
  return lengths;
}

}  // namespace petrain
