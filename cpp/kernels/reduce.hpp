// Reductions whose result does not depend on the instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"
#include "storage.hpp"

namespace petrain::kernels {

struct ReduceTable {
  // Σ x² in float64, in 16 lanes (lane = index mod 16) that are added as a tree. Squares of float32 are exact
  // in float64, so the sum is NaN or infinite exactly if an x is (of float64: or beyond 1e154).
  double (*sum_of_squares)(const void* x, Storage storage, std::ptrdiff_t begin, std::ptrdiff_t size);
  void (*add_squares)(const float* x, double* sums, std::ptrdiff_t size);  // sums[i] += x[i]²
};

}  // namespace petrain::kernels
