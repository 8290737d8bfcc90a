// Float32 matrix products in packed panels (Goto, van de Geijn, Anatomy of High-Performance Matrix
// Multiplication, ACM TOMS 34, 2008). Compiled with contraction, as sparse.cpp is: for one instruction set the
// result is fixed, between instruction sets it differs in the last bits.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

// k steps of one block. A is packed in panels of `mr` rows and B in panels of `nr` columns, k-major, padded with
// zeros to whole panels.
struct PackArgs {
  const float* source;
  std::ptrdiff_t stride;    // between rows of A or columns of B
  std::ptrdiff_t k_stride;  // between consecutive k
  std::ptrdiff_t count;     // rows of A or columns of B
  std::ptrdiff_t k;
  float* packed;
};

struct BlockArgs {
  const float* a;  // packed, or where it lies
  const float* b;  // packed
  float* c;
  std::ptrdiff_t c_stride;
  std::ptrdiff_t m, n, k;
  bool accumulate;          // C += A B instead of C = A B
  std::ptrdiff_t a_stride;  // of one that is not packed: between its rows, or between consecutive k
};

constexpr std::ptrdiff_t kMostColumns = 192;

struct GemmTable {
  int mr, nr;
  void (*pack_a)(const PackArgs&);
  void (*pack_b)(const PackArgs&);
  // The same bits for all of them. Packing A costs more than it saves where B has few columns.
  void (*block)(const BlockArgs&);
  void (*block_of_rows)(const BlockArgs&);     // A's rows are contiguous
  void (*block_of_columns)(const BlockArgs&);  // A's columns are; m is at most kMostColumns
};

}  // namespace petrain::kernels
