// What the methods of rounding share: H as they read it, weights row by row, and the error of outputs.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "panels.hpp"
#include "petrain/rounding.hpp"
#include "threads.hpp"

namespace petrain {

struct HessianAccess {
  static Panels symmetric(const HessianObserver& observer);  // H, all of it
};

double mean_diagonal(const Panels& h);

// Within float32. NaN, which a nearly singular H can make of an infinite adjustment, becomes 0.
inline float to_float(double x) {
  if (std::isnan(x)) return 0;
  return static_cast<float>(std::clamp<double>(x, -static_cast<double>(FLT_MAX), static_cast<double>(FLT_MAX)));
}

// Throws std::invalid_argument unless it is a finite float32 matrix that is not empty.
void require_finite_matrix(const ConstTensorView& array, const std::string& what);
// Throws std::invalid_argument unless w is a finite float32 (N, K) for this observer, which has seen something.
void require_weight(const ConstTensorView& w, const HessianObserver& hessian);
void require_damping(double damping);

// Rows of weights are worked on some at a time, each in doubles of this stride.
constexpr std::int64_t kWeightRows = 32;
using RowBlock = std::vector<double>;
inline RowBlock row_block(const Panels& h) { return RowBlock(kWeightRows * h.padded()); }

// body(first row, rows, own) for blocks of rows, in any order; `own` is what make() gave this thread. It is made before
// threads start: what takes memory may throw.
template <class Make, class Body>
void for_each_row_block(std::int64_t rows, Make&& make, Body&& body) {
  const std::int64_t blocks = (rows + kWeightRows - 1) / kWeightRows;
  const int threads = threads_for(blocks);
  std::vector<decltype(make())> own;
  for (int i = 0; i < threads; ++i) own.push_back(make());
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(blocks);
    for (std::int64_t block = mine.begin; block < mine.end; ++block) {
      const std::int64_t first = block * kWeightRows;
      body(first, std::min(kWeightRows, rows - first), own[static_cast<std::size_t>(team.rank)]);
    }
  });
}

// w H wᵀ of each row of a float32 (n, H.size).
std::vector<double> row_squares(const Panels& h, const float* w, std::int64_t n);

// The square root of the quotient of the sums; 0 where the second is 0.
double relative_error(std::vector<double> errors, std::vector<double> squares);

}  // namespace petrain
