#include "reduce.hpp"

#include "lanes.hpp"

namespace petrain::kernels {
namespace {

double sum_of_squares(const float* x, std::ptrdiff_t size) {
  double lanes[kLanes] = {};
  const std::ptrdiff_t whole = size - size % kLanes;
  for (std::ptrdiff_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (std::ptrdiff_t i = whole; i < size; ++i) {
    const double value = x[i];
    lanes[i - whole] += value * value;
  }
  return sum_lanes(lanes);
}

}  // namespace

extern const ReduceTable PETRAIN_TABLE(reduce) = {sum_of_squares};

}  // namespace petrain::kernels
