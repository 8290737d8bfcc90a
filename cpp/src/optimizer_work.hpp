// What the two halves of a step share: elementwise rules (optimizer_step.cpp) and matrix rules (optimizer_matrix.cpp).
#pragma once

#include <array>
#include <vector>

#include "kernels/optim.hpp"
#include "petrain/optim.hpp"
#include "rule_list.hpp"

namespace petrain {

// Everything about a step that is known before gradients are read.
struct Optimizer::Work {
  struct PerParam {
    kernels::StepArgs args{};
    int rule = 0, precision = 0;  // of the kernel table
    bool present = true, matrix = false;
    double norm = 0;                           // of a matrix rule's gradient as it is
    std::array<double, kMostMemory> memory{};  // after the step
  };
  std::vector<PerParam> params;
  std::vector<CoefficientBytes> coefficients;
  bool layerwise = false, matrices = false;
  std::vector<Tensor> added_up;  // gradients by rows in which a row came twice
  std::vector<Chunk> by_rows;    // in the place of the optimizer's own chunks, where a gradient is given by rows
};

}  // namespace petrain
