// What the parts of a step share: what is known before gradients are read (optimizer_prepare.cpp, optimizer_rows.cpp),
// what their norms say (optimizer_judge.cpp), elementwise rules (optimizer_step.cpp), matrix rules
// (optimizer_matrix.cpp).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/optim.hpp"
#include "petrain/optim.hpp"
#include "rule_list.hpp"

namespace petrain {

// Everything about one step: what is known before gradients are read, and what their norms say.
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
  bool zeroes_last = false;      // where gradients share memory, none is zeroed before all are read
  double scale = 1;              // of the gradients
  std::vector<Tensor> added_up;  // gradients by rows in which a row came twice
  std::vector<Chunk> by_rows;    // in the place of the optimizer's own chunks, where a gradient is given by rows

  std::vector<double> squares;           // sums of a chunk's gradients as they are
  std::vector<kernels::LayerSums> sums;  // of a chunk, where a rule is layerwise
  double clip = 1;                       // a factor beside scale
  StepInfo info;

  bool flushes() const;  // whether denormals count as zero
};

// Whether the gradient of this parameter comes by rows.
bool is_by_rows(const StepOptions& options, std::size_t param);

// Throws unless the rows are rows of the parameter and the gradient has one for each.
void check_rows(const ConstTensorView& param, const ConstTensorView& grad, Rows rows, const std::string& what);

}  // namespace petrain
