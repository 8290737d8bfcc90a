#include "quant_product.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "isa.hpp"

namespace petrain {

QuantProduct::QuantProduct(const QuantTensor& weight)
    : weight_(weight),
      n_(weight.shape[0]),
      k_(weight.shape[1]),
      in_groups_(weight.spec.bits == 4 || weight.spec.granularity == Granularity::group),
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

std::size_t QuantProduct::nbytes() const {
  return scales_.nbytes() + zeros_.nbytes() + (matrix_ ? matrix_->nbytes() : 0) + (grouped_ ? grouped_->nbytes() : 0);
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

void QuantProduct::multiply(const QuantRows& rows, const FloatBlocks& done) const {
  const auto row_of = [&](std::int64_t i, std::int8_t*) { return rows.row(i); };
  if (in_groups_) {
    grouped_product(rows.m, row_of, grouped(), [&](const Block<float>& block) {
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const float scale = rows.scale(block.row + i);
        for (std::int64_t j = 0; j < block.columns; ++j) block.sums[i * block.stride + j] *= scale;
      }
      done(block);
    });
    return;
  }
  const Tensor offset = offsets(rows.zero_point), sums = row_sums(rows);
  const auto finish = [&](const Block<std::int32_t>& exact) {
    alignas(64) float values[kernels::kMostRows * kBlockColumns];
    const Block<float> block{values, kBlockColumns, exact.row, exact.rows, exact.column, exact.columns};
    rescale(rows, offset, sums, exact, block);
    done(block);
  };
  if (rows.m == 1 && SingleRow::has_own_way()) {
    rows.single().product(*matrix_, finish);
  } else {
    int_product(rows.m, row_of, *matrix_, finish);
  }
}

void QuantProduct::multiply_block(const QuantRows& rows, const Block<float>& block) const {
  IntRows prepared(*matrix_);
  prepared.fill([&](std::int64_t i, std::int8_t*) { return rows.row(i); }, block.row, block.rows);
  alignas(64) std::int32_t sums[kernels::kMostRows * kBlockColumns];
  for (std::int64_t j = 0; j < block.columns; j += kernels::kPanel) {
    prepared.multiply((block.column + j) / kernels::kPanel, sums + j, kBlockColumns);
  }
  rescale(rows, offsets(rows.zero_point), row_sums(rows),
          {sums, kBlockColumns, block.row, block.rows, block.column, block.columns}, block);
}

Addend::Addend(const QuantProduct& weight, QuantRows rows) : weight_(weight), rows_(std::move(rows)) {
  if (rows_.m > 1 && !weight.in_groups()) return;
  all_ = Tensor::uninitialized(DType::f32, {rows_.m, weight.n()});
  weight.multiply(rows_, [&](const Block<float>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      std::copy_n(block.sums + i * block.stride, block.columns,
                  all_.as<float>() + (block.row + i) * weight.n() + block.column);
    }
  });
}

void Addend::add_to(const Block<float>& block) const {
  const auto add = active_kernels().nn->add_bias;
  if (!all_.empty()) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      add(block.sums + i * block.stride, all_.as<float>() + (block.row + i) * weight_.n() + block.column,
          block.columns);
    }
    return;
  }
  alignas(64) float values[kernels::kMostRows * kBlockColumns];
  weight_.multiply_block(rows_, {values, kBlockColumns, block.row, block.rows, block.column, block.columns});
  for (std::int64_t i = 0; i < block.rows; ++i) {
    add(block.sums + i * block.stride, values + i * kBlockColumns, block.columns);
  }
}

}  // namespace petrain
