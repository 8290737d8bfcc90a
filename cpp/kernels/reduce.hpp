// Reductions whose result does not depend on the instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

struct ReduceTable {
  // Σ x² in float64, in 16 lanes (lane = index mod 16) that are added as a tree. Squares of float32 are exact
  // in float64. The sum is NaN or infinite exactly if an x is.
  double (*sum_of_squares)(const float* x, std::ptrdiff_t size);
};

}  // namespace petrain::kernels
