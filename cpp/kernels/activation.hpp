// Activation functions, elementwise and in place, with the same bytes on every instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

// Within 2e-7 of max(|x|, 1) of the exact value. NaN stays NaN.
struct ActivationTable {
  void (*relu)(float* x, std::ptrdiff_t size);
  void (*gelu)(float* x, std::ptrdiff_t size);  // x Φ(x), not its approximation by tanh
  void (*silu)(float* x, std::ptrdiff_t size);  // x sigmoid(x)
  void (*tanh)(float* x, std::ptrdiff_t size);
  void (*sigmoid)(float* x, std::ptrdiff_t size);
  void (*clip)(float* x, float low, float high, std::ptrdiff_t size);
};

}  // namespace petrain::kernels
