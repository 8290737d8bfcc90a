// Calibration: which range of numbers the integers should cover, from samples that are seen once and not kept.
//
//   petrain::Histogram seen;                                     // or petrain::MinMax, petrain::MovingAverage
//   for (const Tensor& activation : samples) seen.observe(activation.view());
//   const petrain::Range range = mse_range(seen, 8, petrain::Scheme::asymmetric);
//   const petrain::QuantParams params = range_params(range.low, range.high, 8, petrain::Scheme::asymmetric);
//
// x is float32, float16 or bfloat16, of any shape of at least one element. observe() throws std::invalid_argument for
// another type and where x holds NaN or infinity, merge() where the other is of another kind; nothing has changed then.
// A range of what has seen nothing throws petrain::Error.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "petrain/quant.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// Most numbers that one observer takes.
constexpr std::int64_t kMostObserved = std::int64_t{1} << 62;

struct Range {
  double low = 0, high = 0;

  bool operator==(const Range&) const = default;
};

// The lowest and the highest number, of all or of each index along an axis, which may be negative. -0 counts as 0.
// Throws std::out_of_range where x has no such axis.
std::vector<Range> extremes(const ConstTensorView& x, std::optional<int> axis);

// The extremes of all that was seen. Merging is exact, in any order.
class MinMax {
 public:
  explicit MinMax(std::optional<int> axis = {}) : axis_(axis) {}
  // Goes on from these ranges, after so many numbers. Throws std::invalid_argument where that cannot be.
  MinMax(std::optional<int> axis, std::vector<Range> ranges, std::int64_t count);

  void observe(const ConstTensorView& x);
  void merge(const MinMax& other);

  const std::vector<Range>& ranges() const { return ranges_; }  // one, or one for each channel; at first none
  std::int64_t count() const { return count_; }

 private:
  std::optional<int> axis_;
  std::vector<Range> ranges_;
  std::int64_t count_ = 0;
};

// The extremes of the first array, and then m += constant * (extremes of the next one - m), in double. Merging takes
// the mean of both, weighted by their numbers of arrays: commutative, and associative but for rounding.
class MovingAverage {
 public:
  explicit MovingAverage(double constant = 0.01, std::optional<int> axis = {});
  MovingAverage(double constant, std::optional<int> axis, std::vector<Range> ranges, std::int64_t count,
                std::int64_t arrays);

  void observe(const ConstTensorView& x);
  void merge(const MovingAverage& other);

  const std::vector<Range>& ranges() const { return ranges_; }
  std::int64_t count() const { return count_; }
  std::int64_t arrays() const { return arrays_; }

 private:
  double constant_;
  std::optional<int> axis_;
  std::vector<Range> ranges_;
  std::int64_t count_ = 0, arrays_ = 0;
};

// How many numbers were seen in each bin. A bin holds the float32 that share their sign, their exponent and the first 9
// bits of their mantissa, so it is at most 2⁻⁹ of its lower edge wide, and the bins do not depend on the data: counts
// from any order, split or number of threads are equal, and merging adds them. Numbers below 2⁻¹³⁵ count as 0. Memory
// is taken for the octaves that occur, 4 KB for each; at most 2 MB.
class Histogram {
 public:
  struct Bin {
    double low, high;  // its edges, within the extremes
    std::int64_t count;
  };

  Histogram() = default;
  // From the numbers of the bins that hold something, ascending, and what they hold: bin number = the upper 18 bits of
  // a float32 of it. Throws std::invalid_argument where that, or the exact extremes, cannot be.
  Histogram(std::span<const std::int32_t> numbers, std::span<const std::int64_t> counts, Range extremes);

  void observe(const ConstTensorView& x);  // of fewer than 2³² elements
  void merge(const Histogram& other);

  std::int64_t count() const { return count_; }
  Range extremes() const { return extremes_; }
  std::vector<Bin> bins() const;  // that hold something, from the lowest to the highest
  void parts(std::vector<std::int32_t>& numbers, std::vector<std::int64_t>& counts) const;

 private:
  using Octave = std::vector<std::int64_t>;
  std::map<int, Octave> octaves_;  // by sign and exponent, as the upper 9 bits of a float32
  Range extremes_;
  std::int64_t count_ = 0;
};

// Of the numbers seen, at most (100 - percentile)% lie outside. Symmetric: [-t, t] by magnitude; asymmetric: at most
// half of them at each end. An end is that of a bin, so at most 2⁻⁹ of it further out than it need be.
Range percentile_range(const Histogram& seen, double percentile, Scheme scheme);

// Whose distribution, after quantization, is the nearest in Kullback-Leibler divergence: Migacz, 8-bit inference with
// TensorRT, GTC 2017, with magnitudes in 2048 bins (asymmetric: 4096 at each side of 0) and thresholds from 1/16 of the
// largest magnitude. Exact zeros, which stay zero, are left out, and at most half of the rest may lie outside: what is
// clipped to one value resembles itself.
Range entropy_range(const Histogram& seen, int bits, Scheme scheme);

// With the least sum of squared quantization errors among ranges whose ends are 2^(-i / 32) of the extremes, from them
// down to 1/16 of the root mean square at that side, and then 2^(±i / 128) around the best. Numbers are taken as spread
// evenly over their bin.
Range mse_range(const Histogram& seen, int bits, Scheme scheme);

// What mse_range minimises, for quantization with range_params(range, …), as a mean over all numbers.
double mean_squared_error(const Histogram& seen, Range range, int bits, Scheme scheme);

}  // namespace petrain
