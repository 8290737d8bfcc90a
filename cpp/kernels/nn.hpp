// Elementwise parts of layers. All of it belongs to the exact contract.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

struct SoftmaxRow {
  const float* logits;
  std::ptrdiff_t size;
  float* exponentials;  // out: exp(logit - greatest)
  float greatest;       // out
  double sum;           // out: Σ exponentials, in 16 lanes
};

struct NnTable {
  void (*add_bias)(float* y, const float* bias, std::ptrdiff_t size);                // y += bias
  void (*relu)(float* x, std::ptrdiff_t size);                                       // x = max(x, 0)
  void (*relu_backward)(float* gradient, const float* output, std::ptrdiff_t size);  // 0 where output is 0
  void (*scale)(float* x, float factor, std::ptrdiff_t size);                        // x *= factor
  void (*softmax_row)(SoftmaxRow& row);
};

}  // namespace petrain::kernels
