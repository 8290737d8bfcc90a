#include "quant_product.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
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

namespace {

RowOf row_of(const QuantRows& rows) {
  return [&rows](std::int64_t i, std::int8_t*) { return rows.row(i); };
}

}  // namespace

class QuantProduct::OfIntegers final : public RowBlocks {
 public:
  OfIntegers(const QuantProduct& product, const QuantRows& rows, std::int64_t most_rows)
      : product_(product),
        matrix_(*product.matrix_),
        rows_(rows),
        offsets_(product.offsets(rows.zero_point)),
        row_sums_(DType::i32, {product.zeros_.empty() ? 0 : most_rows}) {
    if (FewRows::fit(most_rows)) {  // once, before several threads ask
      rows.few();
      matrix_.shifted();
    }
    if (!FewRows::fit(most_rows)) prepared_.emplace(matrix_, most_rows, row_of(rows));
  }

  void fill(std::int64_t first, std::int64_t count) override {
    if (!FewRows::fit(rows_.m)) prepared_->fill(first, count);
    for (std::int64_t i = 0; i < count && !row_sums_.empty(); ++i) {
      const std::int8_t* row = rows_.row(first + i);
      row_sums_.as<std::int32_t>()[i] = std::accumulate(row, row + rows_.k, 0);
    }
  }

  void multiply(const Block<float>& block) override {
    alignas(64) std::int32_t sums[kBlockElements];
    const Block<std::int32_t> exact{sums, kBlockColumns, block.row, block.rows, block.column, block.columns};
    if (FewRows::fit(rows_.m)) {
      rows_.few().multiply(matrix_, exact);
    } else {
      prepared_->multiply(exact);
    }
    for (std::int64_t i = 0; i < block.rows; ++i) rescale(block, i, sums + i * kBlockColumns);
  }

 private:
  void rescale(const Block<float>& block, std::int64_t i, std::int32_t* sums) const {
    const kernels::QuantTable& kernel = *active_kernels().quant;
    const Tensor& zeros = product_.zeros_;
    if (!zeros.empty() || !offsets_.empty()) {
      kernel.correct({sums, zeros.empty() ? nullptr : zeros.as<std::int32_t>() + block.column,
                      offsets_.empty() ? nullptr : offsets_.as<std::int32_t>() + block.column,
                      zeros.empty() ? 0 : row_sums_.as<std::int32_t>()[i], block.columns});
    }
    kernel.rescale({sums, product_.scales_.as<float>() + block.column, block.sums + i * block.stride, block.columns,
                    rows_.scale(block.row + i)});
  }

  const QuantProduct& product_;
  const IntMatrix& matrix_;
  const QuantRows& rows_;
  Tensor offsets_, row_sums_;
  std::optional<IntRows> prepared_;
};

class QuantProduct::OfGroups final : public RowBlocks {
 public:
  OfGroups(const QuantProduct& product, const QuantRows& rows, std::int64_t most_rows)
      : rows_(rows), prepared_(product.grouped(), most_rows, row_of(rows)) {}

  void fill(std::int64_t first, std::int64_t count) override { prepared_.fill(first, count); }

  void multiply(const Block<float>& block) override {
    prepared_.multiply(block);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const float scale = rows_.scale(block.row + i);
      for (std::int64_t j = 0; j < block.columns; ++j) block.sums[i * block.stride + j] *= scale;
    }
  }

 private:
  const QuantRows& rows_;
  GroupedRows prepared_;
};

namespace {

// Rows in digits: the sum of the digits' products.
class OfDigits final : public RowBlocks {
 public:
  OfDigits(const QuantRows& rows, std::unique_ptr<RowBlocks> digits) : rows_(rows), digits_(std::move(digits)) {}

  void fill(std::int64_t first, std::int64_t count) override { digits_->fill(first * kDigits, count * kDigits); }

  void multiply(const Block<float>& block) override {
    alignas(64) float sums[kBlockElements];
    digits_->multiply({sums, kBlockColumns, block.row * kDigits, block.rows * kDigits, block.column, block.columns});
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const float *high = sums + i * kDigits * kBlockColumns, *middle = high + kBlockColumns;
      const float* low = middle + kBlockColumns;
      const float scale = rows_.scale(block.row + i);
      float* to = block.sums + i * block.stride;
      for (std::int64_t j = 0; j < block.columns; ++j) to[j] = ((high[j] + middle[j]) + low[j]) * scale;
    }
  }

 private:
  const QuantRows& rows_;
  std::unique_ptr<RowBlocks> digits_;
};

}  // namespace

std::unique_ptr<RowBlocks> QuantProduct::blocks(const QuantRows& rows, std::int64_t most_rows) const {
  if (rows.digits != nullptr) return std::make_unique<OfDigits>(rows, blocks(*rows.digits, most_rows * kDigits));
  if (in_groups_) return std::make_unique<OfGroups>(*this, rows, most_rows);
  return std::make_unique<OfIntegers>(*this, rows, most_rows);
}

BlockGrid QuantProduct::grid(const QuantRows& rows) const {
  const int digits = rows.digits == nullptr ? 1 : kDigits;
  return {rows.m, n_, k_ * digits, kernels::kMostRows / digits};
}

Tensor QuantProduct::product(const QuantRows& rows) const {
  require_finite(rows);
  Tensor result = Tensor::uninitialized(DType::f32, {rows.m, n_});
  const auto make = [&](std::int64_t height) { return blocks(rows, height); };
  for_each_block<float>(grid(rows), make, [&](const Block<float>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      std::copy_n(block.sums + i * block.stride, block.columns,
                  result.as<float>() + (block.row + i) * n_ + block.column);
    }
  });
  return result;
}

void QuantProduct::require_finite(const QuantRows& rows) const {
  require_finite_products(rows.largest_scale, largest_scale_, k_, in_groups_ || rows.digits != nullptr);
}

}  // namespace petrain
