#include "panels.hpp"

#include <algorithm>

#include "isa.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kDepth = 256;  // of a panel: 16 KB, which stay in the first-level cache

}  // namespace

void add_product(const double* a, std::int64_t rows, std::int64_t k0, std::int64_t k1, const Panels& m,
                 std::int64_t first, std::int64_t last, double* c, std::int64_t stride) {
  const auto& kernel = *active_kernels().wide;
  for (std::int64_t k = k0; k < k1; k += kDepth) {
    const std::int64_t depth = std::min(kDepth, k1 - k);
    for (std::int64_t p = first; p < last; ++p) {
      kernel.multiply64({a + k, stride, 1, m.panel(p) + k * kPanel, c + p * kPanel, stride, rows, depth});
    }
  }
}

void copy_upper(const Panels& m, std::int64_t begin, std::int64_t end, double* to, std::int64_t stride) {
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t j = i; j < end; ++j) to[(i - begin) * stride + j - begin] = m.at(i, j);
  }
}

void quadratic_forms(const Panels& h, const double* e, std::int64_t rows, double* scratch, double* squares) {
  constexpr std::int64_t kGroup = 8;  // panels that share a read of e
  const std::int64_t stride = h.padded();
  std::fill_n(scratch, rows * stride, 0.0);
  for (std::int64_t first = 0; first < h.count; first += kGroup) {
    const std::int64_t last = std::min(h.count, first + kGroup);
    add_product(e, rows, 0, first * kPanel, h, first, last, scratch, stride);
    for (std::int64_t p = first + 1; p < last; ++p) {
      add_product(e, rows, first * kPanel, p * kPanel, h, p, p + 1, scratch, stride);
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* row = e + i * stride;
    double sum = 0;
    for (std::int64_t j = 0; j < h.size; ++j) {
      double above = scratch[i * stride + j];
      for (std::int64_t k = j / kPanel * kPanel; k < j; ++k) above += row[k] * h.at(k, j);
      sum += row[j] * (2 * above + row[j] * h.at(j, j));
    }
    squares[i] = std::max(sum, 0.0);  // H has no negative eigenvalue; what rounding makes of 0 is not one either
  }
}

void solve_upper(const double* r, std::int64_t stride, const double* sums, std::int64_t size, double* y) {
  for (std::int64_t j = 0; j < size; ++j) {
    double sum = sums[j];
    for (std::int64_t i = 0; i < j; ++i) sum -= y[i] * r[i * stride + j];
    y[j] = sum / r[j * stride + j];
  }
}

}  // namespace petrain
