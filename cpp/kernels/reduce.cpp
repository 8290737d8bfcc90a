#include "reduce.hpp"

#include "lanes.hpp"
#include "load.hpp"

namespace petrain::kernels {
namespace {

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

double sum_of_squares(const void* x, Storage storage, std::ptrdiff_t begin, std::ptrdiff_t size) {
  double lanes[kLanes] = {};
  if (storage == Storage::f32) {
    add_squares(static_cast<const float*>(x) + begin, size, lanes);
  } else if (storage == Storage::f64) {
    add_squares(static_cast<const double*>(x) + begin, size, lanes);
  } else {
    alignas(64) float block[kBlock];
    for (std::ptrdiff_t done = 0; done < size; done += kBlock) {
      const std::ptrdiff_t count = size - done < kBlock ? size - done : kBlock;
      load(x, storage, begin + done, block, count);
      add_squares(block, count, lanes);
    }
  }
  return sum_lanes(lanes);
}

}  // namespace

extern const ReduceTable PETRAIN_TABLE(reduce) = {sum_of_squares};

}  // namespace petrain::kernels
