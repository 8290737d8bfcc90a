#include "petrain/quant_linear.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <optional>
#include <utility>

#include "checks.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_product.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"

namespace petrain {
std::int64_t max_depth(bool input_zero_points, bool weight_zero_points) {
  constexpr std::int64_t kSymmetric = 128, kAsymmetric = 255;  // the largest difference from the zero point
  return ((std::int64_t{1} << 31) - 1) /
         ((input_zero_points ? kAsymmetric : kSymmetric) * (weight_zero_points ? kAsymmetric : kSymmetric));
}

struct QuantLinear::Packed : QuantProduct {
  using QuantProduct::QuantProduct;
};

QuantLinear::QuantLinear(std::shared_ptr<const QuantTensor> weight) : weight_(std::move(weight)) {
  const QuantTensor& w = *weight_;
  w.validate();
  if (w.shape.size() != 2 || w.spec.axis != 0) {
    throw std::invalid_argument("w: expected two dimensions (out, in) quantized along axis 0, got shape " +
                                shape_text(w.shape) + ", " + spec_text(w.spec));
  }
  if (const std::int64_t most = max_depth(false, !w.zero_point.empty()); w.shape[1] > most) {
    throw std::invalid_argument("w: expected sums of at most " + std::to_string(most) +
                                " products, which int32 holds exactly, got " + std::to_string(w.shape[1]));
  }
  packed_ = std::make_unique<Packed>(w);
}

QuantLinear::QuantLinear(QuantTensor weight) : QuantLinear(std::make_shared<const QuantTensor>(std::move(weight))) {}

QuantLinear::~QuantLinear() = default;
QuantLinear::QuantLinear(QuantLinear&&) noexcept = default;
QuantLinear& QuantLinear::operator=(QuantLinear&&) noexcept = default;

std::size_t QuantLinear::packed_nbytes() const { return packed_->nbytes(); }

namespace {

void require_pair(const QuantLinear& a, const QuantLinear& b, std::int64_t n, std::int64_t k) {
  if (a.in_features() == b.out_features() && a.out_features() == n && b.in_features() == k) return;
  throw std::invalid_argument("expected a (" + std::to_string(n) + ", rank) and b (rank, " + std::to_string(k) +
                              "), got " + shape_text(a.weight().shape) + " and " + shape_text(b.weight().shape));
}

}  // namespace

void QuantLinear::require_input(const std::optional<QuantParams>& input) const {
  if (!input || input->zero_point == 0) return;
  if (packed_->in_groups()) {
    throw std::invalid_argument("x: expected a zero point of 0 with weights in " + spec_text(weight_->spec) + ", got " +
                                std::to_string(input->zero_point));
  }
  const std::int64_t most = max_depth(true, !weight_->zero_point.empty());
  if (in_features() > most) {
    throw std::invalid_argument("x: expected sums of at most " + std::to_string(most) +
                                " products, which int32 holds exactly with these zero points, got " +
                                std::to_string(in_features()));
  }
}

Tensor QuantLinear::product(const QuantRows& rows) const {
  require_finite_scales(rows.largest_scale, packed_->largest_scale(), rows.k, false);
  const std::int64_t n = out_features();
  Tensor result = Tensor::uninitialized(DType::f32, {rows.m, n});
  packed_->multiply(rows, [&](const Block<float>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      std::copy_n(block.sums + i * block.stride, block.columns,
                  result.as<float>() + (block.row + i) * n + block.column);
    }
  });
  return result;
}

void QuantLinear::finish(const QuantRows& rows, const TensorView& y, const LinearOptions& options, bool one_row) const {
  const std::int64_t n = out_features();
  const Epilogue epilogue(y, one_row ? Shape{n} : Shape{rows.m, n}, n, options);
  require_finite_scales(rows.largest_scale, packed_->largest_scale(), rows.k, options.output.has_value());
  std::optional<Addend> residual;
  if (options.residual_a != nullptr || options.residual_b != nullptr) {
    if (options.residual_a == nullptr || options.residual_b == nullptr)
      throw std::invalid_argument("residual: expected both matrices or none");
    const QuantLinear &a = *options.residual_a, &b = *options.residual_b;
    require_pair(a, b, n, in_features());
    b.require_input(options.input);
    const Tensor inner = b.product(rows);
    QuantRows inner_rows = quantize_rows(inner.view(), inner.shape()[1], {}, "residual");
    require_finite_scales(inner_rows.largest_scale, a.packed_->largest_scale(), inner_rows.k,
                          options.output.has_value());
    residual.emplace(*a.packed_, std::move(inner_rows));
  }
  packed_->multiply(rows, [&](const Block<float>& block) {
    if (residual) residual->add_to(block);
    epilogue.finish(block);
  });
}

void QuantLinear::forward(const ConstTensorView& x, const TensorView& y, const LinearOptions& options) const {
  require_input(options.input);
  finish(quantize_rows(x, in_features(), options.input, "x"), y, options, x.shape.size() == 1);
}

void low_rank(const ConstTensorView& x, const QuantLinear& a, const QuantLinear& b, const TensorView& y,
              const LinearOptions& options) {
  require_pair(a, b, a.out_features(), b.in_features());
  if (options.residual_a != nullptr || options.residual_b != nullptr)
    throw std::invalid_argument("residual: expected none beside a low-rank pair");
  b.require_input(options.input);
  const QuantRows rows = quantize_rows(x, b.in_features(), options.input, "x");
  const bool one_row = x.shape.size() == 1;
  // Before the first product: what is wrong with y is said at once.
  const Epilogue checked(y, one_row ? Shape{a.out_features()} : Shape{rows.m, a.out_features()}, a.out_features(),
                         options);
  const Tensor inner = b.product(rows);
  a.finish(quantize_rows(inner.view(), a.in_features(), {}, "b(x)"), y, options, one_row);
}

}  // namespace petrain
