// Fused update loops: one table entry per rule.
#pragma once

#include <cstddef>

#include "isa.hpp"
#include "rules.hpp"

namespace petrain::kernels {

struct StepArgs {
  float* param;
  const float* grad;
  float* state[kMaxStates];
  std::ptrdiff_t size;
  float grad_scale;          // what every gradient is multiplied with: clipping, mean of an accumulation
  const void* coefficients;  // Rule::Coefficients<float>
};

struct AccumulateArgs {
  float* sum;
  const float* grad;
  std::ptrdiff_t size;
  float weight;
  bool first;  // sum = weight grad instead of sum += weight grad
};

struct OptimTable {
  void (*step[kRuleCount])(const StepArgs&);
  void (*accumulate)(const AccumulateArgs&);
};

}  // namespace petrain::kernels
