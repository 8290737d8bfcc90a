#include "calibrate.hpp"

#include "lanes.hpp"
#include "load.hpp"
#include "magic.hpp"

namespace petrain::kernels {
namespace {

using std::int32_t;
using std::ptrdiff_t;
using std::uint32_t;

// body(floats, begin, size) for blocks that fit the first-level cache.
template <class Body>
void for_each_block(const void* x, Storage storage, ptrdiff_t begin, ptrdiff_t size, Body&& body) {
  alignas(64) float block[kBlock];
  for (ptrdiff_t done = 0; done < size; done += kBlock) {
    const ptrdiff_t count = size - done < kBlock ? size - done : kBlock;
    if (storage == Storage::f32) {
      body(static_cast<const float*>(x) + begin + done, done, count);
    } else {
      load(x, storage, begin + done, block, count);
      body(block, done, count);
    }
  }
}

int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

// Signed comparisons alone, which every set has: 0 - 1 is below all other magnitudes minus 1, so the top bit is turned.
void widen(const float* x, ptrdiff_t size, Extremes& extremes) {
  int32_t low = extremes.low, high = extremes.high;
  auto least = static_cast<int32_t>(extremes.least ^ 0x80000000u);
#pragma omp simd reduction(min : low, least) reduction(max : high)
  for (ptrdiff_t i = 0; i < size; ++i) {
    const auto bits = __builtin_bit_cast(int32_t, x[i]);
    low = smaller(low, in_order(bits));
    high = larger(high, in_order(bits));
    const uint32_t below = (static_cast<uint32_t>(bits) & 0x7fffffffu) - 1;
    least = smaller(least, static_cast<int32_t>(below ^ 0x80000000u));
  }
  extremes = {low, high, static_cast<uint32_t>(least) ^ 0x80000000u};
}

void extremes(const void* x, Storage storage, ptrdiff_t begin, ptrdiff_t size, Extremes* result) {
  for_each_block(x, storage, begin, size,
                 [&](const float* block, ptrdiff_t, ptrdiff_t count) { widen(block, count, *result); });
}

void extremes_columns(const void* x, Storage storage, ptrdiff_t begin, int32_t* all_low, int32_t* all_high,
                      ptrdiff_t size) {
  for_each_block(x, storage, begin, size, [&](const float* __restrict block, ptrdiff_t done, ptrdiff_t count) {
    int32_t* __restrict low = all_low + done;
    int32_t* __restrict high = all_high + done;
#pragma omp simd
    for (ptrdiff_t i = 0; i < count; ++i) {
      const int32_t value = in_order(__builtin_bit_cast(int32_t, block[i]));
      low[i] = smaller(low[i], value);
      high[i] = larger(high[i], value);
    }
  });
}

void count(const void* x, Storage storage, ptrdiff_t begin, ptrdiff_t size, uint32_t* counts, Extremes* extremes) {
  for_each_block(x, storage, begin, size, [&](const float* block, ptrdiff_t, ptrdiff_t block_size) {
    widen(block, block_size, *extremes);
    uint32_t* even = counts;
    uint32_t* odd = counts + kBins;
    ptrdiff_t i = 0;
    for (; i + 1 < block_size; i += 2) {
      ++even[__builtin_bit_cast(uint32_t, block[i]) >> kBinShift];
      ++odd[__builtin_bit_cast(uint32_t, block[i + 1]) >> kBinShift];
    }
    if (i < block_size) ++even[__builtin_bit_cast(uint32_t, block[i]) >> kBinShift];
  });
}

// 1/12 for each integer on the way from 0, and from the last one on.
double error_integral(double x, double least, double most) {
  double integer = x < most ? x : most;
  integer = integer > least ? integer : least;
  integer = (integer + kMagic64) - kMagic64;
  const double rest = x - integer;
  return integer / 12 + rest * rest * rest / 3;
}

double error(const ErrorArgs& args) {
  const double* __restrict edges = args.edges;
  const double* __restrict weights = args.weights;
  const double inverse = args.inverse_scale, least = args.least, most = args.most;
  const ptrdiff_t whole = args.size - args.size % kLanes;
  double lanes[kLanes] = {};
  for (ptrdiff_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += weights[i + lane] * error_integral(edges[i + lane] * inverse, least, most);
    }
  }
  for (ptrdiff_t i = whole; i < args.size; ++i) {
    lanes[i - whole] += weights[i] * error_integral(edges[i] * inverse, least, most);
  }
  return sum_lanes(lanes);
}

}  // namespace

extern const CalibrateTable PETRAIN_TABLE(calibrate) = {extremes, extremes_columns, count, error};

}  // namespace petrain::kernels
