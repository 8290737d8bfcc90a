// Float32 products with weights whose outputs share their positions in groups: step s of a group holds one number for
// each of its outputs, which meet column positions[s] of the inputs. Compiled with contraction, as gemm.cpp: for one
// instruction set the result is fixed. Every sum takes the steps one after the other, whatever the number of rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.hpp"

namespace petrain::kernels {

constexpr int kMostTogether = 4;  // groups in one call

// The steps of a group, or some of them.
struct SparseSteps {
  const float* values;  // (count, group)
  const std::int32_t* positions;
  std::ptrdiff_t count;
};

// y (rows, together · group) = or += x wᵀ, x packed as [column][rows].
struct SparseRowsArgs {
  const float* x;
  const SparseSteps* groups;
  float* y;
  std::ptrdiff_t y_stride;
  int rows, together;
  bool accumulate;
};

// y (together · group, lanes) the same for small groups, transposed: x as [column][lanes].
struct SparseLanesArgs {
  const float* x;
  const SparseSteps* groups;
  float* y;
  int lanes, together, group;
};

// The gradients of one group. dx: [column][kGradientLanes] += Σ_r values[s][r] g[r], for g as [output][kGradientLanes].
constexpr int kGradientLanes = 16;
struct SparseInputGradientArgs {
  SparseSteps steps;
  const float* g;
  float* dx;
  int group;
};

// gradient (count, group) = Σ_i x[position][i] g[i], x as [column][rows], g as [row][group].
struct SparseValueGradientArgs {
  const std::int32_t* positions;
  std::ptrdiff_t count;
  const float* x;
  const float* g;
  float* gradient;
  std::ptrdiff_t rows;
  int group;
};

struct SparseTable {
  int (*most_rows)(int group);   // of a call, for groups of 4, 8 and 16
  int lane_step;                 // lanes are a multiple of it, up to most_lanes
  int (*most_lanes)(int group);  // for groups of 1, 2 and 4
  void (*rows)(const SparseRowsArgs&, int group);
  void (*lanes)(const SparseLanesArgs&);
  void (*input_gradient)(const SparseInputGradientArgs&);
  void (*value_gradient)(const SparseValueGradientArgs&);
};

}  // namespace petrain::kernels
