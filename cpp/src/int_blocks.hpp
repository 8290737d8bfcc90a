// A product C (m, n) cut into blocks over all threads. Sums are given to a function block by block, so that they become
// results while they are in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/int_gemm.hpp"
#include "threads.hpp"

namespace petrain {

// Rows [row, row + rows) and columns [column, column + columns) of a product, in scratch that its receiver may change.
// T: int32, or float.
template <class T>
struct Block {
  T* sums;
  std::int64_t stride;
  std::int64_t row, rows, column, columns;
};

constexpr std::int64_t kBlockColumns = 64;  // the most that a block has, in whole panels
constexpr std::int64_t kBlockElements = kernels::kMostRows * kBlockColumns;

struct BlockGrid {
  // Of C, each of whose elements is a sum of k products; most_rows: of a block.
  BlockGrid(std::int64_t rows, std::int64_t columns, std::int64_t k, std::int64_t most_rows = kernels::kMostRows,
            bool all_threads = true);

  std::int64_t m, n;
  int threads;
  std::int64_t height, column_blocks;
  std::int64_t width;  // in blocks, of the shares that threads get whole
  std::int64_t shares;
};

// Those blocks of some shares. Rows: what one thread has of A and B,
//   fill(row, rows)   gets ready the rows of the next blocks,
//   multiply(block)   sets the sums of a block, and may write to those of more rows, up to a multiple of kRowStep.
template <class T, class Rows, class Done>
void run_blocks(const BlockGrid& grid, const ChunkRange& shares, Rows& rows, Done&& done) {
  alignas(64) T sums[kBlockElements];
  std::int64_t filled = -1;
  for (std::int64_t share = shares.begin; share < shares.end; ++share) {
    const std::int64_t first = share * grid.width % grid.column_blocks;
    const std::int64_t row = share * grid.width / grid.column_blocks * grid.height;
    const std::int64_t count = std::min(grid.height, grid.m - row);
    if (row != filled) rows.fill(row, count);
    filled = row;
    for (std::int64_t c = first; c < first + grid.width; ++c) {
      const std::int64_t column = c * kBlockColumns, columns = std::min(kBlockColumns, grid.n - column);
      const Block<T> block{sums, kBlockColumns, row, count, column, columns};
      rows.multiply(block);
      done(block);
    }
  }
}

// All blocks, each once. make(height) gives a pointer to the Rows of a thread, for up to so many rows, and is called on
// the calling thread; `done` is called from several.
template <class T, class Make, class Done>
void for_each_block(const BlockGrid& grid, Make&& make, Done&& done) {
  std::vector<decltype(make(grid.height))> of_threads;
  of_threads.reserve(static_cast<std::size_t>(grid.threads));
  for (int i = 0; i < grid.threads; ++i) of_threads.push_back(make(grid.height));
  parallel(grid.threads, [&](const Team& team) {
    run_blocks<T>(grid, team.share(grid.shares), *of_threads[static_cast<std::size_t>(team.rank)], done);
  });
}

}  // namespace petrain
