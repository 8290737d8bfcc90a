// Square matrices of float64, stored as the wide kernel reads and writes them: panels of kWideColumns columns, row
// after row.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/wide.hpp"

namespace petrain {

constexpr std::int64_t kPanel = kernels::kWideColumns;

struct Panels {
  explicit Panels(std::int64_t rows_and_columns)
      : size(rows_and_columns), count((size + kPanel - 1) / kPanel), values(count * kPanel * size) {}

  double* panel(std::int64_t p) { return values.data() + p * size * kPanel; }
  const double* panel(std::int64_t p) const { return values.data() + p * size * kPanel; }
  double& at(std::int64_t i, std::int64_t j) { return panel(j / kPanel)[i * kPanel + j % kPanel]; }
  double at(std::int64_t i, std::int64_t j) const { return panel(j / kPanel)[i * kPanel + j % kPanel]; }
  std::int64_t padded() const { return count * kPanel; }  // columns, with those of zeros at the end

  std::int64_t size, count;
  std::vector<double> values;
};

// C += A[:, k0 … k1-1] M[k0 … k1-1, :] for the panels first … last-1, for a few rows. A and C have `stride` doubles
// between rows; C must have room for whole panels.
void add_product(const double* a, std::int64_t rows, std::int64_t k0, std::int64_t k1, const Panels& m,
                 std::int64_t first, std::int64_t last, double* c, std::int64_t stride);

// The upper triangle of the block [begin, end) on the diagonal of M, rows `stride` apart.
void copy_upper(const Panels& m, std::int64_t begin, std::int64_t end, double* to, std::int64_t stride);

// squares[i] = e[i] H e[i]ᵀ for a few rows, stride h.padded(); H is symmetric, of which the part above the diagonal is
// read. `scratch`: as much as e.
void quadratic_forms(const Panels& h, const double* e, std::int64_t rows, double* scratch, double* squares);

// y with y R = sums, for an upper triangle R of a few rows, with `stride` doubles between them.
void solve_upper(const double* r, std::int64_t stride, const double* sums, std::int64_t size, double* y);

// The upper triangle R of H + damping · mean(diagonal of H) = R Rᵀ, in the place of H, whose part above the diagonal is
// read. What is below the diagonal is 0. Throws std::invalid_argument where H is not positive definite.
void factorize_upper(Panels& h, double damping);

}  // namespace petrain
