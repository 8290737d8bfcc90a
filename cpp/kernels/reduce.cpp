#include "reduce.hpp"

namespace petrain::kernels {
namespace {

constexpr int kLanes = 16;

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
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

}  // namespace

extern const ReduceTable PETRAIN_TABLE(reduce) = {sum_of_squares};

}  // namespace petrain::kernels
