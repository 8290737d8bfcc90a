#include "petrain/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include "checks.hpp"
#include "chunks.hpp"
#include "hessian.hpp"
#include "quant_checks.hpp"
#include "wide.hpp"

namespace petrain {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;
constexpr std::int64_t kRows = 256;  // of the product at a time, so that it need not be held whole
static_assert(kRows % kWeightRows == 0);

double norm(const ConstTensorView& matrix) {
  const std::int64_t rows = matrix.shape[0], cols = matrix.shape[1];
  std::vector<double> squares(static_cast<std::size_t>(rows));
  parallel_for(rows, [&](std::int64_t i) {
    double sum = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      const double x = matrix.as<float>()[i * cols + j];
      sum += x * x;
    }
    squares[static_cast<std::size_t>(i)] = sum;
  });
  return std::sqrt(tree_sum(squares));
}

// Sums over the rows of E = W - AB.
struct Squares {
  std::vector<double> errors, outputs;
};

Squares squares_of(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b, const Panels* h) {
  const std::int64_t m = w.shape[0], n = w.shape[1], rank = b.shape[0];
  const ConstMatrix right(b.as<float>(), rank, n);
  Squares result{std::vector<double>(static_cast<std::size_t>(m)),
                 std::vector<double>(static_cast<std::size_t>(h == nullptr ? 0 : m))};
  for (std::int64_t first = 0; first < m; first += kRows) {
    const std::int64_t rows = std::min(kRows, m - first);
    WideMatrix e = multiply(ConstMatrix(a.as<float>() + first * rank, rows, rank), right);
    parallel_for(rows, [&](std::int64_t i) {
      const float* exact = w.as<float>() + (first + i) * n;
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        const double difference = exact[j] - e.row(i)[j];
        e.row(i)[j] = difference;
        sum += difference * difference;
      }
      result.errors[static_cast<std::size_t>(first + i)] = sum;
    });
    if (h == nullptr) continue;
    for_each_row_block(
        rows, [&] { return row_block(*h); },
        [&](std::int64_t begin, std::int64_t count, RowBlock& scratch) {
          quadratic_forms(*h, e.row(begin), count, scratch.data(), result.outputs.data() + first + begin);
        });
  }
  return result;
}

}  // namespace

// Rounding, with u = 2⁻⁵³ and γ_k ≈ k u (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3): each
// element of E is within γ_(rank + 2) (|A||B| + |W|)_ij, which by Cauchy and Schwarz is no more than
// γ_(rank + 2) (‖A‖ ‖B‖ + ‖W‖) in the norm; e H eᵀ within γ_(2n + 2) ‖e‖² ‖H‖, which is no more than the trace of H;
// sums of m squares within γ_(m + n).
Certificate certify(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b,
                    const HessianObserver* inputs) {
  require_finite_matrix(w, "w");
  require_finite_matrix(a, "a");
  require_finite_matrix(b, "b");
  const std::int64_t m = w.shape[0], n = w.shape[1];
  if (a.shape[0] != m || b.shape[1] != n || a.shape[1] != b.shape[0]) {
    throw std::invalid_argument("expected a (" + std::to_string(m) + ", rank) and b (rank, " + std::to_string(n) +
                                "), got " + shape_text(a.shape) + " and " + shape_text(b.shape));
  }
  std::optional<Panels> h;
  if (inputs != nullptr) {
    require_weight(w, *inputs);
    h = HessianAccess::symmetric(*inputs);
  }
  Squares squares = squares_of(w, a, b, h ? &*h : nullptr);
  const auto units = [](std::int64_t count) { return static_cast<double>(count + 16) * kUnit; };
  Certificate result;
  result.norm = norm(w);
  const double off = units(a.shape[1]) * (norm(a) * norm(b) + result.norm);
  const double measured = std::sqrt(tree_sum(squares.errors)) * (1 + units(m + n));
  result.error = measured + off;
  if (!h) return result;
  double trace = 0;
  for (std::int64_t i = 0; i < n; ++i) trace += h->at(i, i);
  const double square = std::max(0.0, tree_sum(squares.outputs)) * (1 + units(m + n)) +
                        2 * units(n) * result.error * result.error * trace;
  result.output_error = std::sqrt(square) + off * std::sqrt(trace);
  std::vector<double> outputs = row_squares(*h, w.as<float>(), m);
  result.output_norm = std::sqrt(tree_sum(outputs));
  return result;
}

}  // namespace petrain
