#include "quant_steps.hpp"

#include <algorithm>

#include "isa.hpp"

namespace petrain {

QuantSteps::QuantSteps(const QuantLinear& layer, std::int64_t most_rows, bool all_threads) : layer_(layer) {
  if (all_threads) return;
  rows_ = std::make_unique<QuantRows>();
  rows_->k = layer.in_features();
  rows_->storage = Tensor::uninitialized(DType::i8, {most_rows, rows_->k});
  rows_->values = rows_->storage.as<std::int8_t>();
  rows_->scales = Tensor(DType::f32, {most_rows});
  blocks_ = layer.packed_->blocks(*rows_, most_rows);
}

void QuantSteps::run(const float* x, std::int64_t m, const ConstTensorView& bias, float* y) {
  const std::int64_t n = layer_.out_features();
  if (blocks_ == nullptr) {
    layer_.forward({x, DType::f32, {m, layer_.in_features()}}, {y, DType::f32, {m, n}}, {.bias = bias});
    return;
  }
  rows_->m = m;
  rows_->values_changed();
  for (std::int64_t i = 0; i < m; ++i) {
    const std::int64_t at = i * rows_->k;
    quantize_row(x + at, rows_->k, rows_->scales.as<float>()[i], rows_->storage.as<std::int8_t>() + at);
  }
  const auto add_bias = active_kernels().nn->add_bias;
  const auto take = [&](const Block<float>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      float* values = block.sums + i * block.stride;
      if (bias.data != nullptr) add_bias(values, bias.as<float>() + block.column, block.columns);
      std::copy_n(values, block.columns, y + (block.row + i) * n + block.column);
    }
  };
  const BlockGrid grid(m, n, rows_->k, kernels::kMostRows, false);
  run_blocks<float>(grid, {0, grid.shares}, *blocks_, take);
}

}  // namespace petrain
