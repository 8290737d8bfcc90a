// What the methods of rounding share: H as they read it, weights row by row, and the error of outputs.
#pragma once

#include <algorithm>
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

// Throws std::invalid_argument unless w is a finite float32 (N, K) for this observer, which has seen something.
void require_weight(const ConstTensorView& w, const HessianObserver& hessian);
void require_damping(double damping);

// Rows of weights are worked on some at a time, each in doubles of this stride.
constexpr std::int64_t kWeightRows = 32;
using RowBlock = std::vector<double>;
inline RowBlock row_block(const Panels& h) { return RowBlock(kWeightRows * h.padded()); }

// body(first row, rows) for blocks of rows, in any order; make() gives each thread what it needs, and body gets it.
template <class Make, class Body>
void for_each_row_block(std::int64_t rows, Make&& make, Body&& body) {
  const std::int64_t blocks = (rows + kWeightRows - 1) / kWeightRows;
  parallel(threads_for(blocks), [&](const Team& team) {
    const ChunkRange mine = team.share(blocks);
    if (mine.begin == mine.end) return;
    auto own = make();
    for (std::int64_t block = mine.begin; block < mine.end; ++block) {
      body(block * kWeightRows, std::min(kWeightRows, rows - block * kWeightRows), own);
    }
  });
}

// w H wᵀ of each row of a float32 (n, H.size).
std::vector<double> row_squares(const Panels& h, const float* w, std::int64_t n);

// The square root of the quotient of the sums; 0 where the second is 0.
double relative_error(std::vector<double> errors, std::vector<double> squares);

}  // namespace petrain
