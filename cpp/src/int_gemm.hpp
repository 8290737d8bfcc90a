// The exact integer product over all threads. What goes in and what comes out is given as functions, so that
// quantizing rows and scaling sums happen while a block is in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "int_pack.hpp"

namespace petrain {

// The sums of rows [row, row + rows) and columns [column, column + columns).
struct SumsBlock {
  const std::int32_t* sums;
  std::int64_t stride;
  std::int64_t row, rows, column, columns;
};

struct IntProduct {
  std::int64_t m;
  // Writes row i of A, k numbers; may be called more than once for a row.
  std::function<void(std::int64_t i, std::int8_t* to)> row;
  // Called once for every block, from several threads.
  std::function<void(const SumsBlock&)> done;
};

void int_product(const IntProduct& product, const IntMatrix& b);

}  // namespace petrain
