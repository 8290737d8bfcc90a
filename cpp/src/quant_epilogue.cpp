#include "quant_epilogue.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_rows.hpp"

namespace petrain {

void activate(float* values, std::int64_t size, Activation activation, const std::optional<Clip>& clip) {
  const kernels::ActivationTable& kernel = *active_kernels().activation;
  switch (activation) {
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
  if (clip) kernel.clip(values, clip->low, clip->high, size);
}

Epilogue::Epilogue(const TensorView& y, const Shape& shape, const LinearOptions& options)
    : y_(y), n_(shape.back()), bias_(options.bias.as<float>()), options_(options) {
  require(y, options.output ? DType::i8 : DType::f32, shape, "y");
  if (options.output) require_params(*options.output, "y");
  if (bias_ != nullptr) {
    require(options.bias, DType::f32, {n_}, "bias");
    require_finite(options.bias, "bias");
    for (std::int64_t j = 0; options.output && j < n_; ++j) {
      if (std::fabs(bias_[j]) > FLT_MAX / 4) {
        throw std::invalid_argument("bias: expected numbers of at most " + number_text(FLT_MAX / 4) +
                                    " where y is int8, got " + number_text(bias_[j]) + " at index " +
                                    std::to_string(j));
      }
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
    activate(values, block.columns, options_.activation, options_.clip);
    const std::int64_t to = (block.row + i) * n_ + block.column;
    if (options_.output) {
      active_kernels().quant_format->quantize_run(values, options_.output->scale, options_.output->zero_point,
                                                  {-128, 127}, y_.as<std::int8_t>() + to, block.columns);
    } else {
      std::copy_n(values, block.columns, y_.as<float>() + to);
    }
  }
}

}  // namespace petrain
