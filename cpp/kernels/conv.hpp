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

// sums[i] = Σ_t w[t] x[offsets[t] + i]. w from -127 to 127. Up to a multiple of kSlideStep, x is there and sums are
// written.
constexpr int kSlideStep = 32;
struct SlideArgs {
  const std::int8_t* x;
  const std::ptrdiff_t* offsets;
  const std::int8_t* w;
  std::ptrdiff_t taps;
  std::int32_t* sums;
  std::ptrdiff_t size;
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

// y[i] = float(sums[i] - offset) * scale + *bias; a null bias is left out.
struct PlaneRunArgs {
  const std::int32_t* sums;
  std::int32_t offset;
  float scale;
  const float* bias;
  float* y;
  std::ptrdiff_t size;
};

struct ConvTable {
  void (*interleave)(const InterleaveArgs&);
  // to[i] = from[i * step]
  void (*pick)(const std::int8_t* from, std::ptrdiff_t step, std::int8_t* to, std::ptrdiff_t size);
  void (*slide)(const SlideArgs&);
  void (*planes)(const PlaneArgs&);
  void (*plane_run)(const PlaneRunArgs&);
};

}  // namespace petrain::kernels
