#include "quant_steps.hpp"

#include <algorithm>

#include "isa.hpp"
#include "quant_packed.hpp"

namespace petrain {

QuantSteps::QuantSteps(const QuantLinear& layer, std::int64_t most_rows, bool all_threads) : layer_(layer) {
  rows_.k = layer.in_features();
  rows_.storage = Tensor::uninitialized(DType::i8, {most_rows, rows_.k});
  rows_.values = rows_.storage.as<std::int8_t>();
  rows_.scales = Tensor(DType::f32, {most_rows});
  if (!all_threads) workspace_ = std::make_unique<IntWorkspace>(layer.packed_->workspace(layer.weight(), most_rows));
}

void QuantSteps::run(const float* x, std::int64_t m, const float* bias, float* y) {
  const std::int64_t n = layer_.out_features();
  rows_.m = m;
  for (std::int64_t i = 0; i < m; ++i) {
    quantize_row(x + i * rows_.k, rows_.k, rows_.scales.as<float>()[i], rows_.storage.as<std::int8_t>() + i * rows_.k);
  }
  const kernels::NnTable& nn = *active_kernels().nn;
  const auto take = [&](float* values, std::int64_t row, std::int64_t column, std::int64_t columns) {
    if (bias != nullptr) nn.add_bias(values, bias + column, columns);
    std::copy_n(values, columns, y + row * n + column);
  };
  layer_.packed_->product(layer_.weight(), rows_, workspace_.get(), take);
}

}  // namespace petrain
