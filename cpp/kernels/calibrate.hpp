// What calibration asks of numbers: the lowest and the highest, and how many lie in each bin of a histogram, which are
// integers and so the same in any order; and the error of a quantizer on a histogram, summed in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"
#include "storage.hpp"

namespace petrain::kernels {

// A bin is what shares the sign, the exponent and the first 9 bits of the mantissa of a float32.
constexpr int kMantissaBits = 9;
constexpr int kBinShift = 23 - kMantissaBits;
constexpr std::int32_t kBins = std::int32_t{1} << (32 - kBinShift);
// Counts are kept twice, for even and odd indices: equal neighbours, such as zeros after a ReLU, would wait for each
// other's store.
constexpr int kCountLanes = 2;

namespace {

// The bits of a float32 as an integer that is ordered as the numbers are: -NaN < -inf < … < inf < NaN. Its own inverse.
inline std::int32_t in_order(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

}  // namespace

// Of nothing, low > high.
struct Extremes {
  std::int32_t low = 0x7fffffff, high = -0x7fffffff - 1;  // in_order
  std::uint32_t least = 0xffffffff;                       // the magnitude bits nearest to 0 that are not 0, minus 1
};

// Quantization in units of the scale: to the nearest integer from least to most, half to even.
struct ErrorArgs {
  const double* edges;
  const double* weights;
  std::ptrdiff_t size;
  double inverse_scale, least, most;
};

// x is float32, float16 or bfloat16. What is there already is widened, or added to.
struct CalibrateTable {
  void (*extremes)(const void* x, Storage storage, std::ptrdiff_t begin, std::ptrdiff_t size, Extremes* extremes);
  // Each element is of another channel.
  void (*extremes_columns)(const void* x, Storage storage, std::ptrdiff_t begin, std::int32_t* low, std::int32_t* high,
                           std::ptrdiff_t size);
  // counts[lane * kBins + bin]; at most 2³² numbers in all. Extremes of the same numbers.
  void (*count)(const void* x, Storage storage, std::ptrdiff_t begin, std::ptrdiff_t size, std::uint32_t* counts,
                Extremes* extremes);
  // Σ weight · ∫ (t - nearest(t))² dt from 0 to edge · inverse_scale, in 16 lanes.
  double (*error)(const ErrorArgs&);
};

}  // namespace petrain::kernels
