// The weights of a linear layer as its kernels read them, and the product with them.
#pragma once

#include <algorithm>
#include <mutex>
#include <numeric>

#include "int_gemm.hpp"
#include "isa.hpp"
#include "petrain/quant_linear.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"

namespace petrain {

// What kernels read. Of the two kinds of weights one is there.
struct QuantLinear::Packed {
  explicit Packed(const QuantTensor& w)
      : n(w.shape[0]), k(w.shape[1]), grouped(w.spec.bits == 4 || w.spec.granularity == Granularity::group) {
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

  IntWorkspace workspace(const QuantTensor& w, std::int64_t most_rows) {
    return grouped ? IntWorkspace(groups(w)) : IntWorkspace(*matrix, most_rows);
  }

  // float(sums) * scales of all rows, block by block. `take` gets a row of a block: (values, row, column, columns).
  // workspace: null, or made by this.
  template <class Take>
  void product(const QuantTensor& w, const QuantRows& rows, IntWorkspace* workspace, const Take& take);

  std::int64_t n, k;
  bool grouped;
  float largest_scale;
  std::unique_ptr<IntMatrix> matrix;
  Tensor scales, zeros;
  std::once_flag once;
  std::unique_ptr<GroupedMatrix> group_matrix;
};

template <class Take>
void QuantLinear::Packed::product(const QuantTensor& w, const QuantRows& rows, IntWorkspace* workspace,
                                  const Take& take) {
  const auto row_of = [&](std::int64_t i, std::int8_t*) { return rows.row(i); };
  if (grouped) {
    grouped_product(
        rows.m, row_of, groups(w),
        [&](const Block<float>& block) {
          alignas(64) float values[kBlockColumns];
          for (std::int64_t i = 0; i < block.rows; ++i) {
            const float scale = rows.scale(block.row + i);
            for (std::int64_t j = 0; j < block.columns; ++j) values[j] = block.sums[i * block.stride + j] * scale;
            take(values, block.row + i, block.column, block.columns);
          }
        },
        workspace);
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
  int_product(
      rows.m, row_of, *matrix,
      [&](const Block<std::int32_t>& block) {
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
      },
      workspace);
}

}  // namespace petrain
