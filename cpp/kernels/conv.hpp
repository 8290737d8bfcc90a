// What convolutions do beside products of matrices. Images are channels last, [pixel][channel]; what comes in and goes
// out is [channel][pixel].
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

// to[i * to_stride + j] = from[j * from_stride + i], for i < pixels and j < channels.
struct InterleaveArgs {
  const std::int8_t* from;
  std::ptrdiff_t from_stride;
  std::int8_t* to;
  std::ptrdiff_t to_stride;
  std::ptrdiff_t pixels, channels;
};

// sums[j] = Σ_t windows[t][first + j] w[t * w_stride + first + j] for one pixel. w from -127 to 127.
struct DepthwiseArgs {
  const std::int8_t* const* windows;
  const std::int8_t* w;
  std::ptrdiff_t w_stride;
  std::ptrdiff_t taps, first, channels;
  std::int32_t* sums;
};

// y[j * pixels + i] = float(sums[i * sums_stride + j] - offsets[j]) * (x_scale * w_scale[j]) + bias[j]. A null array:
// that operation is left out.
struct PlaneArgs {
  const std::int32_t* sums;
  std::ptrdiff_t sums_stride;
  const std::int32_t* offsets;
  const float* w_scale;
  const float* bias;
  float x_scale;
  float* y;
  std::ptrdiff_t pixels, channels;
};

struct ConvTable {
  void (*interleave)(const InterleaveArgs&);
  void (*depthwise)(const DepthwiseArgs&);
  void (*planes)(const PlaneArgs&);
};

}  // namespace petrain::kernels
