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

double units(std::int64_t count) { return static_cast<double>(count + 16) * kUnit; }

ConstMatrix matrix(const ConstTensorView& array) { return {array.as<float>(), array.shape[0], array.shape[1]}; }

std::vector<double> squares_of_rows(const ConstTensorView& array) {
  const std::int64_t rows = array.shape[0], cols = array.shape[1];
  std::vector<double> squares(static_cast<std::size_t>(rows));
  parallel_for(rows, [&](std::int64_t i) {
    double sum = 0;
    for (std::int64_t j = 0; j < cols; ++j) {
      const double x = array.as<float>()[i * cols + j];
      sum += x * x;
    }
    squares[static_cast<std::size_t>(i)] = sum;
  });
  return squares;
}

double norm(const ConstTensorView& array) {
  std::vector<double> squares = squares_of_rows(array);
  return std::sqrt(tree_sum(squares));
}

// Sums over the rows of E = W - A times what product(some rows of A) multiplies them with.
struct Squares {
  std::vector<double> errors, outputs;
};

template <class Product>
Squares squares_of(const ConstTensorView& w, const ConstTensorView& a, const Product& product, const Panels* h) {
  const std::int64_t m = w.shape[0], n = w.shape[1], rank = a.shape[1];
  Squares result{std::vector<double>(static_cast<std::size_t>(m)),
                 std::vector<double>(static_cast<std::size_t>(h == nullptr ? 0 : m))};
  for (std::int64_t first = 0; first < m; first += kRows) {
    const std::int64_t rows = std::min(kRows, m - first);
    WideMatrix e = product(ConstMatrix(a.as<float>() + first * rank, rows, rank));
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

void require_factors(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b) {
  require_finite_matrix(w, "w");
  require_finite_matrix(a, "a");
  require_finite_matrix(b, "b");
  if (a.shape[0] == w.shape[0] && b.shape[1] == w.shape[1] && a.shape[1] == b.shape[0]) return;
  throw std::invalid_argument("expected a (" + std::to_string(w.shape[0]) + ", rank) and b (rank, " +
                              std::to_string(w.shape[1]) + "), got " + shape_text(a.shape) + " and " +
                              shape_text(b.shape));
}

Squares squares_of(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b, const Panels* h) {
  const ConstMatrix right = matrix(b);
  return squares_of(w, a, [&](const ConstMatrix& rows) { return multiply(rows, right); }, h);
}

double root_above(std::vector<double> squares, std::int64_t terms) {
  return std::sqrt(tree_sum(squares)) * (1 + units(terms));
}

}  // namespace

// Rounding, with u = 2⁻⁵³ and γ_k ≈ k u (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3): each
// element of E is within γ_(rank + 2) (|A||B| + |W|)_ij, which by Cauchy and Schwarz is no more than
// γ_(rank + 2) (‖A‖ ‖B‖ + ‖W‖) in the norm; e H eᵀ within γ_(2n + 2) ‖e‖² ‖H‖, which is no more than the trace of H;
// sums of m squares within γ_(m + n).
Certificate certify(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b,
                    const HessianObserver* inputs) {
  require_factors(w, a, b);
  const std::int64_t m = w.shape[0], n = w.shape[1];
  std::optional<Panels> h;
  if (inputs != nullptr) {
    require_weight(w, *inputs);
    h = HessianAccess::symmetric(*inputs);
  }
  Squares squares = squares_of(w, a, b, h ? &*h : nullptr);
  Certificate result;
  result.norm = norm(w);
  const double off = units(a.shape[1]) * (norm(a) * norm(b) + result.norm);
  result.error = root_above(std::move(squares.errors), m + n) + off;
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

// As above; what rounding takes off row i is within γ_(rank + 2) (‖a_i‖ ‖B‖ + ‖w_i‖).
Certificate certify_rows(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b,
                         std::span<const double> weights) {
  require_factors(w, a, b);
  const std::int64_t m = w.shape[0], n = w.shape[1];
  if (static_cast<std::int64_t>(weights.size()) != m) {
    throw std::invalid_argument("weights: expected one for each of the " + std::to_string(m) + " rows of w, got " +
                                std::to_string(weights.size()));
  }
  for (const double weight : weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) {
      throw std::invalid_argument("weights: expected finite numbers of at least 0, got " + number_text(weight));
    }
  }
  std::vector<double> errors = squares_of(w, a, b, nullptr).errors;
  std::vector<double> norms = squares_of_rows(w), lengths = squares_of_rows(a), off(norms.size());
  const double right = norm(b);
  for (std::size_t i = 0; i < off.size(); ++i) {
    const double row = units(a.shape[1]) * (std::sqrt(lengths[i]) * right + std::sqrt(norms[i]));
    off[i] = row * row;
  }
  const auto weighted = [&](std::vector<double> squares) {
    for (std::size_t i = 0; i < squares.size(); ++i) squares[i] *= weights[i];
    return squares;
  };
  Certificate result;
  result.output_error = root_above(weighted(errors), m + n) + root_above(weighted(off), m + n);
  result.error = root_above(std::move(errors), m + n) + root_above(std::move(off), m + n);
  std::vector<double> outputs = weighted(norms);
  result.output_norm = std::sqrt(tree_sum(outputs));
  result.norm = std::sqrt(tree_sum(norms));
  return result;
}

// As for two factors: A(CB) is within γ_(p + q + 2) |A||C||B|.
Certificate certify_core(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& core,
                         const ConstTensorView& b) {
  require_finite_matrix(w, "w");
  require_finite_matrix(a, "a");
  require_finite_matrix(core, "core");
  require_finite_matrix(b, "b");
  const std::int64_t m = w.shape[0], wide = w.shape[1], p = a.shape[1], q = b.shape[0], n = b.shape[1];
  const std::int64_t taps = wide / n;
  if (a.shape[0] != m || taps * n != wide || core.shape != Shape{p * taps, q}) {
    throw std::invalid_argument("expected a (" + std::to_string(m) +
                                ", p), core (p taps, q) and b (q, n) with taps n = " + std::to_string(wide) + ", got " +
                                shape_text(a.shape) + ", " + shape_text(core.shape) + " and " + shape_text(b.shape));
  }
  const WideMatrix parts = multiply(matrix(core), matrix(b));
  WideMatrix right(p, wide);
  for (std::int64_t i = 0; i < p * taps; ++i) std::copy_n(parts.row(i), n, right.row(i / taps) + i % taps * n);
  Certificate result;
  result.norm = norm(w);
  std::vector<double> errors =
      squares_of(w, a, [&](const ConstMatrix& rows) { return multiply(rows, right, wide); }, nullptr).errors;
  result.error =
      root_above(std::move(errors), m + wide) + units(p + q) * (norm(a) * norm(core) * norm(b) + result.norm);
  return result;
}

}  // namespace petrain
