#include "petrain/quant_linear.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <mutex>
#include <numeric>
#include <utility>

#include "checks.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

bool in_groups(const QuantSpec& spec) { return spec.bits == 4 || spec.granularity == Granularity::group; }

}  // namespace

std::int64_t max_depth(bool input_zero_points, bool weight_zero_points) {
  constexpr std::int64_t kSymmetric = 128, kAsymmetric = 255;  // the largest difference from the zero point
  return ((std::int64_t{1} << 31) - 1) /
         ((input_zero_points ? kAsymmetric : kSymmetric) * (weight_zero_points ? kAsymmetric : kSymmetric));
}

// What kernels read. Of the two kinds of weights one is there.
struct QuantLinear::Packed {
  explicit Packed(const QuantTensor& w) : n(w.shape[0]), k(w.shape[1]), grouped(in_groups(w.spec)) {
    const std::int64_t scale_count = w.scale.size();
    largest_scale = *std::max_element(w.scale.as<float>(), w.scale.as<float>() + scale_count);
    if (grouped) return;
    matrix = std::make_unique<IntMatrix>(w.values.as<std::int8_t>(), n, k);
    scales = Tensor(DType::f32, {n});
    for (std::int64_t j = 0; j < n; ++j) scales.as<float>()[j] = w.scale.as<float>()[scale_count == 1 ? 0 : j];
    if (w.zero_point.empty()) return;
    zeros = Tensor(DType::i32, {n});
    for (std::int64_t j = 0; j < n; ++j) {
      zeros.as<std::int32_t>()[j] = w.zero_point.as<std::int8_t>()[scale_count == 1 ? 0 : j];
    }
  }

  const GroupedMatrix& groups(const QuantTensor& w) {
    std::call_once(once, [&] { group_matrix = std::make_unique<GroupedMatrix>(w); });
    return *group_matrix;
  }

  // The part of a sum that a zero point of the input adds: zero_point Σ_k (ŵ[n][k] - b[n]).
  Tensor offsets(std::int32_t zero_point) const {
    if (zero_point == 0) return {};
    Tensor result(DType::i32, {n});
    const auto* sums = matrix->column_sums().as<std::int32_t>();
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t zero = zeros.empty() ? 0 : zeros.as<std::int32_t>()[j];
      result.as<std::int32_t>()[j] = static_cast<std::int32_t>(zero_point * (sums[j] - k * zero));
    }
    return result;
  }

  // float(sums) * scales of all rows, block by block. `take` gets a row of a block: (values, row, column, columns).
  template <class Take>
  void product(const QuantTensor& w, const QuantRows& rows, const Take& take);

  std::int64_t n, k;
  bool grouped;
  float largest_scale;
  std::unique_ptr<IntMatrix> matrix;
  Tensor scales, zeros;
  std::once_flag once;
  std::unique_ptr<GroupedMatrix> group_matrix;
};

template <class Take>
void QuantLinear::Packed::product(const QuantTensor& w, const QuantRows& rows, const Take& take) {
  const auto row_of = [&](std::int64_t i, std::int8_t*) { return rows.row(i); };
  if (grouped) {
    grouped_product(rows.m, row_of, groups(w), [&](const Block<float>& block) {
      alignas(64) float values[kBlockColumns];
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const float scale = rows.scale(block.row + i);
        for (std::int64_t j = 0; j < block.columns; ++j) values[j] = block.sums[i * block.stride + j] * scale;
        take(values, block.row + i, block.column, block.columns);
      }
    });
    return;
  }
  const kernels::QuantTable& kernel = *active_kernels().quant;
  const Tensor offset = offsets(rows.zero_point);
  Tensor row_sums;
  if (!zeros.empty()) {
    row_sums = Tensor(DType::i32, {rows.m});
    for (std::int64_t i = 0; i < rows.m; ++i) {
      row_sums.as<std::int32_t>()[i] = std::accumulate(rows.row(i), rows.row(i) + k, 0);
    }
  }
  int_product(rows.m, row_of, *matrix, [&](const Block<std::int32_t>& block) {
    alignas(64) float values[kBlockColumns];
    alignas(64) std::int32_t sums[kBlockColumns];
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int32_t* exact = block.sums + i * block.stride;
      if (!zeros.empty() || !offset.empty()) {
        std::copy_n(exact, block.columns, sums);
        kernel.correct({sums, zeros.empty() ? nullptr : zeros.as<std::int32_t>() + block.column,
                        offset.empty() ? nullptr : offset.as<std::int32_t>() + block.column,
                        zeros.empty() ? 0 : row_sums.as<std::int32_t>()[block.row + i], block.columns});
        exact = sums;
      }
      kernel.rescale({exact, scales.as<float>() + block.column, values, block.columns, rows.scale(block.row + i)});
      take(values, block.row + i, block.column, block.columns);
    }
  });
}

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

