// One factor that is the best for a given other one, by the normal equations in float64.
#include <algorithm>
#include <stdexcept>

#include "checks.hpp"
#include "hessian.hpp"
#include "petrain/lowrank.hpp"
#include "quant_checks.hpp"
#include "wide.hpp"

namespace petrain {
namespace {

ConstMatrix checked(const ConstTensorView& array, const std::string& what) {
  require_finite_matrix(array, what);
  return {array.as<float>(), array.shape[0], array.shape[1]};
}

[[noreturn]] void refuse(const std::string& what, const std::string& expected, const ConstTensorView& got) {
  throw std::invalid_argument(what + ": expected shape " + expected + ", got " + shape_text(got.shape));
}

// (B H)ᵀ, or Bᵀ without H.
WideMatrix weighted_transpose(const ConstMatrix& b, const HessianObserver* inputs) {
  WideMatrix result(b.cols, b.rows);
  if (inputs == nullptr) {
    for (std::int64_t i = 0; i < b.rows; ++i) {
      for (std::int64_t j = 0; j < b.cols; ++j) result.row(j)[i] = b.data[i * b.cols + j];
    }
    return result;
  }
  struct Own {
    RowBlock values, product;
  };
  const Panels h = HessianAccess::symmetric(*inputs);
  const std::int64_t stride = h.padded();
  for_each_row_block(
      b.rows, [&] { return Own{row_block(h), row_block(h)}; },
      [&](std::int64_t first, std::int64_t rows, Own& own) {
        for (std::int64_t i = 0; i < rows; ++i)
          std::copy_n(b.data + (first + i) * b.cols, b.cols, own.values.begin() + i * stride);
        std::fill(own.product.begin(), own.product.end(), 0.0);
        add_product(own.values.data(), rows, 0, h.size, h, 0, h.count, own.product.data(), stride);
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < b.cols; ++j) result.row(j)[first + i] = own.product[i * stride + j];
        }
      });
  return result;
}

}  // namespace

Tensor fit_right(const ConstTensorView& w, const ConstTensorView& a) {
  const ConstMatrix target = checked(w, "w"), left = checked(a, "a");
  if (left.rows != target.rows) refuse("a", "(" + std::to_string(target.rows) + ", rank)", a);
  WideMatrix b = multiply(left.transposed(), target);  // AᵀA B = AᵀW
  solve_symmetric(gram(left), b);
  Tensor result(DType::f32, {left.cols, target.cols});
  for (std::int64_t i = 0; i < b.rows; ++i) {
    for (std::int64_t j = 0; j < b.cols; ++j) result.as<float>()[i * b.cols + j] = to_float(b.row(i)[j]);
  }
  return result;
}

Tensor fit_left(const ConstTensorView& w, const ConstTensorView& b, const HessianObserver* inputs) {
  const ConstMatrix target = checked(w, "w"), right = checked(b, "b");
  if (right.cols != target.cols) refuse("b", "(rank, " + std::to_string(target.cols) + ")", b);
  if (inputs != nullptr) require_weight(w, *inputs);
  const WideMatrix weighted = weighted_transpose(right, inputs);
  const WideMatrix sums = multiply(target, weighted, right.rows);  // A (B H Bᵀ) = W H Bᵀ
  WideMatrix a(right.rows, target.rows);
  for (std::int64_t i = 0; i < target.rows; ++i) {
    for (std::int64_t r = 0; r < right.rows; ++r) a.row(r)[i] = sums.row(i)[r];
  }
  solve_symmetric(multiply(right, weighted, right.rows), a);
  Tensor result(DType::f32, {target.rows, right.rows});
  for (std::int64_t i = 0; i < target.rows; ++i) {
    for (std::int64_t r = 0; r < right.rows; ++r) result.as<float>()[i * right.rows + r] = to_float(a.row(r)[i]);
  }
  return result;
}

}  // namespace petrain
