// What the parts of a step share: what is known before gradients are read (optimizer_prepare.cpp, optimizer_rows.cpp),
// what their norms say (optimizer_judge.cpp), elementwise rules (optimizer_step.cpp), matrix rules
// (optimizer_matrix.cpp), fake-quantized copies (optimizer_fake_quant.cpp).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/optim.hpp"
#include "petrain/optim.hpp"
#include "rule_list.hpp"
#include "scale_sums.hpp"
#include "threads.hpp"

namespace petrain {

// Everything about one step: what is known before gradients are read, and what their norms say.
struct Optimizer::Work {
  struct PerParam {
    kernels::StepArgs args{};
    int rule = 0, precision = 0;  // of the kernel table
    bool present = true, matrix = false;
    bool early = false;       // the scale of a fake-quantized copy: before what is written with it
    bool keeps_grad = false;  // where a step leaves the gradient of such a scale, which zero_grads must not take away
    double norm = 0;          // of a matrix rule's gradient as it is
    std::array<double, kMostMemory> memory{};  // after the step
  };
  std::vector<PerParam> params;
  std::vector<CoefficientBytes> coefficients;
  bool layerwise = false, matrices = false;
  bool zeroes_last = false;  // where gradients share memory, none is zeroed before all are read
  double scale = 1;          // of the gradients
  double sums_scale = 1;     // the part of it that makes an accumulator's sums a mean
  std::vector<FakeQuant*> fake_quants;
  std::vector<Tensor> added_up;  // gradients by rows in which a row came twice
  std::vector<Chunk> by_rows;    // in the place of the optimizer's own chunks, where a gradient is given by rows

  std::vector<double> squares;           // sums of a chunk's gradients as they are
  std::vector<kernels::LayerSums> sums;  // of a chunk, where a rule is layerwise
  double clip = 1;                       // a factor beside scale
  StepInfo info;

  // Called by all of a team: before the scales move, after that, and when all gradients were taken.
  void keep_scales(const Team& team) const;
  void bound_scales(const Team& team) const;
  void finish_scale_gradients(const Team& team) const;

  bool flushes() const;  // whether denormals count as zero
};

// A parameter that is trained as its copy.
struct Optimizer::FakeQuant {
  FakeQuantized copy;
  Tensor scale;  // with which the copy was made
  ScaleSums sums;
  kernels::StepFakeQuant args;
  double factor;
  float largest_scale;
};

// Whether the gradient of this parameter comes by rows.
bool is_by_rows(const StepOptions& options, std::size_t param);

// Throws unless the rows are rows of the parameter and the gradient has one for each.
void check_rows(const ConstTensorView& param, const ConstTensorView& grad, Rows rows, const std::string& what);

}  // namespace petrain