std::size_t QuantLinear::packed_nbytes() const {
  return (packed_->matrix ? packed_->matrix->nbytes() : 0) +
         (packed_->group_matrix ? packed_->group_matrix->nbytes() : 0);
}

namespace {

void require_pair(const QuantLinear& a, const QuantLinear& b, std::int64_t n, std::int64_t k) {
  if (a.in_features() == b.out_features() && a.out_features() == n && b.in_features() == k) return;
  throw std::invalid_argument("expected a (" + std::to_string(n) + ", rank) and b (rank, " + std::to_string(k) +
                              "), got " + shape_text(a.weight().shape) + " and " + shape_text(b.weight().shape));
}

void require_finite_scales(const QuantRows& rows, float w_scale, bool to_int8) {
  // An integer needs a number: with these, no sum is infinite.
  constexpr double kMostProduct = 255.0 * 255.0, kMostSum = FLT_MAX / 4.0;
  const bool finite_product = std::isfinite(rows.largest_scale * w_scale);
  if (finite_product &&
      (!to_int8 || kMostProduct * static_cast<double>(rows.k) * rows.largest_scale * w_scale <= kMostSum))
    return;
  throw std::invalid_argument("expected scales of x and w with a finite product" +
                              std::string(to_int8 ? ", times the longest sum where y is int8" : "") + ", got " +
                              number_text(rows.largest_scale) + " and " + number_text(w_scale));
}

}  // namespace

void QuantLinear::require_input(const std::optional<QuantParams>& input) const {
  if (!input || input->zero_point == 0) return;
  if (packed_->grouped) {
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
  require_finite_scales(rows, packed_->largest_scale, false);
  Tensor result = Tensor::uninitialized(DType::f32, {rows.m, out_features()});
  packed_->product(*weight_, rows,
                   [&](const float* values, std::int64_t row, std::int64_t column, std::int64_t columns) {
                     std::copy_n(values, columns, result.as<float>() + row * out_features() + column);
                   });
  return result;
}

void QuantLinear::finish(const QuantRows& rows, const TensorView& y, const LinearOptions& options, bool one_row) const {
  const std::int64_t n = out_features();
  const Epilogue epilogue(y, one_row ? Shape{n} : Shape{rows.m, n}, options);
  require_finite_scales(rows, packed_->largest_scale, options.output.has_value());
  Tensor residual;
  if (options.residual_a != nullptr || options.residual_b != nullptr) {
    if (options.residual_a == nullptr || options.residual_b == nullptr)
      throw std::invalid_argument("residual: expected both matrices or none");
    const QuantLinear &a = *options.residual_a, &b = *options.residual_b;
    require_pair(a, b, n, in_features());
    b.require_input(options.input);
    const Tensor inner = b.product(rows);
    residual = a.product(quantize_rows(inner.view(), inner.shape()[1], {}, "residual"));
  }
  packed_->product(*weight_, rows, [&](float* values, std::int64_t row, std::int64_t column, std::int64_t columns) {
    epilogue.finish(values, residual.empty() ? nullptr : residual.as<float>() + row * n + column, row, column, columns);
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
  const Epilogue checked(y, one_row ? Shape{a.out_features()} : Shape{rows.m, a.out_features()}, options);
  const Tensor inner = b.product(rows);
  a.finish(quantize_rows(inner.view(), a.in_features(), {}, "b(x)"), y, options, one_row);
}

}  // namespace petrain
