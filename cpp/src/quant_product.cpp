#include "quant_product.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "isa.hpp"
#include "quant_epilogue.hpp"

namespace petrain {

bool in_groups(const QuantTensor& weight) {
  return weight.spec.bits == 4 || weight.spec.granularity == Granularity::group;
}

QuantProduct::QuantProduct(const QuantTensor& weight)
    : weight_(weight),
      n_(weight.shape[0]),
      k_(weight.shape[1]),
      in_groups_(petrain::in_groups(weight)),
      largest_scale_(*std::max_element(weight.scale.as<float>(), weight.scale.as<float>() + weight.scale.size())) {
  if (in_groups_) return;
  const bool one = weight.scale.size() == 1;
  matrix_ = std::make_unique<IntMatrix>(weight.values.as<std::int8_t>(), n_, k_);
  scales_ = Tensor(DType::f32, {n_});
  for (std::int64_t j = 0; j < n_; ++j) scales_.as<float>()[j] = weight.scale.as<float>()[one ? 0 : j];
  if (weight.zero_point.empty()) return;
  zeros_ = Tensor(DType::i32, {n_});
  for (std::int64_t j = 0; j < n_; ++j) {
    zeros_.as<std::int32_t>()[j] = weight.zero_point.as<std::int8_t>()[one ? 0 : j];
  }
}

const GroupedMatrix& QuantProduct::grouped() const {
  std::call_once(grouped_once_, [&] { grouped_ = std::make_unique<GroupedMatrix>(weight_); });
  return *grouped_;
}

// The part of a sum that a zero point of the input adds: zero_point Σ_k (ŵ[n][k] - b[n]).
Tensor QuantProduct::offsets(std::int32_t zero_point) const {
  if (zero_point == 0) return {};
  Tensor result(DType::i32, {n_});
  const auto* sums = matrix_->column_sums().as<std::int32_t>();
  for (std::int64_t j = 0; j < n_; ++j) {
    const std::int64_t zero = zeros_.empty() ? 0 : zeros_.as<std::int32_t>()[j];
    result.as<std::int32_t>()[j] = static_cast<std::int32_t>(zero_point * (sums[j] - k_ * zero));
  }
  return result;
}

Tensor QuantProduct::row_sums(const QuantRows& rows) const {
  if (zeros_.empty()) return {};
  Tensor result(DType::i32, {rows.m});
  for (std::int64_t i = 0; i < rows.m; ++i) {
    result.as<std::int32_t>()[i] = std::accumulate(rows.row(i), rows.row(i) + k_, 0);
  }
  return result;
}

void QuantProduct::rescale(const QuantRows& rows, const Tensor& offsets, const Tensor& row_sums,
                           const Block<std::int32_t>& exact, const Block<float>& block) const {
  const kernels::QuantTable& kernel = *active_kernels().quant;
  for (std::int64_t i = 0; i < block.rows; ++i) {
    std::int32_t* sums = exact.sums + i * exact.stride;
    if (!zeros_.empty() || !offsets.empty()) {
      kernel.correct({sums, zeros_.empty() ? nullptr : zeros_.as<std::int32_t>() + block.column,
                      offsets.empty() ? nullptr : offsets.as<std::int32_t>() + block.column,
                      zeros_.empty() ? 0 : row_sums.as<std::int32_t>()[block.row + i], block.columns});
    }
    kernel.rescale({sums, scales_.as<float>() + block.column, block.sums + i * block.stride, block.columns,
                    rows.scale(block.row + i)});
  }
}

IntWorkspace QuantProduct::workspace(std::int64_t most_rows) const {
  return in_groups_ ? IntWorkspace(grouped(), most_rows) : IntWorkspace(*matrix_, most_rows);
}

void QuantProduct::multiply(const QuantRows& rows, const FloatBlocks& done, IntWorkspace* workspace) const {
  if (rows.digits == 1) {
    multiply_integers(rows, done, workspace);
    return;
  }
  constexpr float kPlaces[kDigits] = {1, 0x1p-8F, 0x1p-16F};
  constexpr std::int64_t kTogether = kernels::kMostRows / kDigits;  // rows whose digits are in one block
  for (std::int64_t first = 0; first < rows.m; first += kTogether) {
    const std::int64_t count = std::min(kTogether, rows.m - first);
    QuantRows digits;
    digits.m = count * kDigits;
    digits.k = k_;
    digits.values = rows.row(first * kDigits);
    digits.scales = Tensor::uninitialized(DType::f32, {digits.m});
    for (std::int64_t i = 0; i < digits.m; ++i) digits.scales.as<float>()[i] = kPlaces[i % kDigits];
    const auto add = [&](const Block<float>& block) {
      for (std::int64_t i = 0; i < count; ++i) {
        float* to = block.sums + i * block.stride;
        const float *high = block.sums + i * kDigits * block.stride, *middle = high + block.stride;
        const float* low = middle + block.stride;
        const float scale = rows.scale(first + i);
        for (std::int64_t j = 0; j < block.columns; ++j) to[j] = ((high[j] + middle[j]) + low[j]) * scale;
      }
      done({block.sums, block.stride, first, count, block.column, block.columns});
    };
    multiply_integers(digits, add, workspace);
  }
}

void QuantProduct::multiply_integers(const QuantRows& rows, const FloatBlocks& done, IntWorkspace* workspace) const {
  const auto row_of = [&](std::int64_t i, std::int8_t*) { return rows.row(i); };
  if (in_groups_) {
    const auto finish = [&](const Block<float>& block) {
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const float scale = rows.scale(block.row + i);
        for (std::int64_t j = 0; j < block.columns; ++j) block.sums[i * block.stride + j] *= scale;
      }
      done(block);
    };
    grouped_product(rows.m, row_of, grouped(), finish, workspace);
    return;
  }
  const Tensor offset = offsets(rows.zero_point), sums = row_sums(rows);
  const auto finish = [&](const Block<std::int32_t>& exact) {
    alignas(64) float values[kernels::kMostRows * kBlockColumns];
    const Block<float> block{values, kBlockColumns, exact.row, exact.rows, exact.column, exact.columns};
    rescale(rows, offset, sums, exact, block);
    done(block);
  };
  if (workspace == nullptr && FewRows::fit(rows.m)) {
    rows.few().product(*matrix_, true, finish);
  } else {
    int_product(rows.m, row_of, *matrix_, finish, workspace);
  }
}

Tensor QuantProduct::product(const QuantRows& rows) const {
  require_finite(rows);
  Tensor result = Tensor::uninitialized(DType::f32, {rows.m, n_});
  multiply(rows, [&](const Block<float>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      std::copy_n(block.sums + i * block.stride, block.columns,
                  result.as<float>() + (block.row + i) * n_ + block.column);
    }
  });
  return result;
}

void QuantProduct::require_finite(const QuantRows& rows) const {
  require_finite_products(rows.largest_scale, largest_scale_, k_, in_groups_ || rows.digits > 1);
}

}  // namespace petrain
