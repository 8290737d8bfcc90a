// Products of int8 matrices with exact int32 sums, C = A Bᵀ for A (m, k) and B (n, k).
//
// B is packed once, in panels of 16 columns of C: panel[k / 4][column][4], zeros up to a multiple of 8 in k and of 16
// in columns. A row of A is contiguous, in the form that `prepare_row` gives it. What a route adds to A, to use the
// processor's u8 × s8 instruction, it takes off again with the sums of B's columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kPanel = 16;     // columns
constexpr int kDepthStep = 8;  // the packed k is a multiple of it
constexpr int kMostRows = 64;  // of a call
constexpr int kRowStep = 8;    // rows are there, whatever their values, up to a multiple of it

// For one panel: sums[i][j] = Σ_p a[i][p] b[j][p].
struct IntTileArgs {
  const void* a;                    // prepared rows
  std::ptrdiff_t a_stride;          // bytes between them
  const std::int8_t* panel;         // aligned to 64 bytes
  const std::int32_t* column_sums;  // Σ_p b[j][p]
  std::int32_t* sums;               // kPanel of them for a row, written up to the row step
  std::ptrdiff_t sums_stride;       // elements
  std::ptrdiff_t k;
  int rows;
};

struct IntRoute {
  int a_bytes;  // of a prepared element
  void (*prepare_row)(const std::int8_t* row, std::ptrdiff_t k, void* prepared);
  void (*tile)(const IntTileArgs&);
};

// What was taken off the columns of a panel: sums[i][j] += Σ_e a[i][k[e]] values[e], e from first[j] to first[j + 1],
// which are multiples of 4; values from -64 to 64.
struct ExcessArgs {
  const std::int8_t* transposed;  // rows of A, [k][kMostRows], as `transpose` makes it
  const std::int32_t* k;
  const std::int8_t* values;
  const std::int32_t* first;  // kPanel + 1
  std::int32_t* sums;
  std::ptrdiff_t sums_stride;
  int rows;
};

// Eight numbers of a row of A, some of them 0, and which eight of B's they meet.
struct RowEight {
  std::int32_t index;
  std::int8_t a[kDepthStep];
};

// sums[j] = Σ_p a[p] b[j][p] for the columns of consecutive panels of b + 128.
struct RowArgs {
  const RowEight* steps;
  std::ptrdiff_t step_count;
  const std::uint8_t* panels;
  std::ptrdiff_t panel_count;
  std::ptrdiff_t k;
  std::int32_t row_sum;  // Σ_p a[p]
  std::int32_t* sums;
};

struct IntGemmTable {
  IntRoute wide;    // exact for every int8
  IntRoute narrow;  // the fastest one, which may be the same
  // Whether `narrow` is exact only if in every column, for p = 0, 8, 16, …, the four numbers at p + {0, 1, 4, 5} and
  // those at p + {2, 3, 6, 7} have positive ones that add up to no more than 128, and negative ones to no less than
  // -128. What is beyond must be taken off and added by `add_excess`. Else both functions are null.
  bool limited;
  void (*transpose)(const std::int8_t* rows, std::ptrdiff_t stride, int count, std::ptrdiff_t k,
                    std::int8_t* transposed);
  void (*add_excess)(const ExcessArgs&);
  // One row, where reading B is the limit: the product takes the panels of the numbers b + 128. Both null where
  // `narrow` does that as fast.
  std::ptrdiff_t (*row_steps)(const std::int8_t* row, std::ptrdiff_t k,
                              RowEight* steps);  // how many; at most k / 2 + 4
  void (*row)(const RowArgs&);
};

}  // namespace petrain::kernels
