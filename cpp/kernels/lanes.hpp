// Sums in a fixed number of lanes, so that their order does not follow the vector width.
#pragma once

#include <cstddef>

namespace petrain::kernels {
namespace {

constexpr int kLanes = 16;

// The square of x[i] to lane i mod kLanes, in float64.
template <class T>
void add_squares(const T* x, std::ptrdiff_t size, double (&lanes)[kLanes]) {
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
}

inline double sum_lanes(double (&lanes)[kLanes]) {
#pragma GCC unroll 4
  for (int width = kLanes / 2; width > 0; width /= 2) {
#pragma GCC unroll 8
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

}  // namespace
}  // namespace petrain::kernels
