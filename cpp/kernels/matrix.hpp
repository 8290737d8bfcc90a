// What the rules that see a tensor as a matrix need beside products of matrices: all in float32, whatever is stored.
#pragma once

#include <cstddef>

#include "isa.hpp"
#include "optim.hpp"

namespace petrain::kernels {

struct ReadArgs {
  const void* from;  // from its first element
  Storage storage;
  std::ptrdiff_t begin, size;
  double scale, max_value;  // as in StepArgs; float64 is scaled before it is rounded
  float* to;                // size elements
};

// Adds the squares of a block of a matrix to its rows' and its columns' sums.
struct SquaresArgs {
  const float* x;
  std::ptrdiff_t rows, cols;  // without a gap between rows
  double *row_sums, *col_sums;
};

// Elements from `begin` on of a stack of matrices.
struct ScaleArgs {
  float* x;  // element `begin` comes first
  std::ptrdiff_t begin, size;
  std::ptrdiff_t rows, cols;  // of each matrix
  const float* row_factors;   // one for each row of the stack
  const float* col_factors;   // `cols` for each matrix
  float most;
};

// m = momentum m + gradient x, and x becomes keep x + look_ahead m.
struct MomentumArgs {
  float* x;         // element `begin` comes first
  StateArgs state;  // from its first element
  std::ptrdiff_t begin, size;
  float momentum, gradient, keep, look_ahead;
  std::uint32_t key;  // of the random numbers that a state of few bits is rounded with
};

// v = keep v + add x², and x becomes x · min(1 / √v, most).
struct VarianceArgs {
  float *x, *v;
  std::ptrdiff_t size;
  float keep, add, most;
};

struct MatrixTable {
  void (*read)(const ReadArgs&);
  void (*squares)(const SquaresArgs&);
  double (*scale)(const ScaleArgs&);  // x_ij · min(row_i col_j, most); gives the sum of its squares
  void (*momentum)(const MomentumArgs&);
  double (*variance)(const VarianceArgs&);  // gives Σ x²
};

}  // namespace petrain::kernels
