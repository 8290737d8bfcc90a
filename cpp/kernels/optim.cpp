#include "optim.hpp"

namespace petrain::kernels {
namespace {

template <class Rule>
void step(const StepArgs& args) {
  constexpr int n = Rule::state_count;
  const auto c = *static_cast<const typename Rule::template Coefficients<float>*>(args.coefficients);
  float* __restrict param = args.param;
  const float* __restrict grad = args.grad;
  float* __restrict state0 = n > 0 ? args.state[0] : nullptr;
  float* __restrict state1 = n > 1 ? args.state[1] : nullptr;
  const float scale = args.grad_scale;
  const std::ptrdiff_t size = args.size;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    float s[kMaxStates];
    if constexpr (n > 0) s[0] = state0[i];
    if constexpr (n > 1) s[1] = state1[i];
    float p = param[i];
    Rule::update(c, p, grad[i] * scale, s);
    param[i] = p;
    if constexpr (n > 0) state0[i] = s[0];
    if constexpr (n > 1) state1[i] = s[1];
  }
}

void accumulate(const AccumulateArgs& args) {
  float* __restrict sum = args.sum;
  const float* __restrict grad = args.grad;
  const float weight = args.weight;
  const std::ptrdiff_t size = args.size;
  if (args.first) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) sum[i] = weight * grad[i];
  } else {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) sum[i] += weight * grad[i];
  }
}

}  // namespace

#define PETRAIN_X(Rule) step<Rule>,
extern const OptimTable PETRAIN_TABLE(optim) = {{PETRAIN_FOR_EACH_RULE(PETRAIN_X)}, accumulate};
#undef PETRAIN_X

}  // namespace petrain::kernels
