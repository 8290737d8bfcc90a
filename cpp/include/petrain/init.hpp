// Initial values of weights. A value depends on the seed and its index alone: any machine draws the same.
#pragma once

#include <cstdint>

#include "petrain/tensor.hpp"

namespace petrain {

enum class Init : std::uint8_t {
  xavier_uniform,  // Glorot, Bengio, AISTATS 2010: ± √(6 / (fan_in + fan_out))
  xavier_normal,   // deviation √(2 / (fan_in + fan_out))
  he_uniform,      // He et al., arXiv 1502.01852: ± √(6 / fan_in)
  he_normal,       // deviation √(2 / fan_in)
};

// Float32 arrays of any shape. std::invalid_argument where the range or deviation is not usable.
void init_uniform(const TensorView& values, double low, double high, std::uint64_t seed);
void init_normal(const TensorView& values, double mean, double deviation, std::uint64_t seed);
// A weight (out, in) or, for convolutions, (out, in, kernel…).
void init_weight(const TensorView& weight, Init init, std::uint64_t seed);

}  // namespace petrain
