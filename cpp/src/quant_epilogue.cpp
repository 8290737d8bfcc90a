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

Epilogue::Epilogue(const TensorView& y, const Shape& shape, std::int64_t n, const LinearOptions& options)
    : y_(y), n_(n), bias_(options.bias.as<float>()), options_(options) {
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
    activate(values, block.columns);
    write(values, (block.row + i) * n_ + block.column, block.columns);
  }
}

void Epilogue::activate(float* values, std::int64_t size) const {
  petrain::activate(values, size, options_.activation, options_.clip);
}

void Epilogue::write(const float* values, std::int64_t to, std::int64_t size) const {
  if (options_.output) {
    active_kernels().quant_format->quantize_run(values, options_.output->scale, options_.output->zero_point,
                                                {-128, 127}, y_.as<std::int8_t>() + to, size);
  } else {
    std::copy_n(values, size, y_.as<float>() + to);
  }
}

void require_finite_scales(float x_scale, float w_scale, std::int64_t k, bool to_int8) {
  // An integer needs a number: with these, no sum is infinite.
  constexpr double kMostProduct = 255.0 * 255.0, kMostSum = FLT_MAX / 4.0;
  const bool finite_product = std::isfinite(x_scale * w_scale);
  if (finite_product && (!to_int8 || kMostProduct * static_cast<double>(k) * x_scale * w_scale <= kMostSum)) return;
  throw std::invalid_argument("expected scales of x and w with a finite product" +
                              std::string(to_int8 ? ", times the longest sum where y is int8" : "") + ", got " +
                              number_text(x_scale) + " and " + number_text(w_scale));
}

}  // namespace petrain
