#include <cmath>

#include "checks.hpp"
#include "chunks.hpp"
#include "hessian.hpp"
#include "quant_checks.hpp"

namespace petrain {

double mean_diagonal(const Panels& h) {
  double sum = 0;
  for (std::int64_t i = 0; i < h.size; ++i) sum += h.at(i, i);
  return sum / static_cast<double>(h.size);
}

void require_finite_matrix(const ConstTensorView& array, const std::string& what) {
  require_dtype(array, DType::f32, what);
  if (array.shape.size() != 2 || array.size() == 0) {
    throw std::invalid_argument(what + ": expected a matrix that is not empty, got shape " + shape_text(array.shape));
  }
  require_finite(array, what);
}

void require_weight(const ConstTensorView& w, const HessianObserver& hessian) {
  require_dtype(w, DType::f32, "w");
  if (w.shape.size() != 2 || w.shape[0] < 1 || w.shape[1] != hessian.in_features()) {
    throw std::invalid_argument("w: expected shape (outputs, " + std::to_string(hessian.in_features()) +
                                ") for this hessian, got " + shape_text(w.shape));
  }
  if (hessian.count() == 0) throw std::invalid_argument("hessian: expected one that has seen rows, got none");
  require_finite(w, "w");
}

void require_damping(double damping) {
  if (!(damping >= 0) || !std::isfinite(damping)) {
    throw std::invalid_argument("damping: expected a finite number of at least 0, got " + number_text(damping));
  }
}

std::vector<double> row_squares(const Panels& h, const float* w, std::int64_t n) {
  struct Own {
    RowBlock values, scratch;
  };
  std::vector<double> squares(static_cast<std::size_t>(n));
  for_each_row_block(
      n, [&] { return Own{row_block(h), row_block(h)}; },
      [&](std::int64_t first, std::int64_t rows, Own& own) {
        for (std::int64_t i = 0; i < rows; ++i) {
          const float* row = w + (first + i) * h.size;
          std::copy(row, row + h.size, own.values.begin() + i * h.padded());
        }
        quadratic_forms(h, own.values.data(), rows, own.scratch.data(), squares.data() + first);
      });
  return squares;
}

double relative_error(std::vector<double> errors, std::vector<double> squares) {
  const double square = tree_sum(squares);
  return square > 0 ? std::sqrt(tree_sum(errors) / square) : 0.0;
}

double output_square(const ConstTensorView& w, const HessianObserver& hessian) {
  require_weight(w, hessian);
  std::vector<double> squares = row_squares(HessianAccess::symmetric(hessian), w.as<float>(), w.shape[0]);
  return tree_sum(squares);
}

Tensor mean_output(const ConstTensorView& w, const HessianObserver& hessian) {
  require_weight(w, hessian);
  const std::int64_t n = w.shape[0], k = w.shape[1];
  const Tensor mean = hessian.mean();
  Tensor result(DType::f64, {n});
  parallel_for(n, [&](std::int64_t i) {
    double sum = 0;
    for (std::int64_t j = 0; j < k; ++j) sum += static_cast<double>(w.as<float>()[i * k + j]) * mean.as<double>()[j];
    result.as<double>()[i] = sum;
  });
  return result;
}

}  // namespace petrain
