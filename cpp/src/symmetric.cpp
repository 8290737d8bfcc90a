#include "symmetric.hpp"

#include <algorithm>
#include <cmath>

#include "isa.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kSerialWork = 1 << 19;  // multiply-adds that are not worth a second thread
constexpr std::int64_t kReflectedColumns = 4 * kernels::kReflectColumns;  // a unit of work: it stays in the cache

double inner(const double* x, const double* y, std::int64_t size) {
  double sum = 0;
  for (std::int64_t i = 0; i < size; ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace

SymmetricProblem::SymmetricProblem(WideMatrix matrix)
    : reflectors_(std::move(matrix)), taus_(std::max<std::int64_t>(reflectors_.rows - 2, 0)) {
  const std::int64_t n = reflectors_.rows;
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) largest = std::max(largest, std::fabs(reflectors_.row(i)[j]));
  }
  if (largest > 0) std::frexp(largest, &exponent_);
  const double scale = std::ldexp(1.0, -exponent_);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) reflectors_.row(i)[j] *= scale;
  }

  // A -= v wᵀ + w vᵀ of the last reflection is done together with the product of the next one.
  const auto& kernel = *active_kernels().symmetric;
  std::vector<double> w(n), y(n);
  const double* v = nullptr;
  const auto settle = [&](double* row, std::int64_t first, std::int64_t size) {
    if (!v) return;
    for (std::int64_t j = first; j < size; ++j) row[j - first] -= v[first] * w[j] + w[first] * v[j];
  };
  for (std::int64_t p = 0; p + 2 < n; ++p) {
    const std::int64_t rest = n - p - 1;
    double* u = reflectors_.row(p) + p + 1;
    settle(u - 1, 0, rest + 1);
    const double first = u[0], tail = inner(u + 1, u + 1, rest - 1);
    double beta = first;
    if (tail > 0) {
      beta = -std::copysign(std::sqrt(first * first + tail), first);
      taus_[p] = (beta - first) / beta;
      const double factor = 1 / (first - beta);
      for (std::int64_t j = 1; j < rest; ++j) u[j] *= factor;
    }
    tridiagonal_.diagonal.push_back(u[-1]);
    tridiagonal_.beside.push_back(beta);
    u[0] = 1;
    kernel.advance({u + reflectors_.stride, reflectors_.stride, rest, v ? v + 1 : nullptr, w.data() + 1, u, y.data()});
    const double tau = taus_[p], along = tau * tau / 2 * inner(y.data(), u, rest);
    for (std::int64_t j = 0; j < rest; ++j) w[j] = tau * y[j] - along * u[j];
    v = u;
  }
  for (std::int64_t p = std::max<std::int64_t>(n - 2, 0); p < n; ++p) {
    double* row = reflectors_.row(p) + p;
    const std::int64_t first = v ? p - (n - 2) : 0;
    settle(row, first, first + n - p);
    tridiagonal_.diagonal.push_back(row[0]);
    if (p + 1 < n) tridiagonal_.beside.push_back(row[1]);
  }
  values_ = tridiagonal_values(tridiagonal_);
  for (double& value : values_) value = std::ldexp(value, exponent_);
}

WideMatrix SymmetricProblem::vectors(std::int64_t count) const {
  std::vector<double> scaled(values_);
  for (double& value : scaled) value = std::ldexp(value, -exponent_);
  WideMatrix result;
  if (!inverse_iteration(tridiagonal_, scaled, count, result)) result = tridiagonal_vectors(tridiagonal_, count);
  const auto& kernel = *active_kernels().symmetric;
  const std::int64_t n = reflectors_.rows, groups = (result.stride + kReflectedColumns - 1) / kReflectedColumns;
  parallel_for_work(n * n * count, kSerialWork, groups, [&](std::int64_t group) {
    const std::int64_t first = group * kReflectedColumns;
    const std::int64_t columns = std::min(kReflectedColumns, result.stride - first);
    for (std::int64_t p = n - 3; p >= 0; --p) {
      const double tau = taus_[p];
      if (tau == 0) continue;
      kernel.reflect({reflectors_.row(p) + p + 1, tau, result.row(p + 1) + first, result.stride, n - p - 1, columns});
    }
  });
  return result;
}

SymmetricEigen symmetric_eigen(const WideMatrix& matrix) {
  const SymmetricProblem problem(matrix);
  return {problem.values(), problem.vectors(matrix.rows)};
}

}  // namespace petrain
