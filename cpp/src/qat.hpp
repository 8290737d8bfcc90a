// What fake quantization by itself and in a step of an optimizer share.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cstdint>

#include "kernels/fake_quant.hpp"
#include "petrain/qat.hpp"

namespace petrain {

// See bound_scales.
float largest_scale(const QuantSpec& spec);
inline float clamped_scale(float scale, float largest) { return scale >= FLT_MIN ? std::min(scale, largest) : FLT_MIN; }

// Of a spec that was checked.
kernels::FakeQuantFormat fake_quant_format(const QuantSpec& spec, const Shape& shape, const float* scale,
                                           const std::int8_t* zero_point);

}  // namespace petrain
