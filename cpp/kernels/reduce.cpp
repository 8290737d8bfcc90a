#include "reduce.hpp"

#include "lanes.hpp"
#include "load.hpp"

namespace petrain::kernels {
namespace {

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

void add_squares_to(const float* __restrict x, double* __restrict sums, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) sums[i] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
}

}  // namespace

extern const ReduceTable PETRAIN_TABLE(reduce) = {sum_of_squares, add_squares_to};

}  // namespace petrain::kernels
