#include "petrain/lowrank_linear.hpp"

#include "checks.hpp"
#include "gemm.hpp"
#include "isa.hpp"
#include "row_sums.hpp"

namespace petrain {
namespace {

struct Sizes {
  std::int64_t rows, in, out, rank;
};

ConstMatrix matrix(const ConstTensorView& array, std::int64_t rows) {
  return {array.as<float>(), rows, rows == 0 ? 0 : array.size() / rows};
}

Shape with_last(Shape shape, std::int64_t last) {
  shape.back() = last;
  return shape;
}

// That the factors fit each other and x fits them.
Sizes sizes_of(const ConstTensorView& x, const ConstTensorView& a, const ConstTensorView& b) {
  for (const auto* factor : {&a, &b}) {
    const std::string what = factor == &a ? "a" : "b";
    require(*factor, DType::f32, factor->shape, what);
    if (factor->shape.size() != 2 || factor->size() == 0) {
      throw std::invalid_argument(what + ": expected a matrix that is not empty, got shape " +
                                  shape_text(factor->shape));
    }
  }
  const Sizes sizes{x.shape.empty() || x.shape.back() == 0 ? 0 : x.size() / x.shape.back(), b.shape[1], a.shape[0],
                    a.shape[1]};
  if (b.shape[0] != sizes.rank) {
    throw std::invalid_argument("b: expected shape (" + std::to_string(sizes.rank) + ", in) for a of shape " +
                                shape_text(a.shape) + ", got " + shape_text(b.shape));
  }
  require(x, DType::f32, x.shape, "x");
  if (x.shape.empty() || x.shape.back() != sizes.in) {
    throw std::invalid_argument("x: expected shape (…, " + std::to_string(sizes.in) + "), got " + shape_text(x.shape));
  }
  return sizes;
}

Tensor inner_product(const ConstTensorView& x, const ConstTensorView& b, const Sizes& sizes, float scale) {
  Tensor inner = Tensor::uninitialized(DType::f32, {sizes.rows, sizes.rank});
  gemm({x.as<float>(), sizes.rows, sizes.in}, matrix(b, sizes.rank).transposed(), inner.as<float>(), sizes.rank);
  if (scale != 1) active_kernels().nn->scale(inner.as<float>(), scale, inner.size());
  return inner;
}

}  // namespace

Tensor low_rank_linear(const ConstTensorView& x, const ConstTensorView& a, const ConstTensorView& b,
                       const TensorView& y, const LowRankLinearOptions& options) {
  const Sizes sizes = sizes_of(x, a, b);
  require(y, DType::f32, with_last(x.shape, sizes.out), "y");
  if (options.bias.data != nullptr) require(options.bias, DType::f32, {sizes.out}, "bias");
  Tensor inner = inner_product(x, b, sizes, options.scale);
  gemm({inner.as<float>(), sizes.rows, sizes.rank}, matrix(a, sizes.out).transposed(), y.as<float>(), sizes.out,
       options.accumulate);
  add_bias(y.as<float>(), sizes.rows, sizes.out, options.bias.as<float>());
  return inner;
}

LowRankGradients low_rank_linear_backward(const ConstTensorView& dy, const ConstTensorView& x, const ConstTensorView& a,
                                          const ConstTensorView& b, const ConstTensorView& inner, const TensorView& dx,
                                          float scale, bool accumulate) {
  const Sizes sizes = sizes_of(x, a, b);
  require(dy, DType::f32, with_last(x.shape, sizes.out), "gradient");
  if (inner.data != nullptr) require(inner, DType::f32, {sizes.rows, sizes.rank}, "inner");
  if (dx.data != nullptr) require(dx, DType::f32, x.shape, "dx");

  const Tensor again = inner.data == nullptr ? inner_product(x, b, sizes, scale) : Tensor();
  const ConstMatrix outer{dy.as<float>(), sizes.rows, sizes.out};
  const ConstMatrix input{x.as<float>(), sizes.rows, sizes.in};
  const ConstMatrix middle{inner.data == nullptr ? again.as<float>() : inner.as<float>(), sizes.rows, sizes.rank};

  LowRankGradients gradients{Tensor::uninitialized(DType::f32, a.shape), Tensor::uninitialized(DType::f32, b.shape),
                             Tensor(DType::f32, {sizes.out})};
  gemm(outer.transposed(), middle, gradients.a.as<float>(), sizes.rank);

  Tensor inner_gradient = Tensor::uninitialized(DType::f32, {sizes.rows, sizes.rank});
  gemm(outer, matrix(a, sizes.out), inner_gradient.as<float>(), sizes.rank);
  if (scale != 1) active_kernels().nn->scale(inner_gradient.as<float>(), scale, inner_gradient.size());
  const ConstMatrix inner_outer{inner_gradient.as<float>(), sizes.rows, sizes.rank};
  gemm(inner_outer.transposed(), input, gradients.b.as<float>(), sizes.in);
  if (dx.data != nullptr) gemm(inner_outer, matrix(b, sizes.rank), dx.as<float>(), sizes.in, accumulate);

  add_rows(dy.as<float>(), sizes.rows, sizes.out, gradients.bias.as<float>());
  return gradients;
}

}  // namespace petrain
