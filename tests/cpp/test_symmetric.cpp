// Eigenvalues and eigenvectors of symmetric matrices that are easy and hard.
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "src/random.hpp"
#include "src/symmetric.hpp"

using namespace petrain;

namespace {

// Q diag(values) Qᵀ for random orthonormal Q, symmetric to the bit.
WideMatrix with_values(const std::vector<double>& values) {
  const auto n = static_cast<std::int64_t>(values.size());
  WideMatrix q(n, n), scaled(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) q.row(i)[j] = normal(1, 0, static_cast<std::uint64_t>(i * n + j));
  }
  orthonormalize(q);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) scaled.row(i)[j] = q.row(i)[j] * values[static_cast<std::size_t>(j)];
  }
  WideMatrix result = multiply(scaled.view(), q.view().transposed());
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) result.row(i)[j] = result.row(j)[i];
  }
  return result;
}

// How far the vectors are from orthonormal, and A v from value v, relative to the largest value.
std::pair<double, double> errors(const WideMatrix& matrix, const SymmetricProblem& problem, std::int64_t count) {
  const WideMatrix vectors = problem.vectors(count), products = gram(vectors.view());
  const WideMatrix images = multiply(matrix.view(), vectors.view());
  double apart = 0, rest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < count; ++j) apart = std::max(apart, std::fabs(products.row(i)[j] - (i == j ? 1 : 0)));
  }
  for (std::int64_t i = 0; i < matrix.rows; ++i) {
    for (std::int64_t j = 0; j < count; ++j) {
      const double value = problem.values()[static_cast<std::size_t>(j)];
      rest = std::max(rest, std::fabs(images.row(i)[j] - value * vectors.row(i)[j]));
    }
  }
  const double largest = std::max(std::fabs(problem.values().front()), std::fabs(problem.values().back()));
  return {apart, largest > 0 ? rest / largest : rest};
}

std::vector<double> series(std::int64_t n, double (*value)(std::int64_t)) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(value(i));
  return values;
}

}  // namespace

TEST(values_and_vectors_of_any_spectrum) {
  double (*const spectra[])(std::int64_t) = {
      [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); },
      [](std::int64_t i) { return std::pow(0.5, static_cast<double>(i)); },
      [](std::int64_t) { return 3.0; },
      [](std::int64_t i) { return i < 5 ? 1.0 : 0.0; },
      [](std::int64_t i) { return 4.0 - static_cast<double>(i / 7); },  // each seven times, down to negative ones
      [](std::int64_t i) { return 1 - 1e-13 * static_cast<double>(i); },
      [](std::int64_t) { return 0.0; },
  };
  for (const auto spectrum : spectra) {
    for (const std::int64_t n : {1, 2, 3, 8, 61, 150}) {
      const std::vector<double> values = series(n, spectrum);
      const WideMatrix matrix = with_values(values);
      const SymmetricProblem problem(matrix);
      for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(std::fabs(problem.values()[i] - values[i]) < 1e-13 * (1 + std::fabs(values.back())));
        CHECK(i == 0 || problem.values()[i] <= problem.values()[i - 1]);
      }
      for (const std::int64_t count : {std::int64_t{1}, (n + 1) / 2, n}) {
        const auto [apart, rest] = errors(matrix, problem, count);
        CHECK(apart < 1e-12 && rest < 1e-11);
      }
    }
  }
}

TEST(scale_by_a_power_of_two_changes_nothing_but_the_values) {
  const WideMatrix matrix = with_values(series(40, [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); }));
  const SymmetricProblem problem(matrix);
  for (const int exponent : {-900, -3, 500}) {
    WideMatrix scaled = matrix;
    for (double& value : scaled.values) value = std::ldexp(value, exponent);
    const SymmetricProblem other(scaled);
    for (std::size_t i = 0; i < 40; ++i) CHECK(other.values()[i] == std::ldexp(problem.values()[i], exponent));
    CHECK(other.vectors(9).values == problem.vectors(9).values);
  }
}

TEST(the_number_of_threads_changes_no_bit) {
  const WideMatrix matrix = with_values(series(120, [](std::int64_t i) { return 1.0 / static_cast<double>(i + 1); }));
  set_num_threads(1);
  const std::vector<double> one = SymmetricProblem(matrix).vectors(50).values;
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    CHECK(SymmetricProblem(matrix).vectors(50).values == one);
  }
}

TEST(cholesky_qr_tells_where_columns_depend_on_each_other) {
  WideMatrix y(30, 3);
  for (std::int64_t i = 0; i < 30; ++i) {
    for (std::int64_t j = 0; j < 2; ++j) y.row(i)[j] = i == j ? 1 : 0;
  }
  y.row(0)[2] = 1e-7;
  y.row(5)[2] = 1;
  WideMatrix near = y;
  CHECK(orthonormalize_near(near, 0.5));
  CHECK(std::fabs(near.row(0)[2]) < 1e-15 && std::fabs(near.row(5)[2] - 1) < 1e-13);
  for (std::int64_t i = 0; i < 30; ++i) y.row(i)[2] = y.row(i)[0];
  CHECK(!orthonormalize_near(y, 0.5));
}
