// Products of int8 rows with weights whose scale may change every 32 or more of k: whole tiles of those of 4 bits, and
// what a group of int8 weights adds after the integer product of kernels/int_gemm.hpp.
//
// Weights of 4 bits are packed in panels of 16 columns, each number plus 8, so that it is from 0 to 15: panel[k /
// 8][column][4], a byte with that of k + i in the lower bits and that of k + 4 + i in the upper ones. k is padded to a
// multiple of 32 with eights. Sums of 32 products are within int16: 8 pairs of at most 2 * 15 * 128.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kInt4Panel = 16, kInt4Depth = 32;

// For one panel and every row i < rows, group after group, each operation rounded:
//   sums[i][j] = Σ_g float(Σ_{p in g} a[i][p] (b[j][p] - 8 - zeros[g][j])) * scales[g][j]
struct Int4TileArgs {
  const std::int8_t* a;
  std::ptrdiff_t a_stride;
  const std::int32_t* offsets;   // of the rows, as `prepare_row` makes them, one after the other
  const std::int32_t* row_sums;  // Σ_{p in g} a[i][p], [i][g]; not read where `zeros` is null
  const std::uint8_t* panel;     // aligned to 64 bytes
  const float* scales;           // [g][kInt4Panel]
  const std::int32_t* zeros;     // zero points, [g][kInt4Panel], or null
  float* sums;                   // written up to a multiple of 4 rows; as many of a and of the offsets are there
  std::ptrdiff_t sums_stride;
  std::ptrdiff_t groups;
  std::ptrdiff_t group_size;  // a multiple of kInt4Depth
  int rows;
};

// What a group of int8 weights adds: sums[i][j] += float(products[i][j] - zeros[j] row_sums[i]) * scales[j].
struct AddScaledArgs {
  const std::int32_t* products;  // kInt4Panel of them for a row
  const std::int32_t* zeros;     // null: all zero
  const std::int32_t* row_sums;
  std::ptrdiff_t row_sums_stride;
  const float* scales;
  float* sums;
  std::ptrdiff_t sums_stride;
  int rows;
};

struct GroupedGemmTable {
  // depth / kInt4Depth numbers that take the eight off again.
  void (*prepare_row)(const std::int8_t* a, std::ptrdiff_t depth, std::int32_t* offsets);
  void (*tile)(const Int4TileArgs&);
  void (*add_scaled)(const AddScaledArgs&);
};

}  // namespace petrain::kernels
