// What GPTQ and SparseGPT share: rows are changed column by column, and what that did is taken over by the columns
// still to come.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "hessian.hpp"

namespace petrain {

// Columns whose errors are added to the rest of the row at once. A multiple of every group size, so that the weights of
// a group are adjusted for all columns before it when its scale is taken.
constexpr std::int64_t kWalkColumns = 128;

// Of a block of rows: the errors e of the columns that are done, Σ e[i] R[i][j] of those to come, and the block of R on
// the diagonal, rows kWalkColumns apart.
struct ColumnWalk {
  explicit ColumnWalk(const Panels& r)
      : sums(row_block(r)), errors(row_block(r)), diagonal(kWalkColumns * kWalkColumns) {}

  // block(row, begin, end) sets the errors of these columns and adds to the sums of those among them.
  template <class Block>
  void run(const Panels& r, std::int64_t rows, Block&& block) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::int64_t begin = 0; begin < r.size; begin += kWalkColumns) {
      const std::int64_t end = std::min(begin + kWalkColumns, r.size);
      copy_upper(r, begin, end, diagonal.data(), kWalkColumns);
      for (std::int64_t i = 0; i < rows; ++i) block(i, begin, end);
      add_product(errors.data(), rows, begin, end, r, end / kPanel, r.count, sums.data(), r.padded());
    }
  }

  RowBlock sums, errors;
  std::vector<double> diagonal;
};

}  // namespace petrain
