// Fake quantization: floats rounded to those that a few bits can tell apart, and the gradients through that.
//   low = least - zero_point,  high = most - zero_point
//   out = round_half_even(clamp(x / scale, low, high)) * scale
// The gradients take u = x * (1 / scale), both operations rounded to float32, for the quotient.
// The gradient of x is that of out where low <= u <= high, else 0. The derivative by the scale is
//   round_half_even(u) - u inside, low or high outside.
// Its product with the gradient is rounded to float32; the sum of these is taken in float64.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"
#include "scale_cursor.hpp"

namespace petrain::kernels {

struct FakeQuantFormat {
  ScaleLayout layout;
  const float* scale;             // all of them
  const std::int8_t* zero_point;  // as many; null: zeros
  std::int32_t least, most;       // the integers
};

// All arrays are given from their first element; those that are written may be those that are read.
struct FakeQuantArgs {
  FakeQuantFormat format;
  const float* x;
  void* out;
  bool codes;                  // out is int8, the integers themselves, in the place of float32
  std::ptrdiff_t begin, size;  // a chunk
};

struct FakeQuantGradArgs {
  FakeQuantFormat format;
  const float* x;
  const float* gradient;  // of out
  float* x_gradient;
  double* slots;               // of the chunk, zero before: Σ gradient * derivative by the scale
  std::ptrdiff_t begin, size;  // a chunk
};

// What a step of an optimizer does beside its rule: it takes the gradients as those of the parameter as it is with
// format.scale, and writes the new parameter as it is with next_scale.
struct StepFakeQuant {
  FakeQuantFormat format;
  const float* next_scale;
  void* out;
  bool codes;
};

struct FakeQuantTable {
  void (*forward)(const FakeQuantArgs&);
  void (*backward)(const FakeQuantGradArgs&);
  // slots, as above: Σ |x|
  void (*sum_magnitudes)(const float* x, const ScaleLayout&, double* slots, std::ptrdiff_t begin, std::ptrdiff_t size);
};

}  // namespace petrain::kernels
