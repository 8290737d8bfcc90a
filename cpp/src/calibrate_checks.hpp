// What all observers check.
#pragma once

#include <bit>
#include <cfloat>
#include <cmath>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "kernels/calibrate.hpp"
#include "petrain/calibrate.hpp"
#include "petrain/error.hpp"

namespace petrain {

// Without a zero that has a sign.
inline Range both_ways(double end) { return {0 - end, end}; }

// The float32 whose bits are in_order; + 0 makes 0 of -0.
inline double number_of(std::int32_t ordered) {
  return static_cast<double>(std::bit_cast<float>(kernels::in_order(ordered))) + 0.0;
}

inline void require_some(std::int64_t count) {
  if (count == 0) throw Error("nothing was observed yet: call observe() first");
}

// The sum of two counts of what was seen.
inline std::int64_t added(std::int64_t a, std::int64_t b) {
  if (b > kMostObserved - a) {
    throw std::invalid_argument("expected at most 2^62 numbers in all, got " + std::to_string(a) + " and " +
                                std::to_string(b));
  }
  return a + b;
}

inline void require_count_within(std::int64_t count, std::int64_t least, const std::string& what) {
  if (count < least || count > kMostObserved) {
    throw std::invalid_argument(what + ": expected " + std::to_string(least) + " to 2^62, got " +
                                std::to_string(count));
  }
}

inline void require_range(Range range, const std::string& what) {
  if (!(range.low <= range.high) || !(range.low >= -FLT_MAX) || !(range.high <= FLT_MAX)) {
    throw std::invalid_argument(what + ": expected the ends within float32, the lower one first, got " +
                                number_text(range.low) + " and " + number_text(range.high));
  }
}

}  // namespace petrain
