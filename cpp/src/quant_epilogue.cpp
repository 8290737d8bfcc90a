#include "quant_epilogue.hpp"

#include <algorithm>
#include <cmath>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_rows.hpp"

namespace petrain {

Epilogue::Epilogue(const ConstTensorView& x, const TensorView& y, const Shape& shape, std::int64_t n,
                   const LinearOptions& options)
    : y_(y), n_(n), bias_(options.bias.as<float>()), options_(options) {
  require(y, options.output ? DType::i8 : DType::f32, shape, "y");
  if (share_memory(x, y)) throw std::invalid_argument("y: expected memory of its own, got some of x");
  if (share_memory(options.bias, y)) throw std::invalid_argument("y: expected memory of its own, got some of bias");
  if (options.output) require_params(*options.output, "y");
  if (bias_ != nullptr) {
    require(options.bias, DType::f32, {n_}, "bias");
    require_finite(options.bias, "bias");
    for (std::int64_t j = 0; j < n_; ++j) {
      if (std::fabs(bias_[j]) <= kMostAddend) continue;
      throw std::invalid_argument("bias: expected numbers of at most " + number_text(kMostAddend) + ", got " +
                                  number_text(bias_[j]) + " at index " + std::to_string(j));
    }
  }
  if (options.clip && !(options.clip->low <= options.clip->high)) {
    throw std::invalid_argument("clip: expected the lower number first, got " + number_text(options.clip->low) +
                                " and " + number_text(options.clip->high));
  }
}

void Epilogue::finish(const Block<float>& block) const {
  const kernels::NnTable& nn = *active_kernels().nn;
  for (std::int64_t i = 0; i < block.rows; ++i) {
    float* values = block.sums + i * block.stride;
    if (bias_ != nullptr) nn.add_bias(values, bias_ + block.column, block.columns);
    activate(values, block.columns);
    write(values, (block.row + i) * n_ + block.column, block.columns);
  }
}

void Epilogue::activate(float* values, std::int64_t size) const {
  const kernels::ActivationTable& kernel = *active_kernels().activation;
  switch (options_.activation) {
    case Activation::none:
      break;
    case Activation::relu:
      kernel.relu(values, size);
      break;
    case Activation::gelu:
      kernel.gelu(values, size);
      break;
    case Activation::silu:
      kernel.silu(values, size);
      break;
    case Activation::tanh:
      kernel.tanh(values, size);
      break;
    case Activation::sigmoid:
      kernel.sigmoid(values, size);
      break;
  }
  if (options_.clip) kernel.clip(values, options_.clip->low, options_.clip->high, size);
}

void Epilogue::write(const float* values, std::int64_t to, std::int64_t size) const {
  if (options_.output) {
    active_kernels().quant_format->quantize_run(values, options_.output->scale, options_.output->zero_point,
                                                limits_of(*options_.output), y_.as<std::int8_t>() + to, size);
  } else {
    std::copy_n(values, size, y_.as<float>() + to);
  }
}

void require_finite_products(float x_scale, float w_scale, std::int64_t k, bool in_groups, const std::string& what) {
  const double sum = 255.0 * 255.0 * static_cast<double>(k) * w_scale;
  if (sum * x_scale <= kMostAddend && (!in_groups || sum <= kMostAddend)) return;
  throw std::invalid_argument(what + ": expected scales with which no sum is larger than " + number_text(kMostAddend) +
                              ", got " + number_text(x_scale) + " and " + number_text(w_scale) + " for " +
                              std::to_string(k) + " products");
}

}  // namespace petrain
