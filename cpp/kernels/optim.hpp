// Fused update loops: one table entry per rule and precision of computation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fake_quant.hpp"
#include "isa.hpp"
#include "rules.hpp"
#include "storage.hpp"

namespace petrain::kernels {

// How a parameter of 16 bits takes an update smaller than its own step.
enum class Rounding : std::uint8_t {
  nearest,
  stochastic,
  kahan,   // `extra` holds what was cut, in the parameter's own type
  master,  // `extra` holds the parameter in float32
};

struct StateArgs {
  void* data;
  float* scale;  // of code8: one for each 64 elements
  Storage storage;
  StateKind kind;
};

// All arrays are given from their first element.
struct StepArgs {
  void* param;
  const void* grad;
  void* extra;
  StateArgs state[kMaxStates];
  Storage param_storage, grad_storage;
  Rounding rounding;
  std::ptrdiff_t begin, size;  // the part of the tensor; begin is a multiple of 64 where states are in codes
  std::ptrdiff_t grad_begin;   // where that part begins in the gradient: elsewhere for rows of a sparse one
  double grad_scale;           // what every gradient is multiplied with: unscaling, clipping, mean of an accumulation
  double max_value;            // then clamped to ± this
  double trust;                // layerwise rules
  const void* coefficients;    // Rule::Coefficients<T>
  std::uint32_t key;           // of the random numbers of this step and tensor
  // Of a float32 parameter that is trained as its fake-quantized copy, or null. `slots` are the chunk's.
  const StepFakeQuant* fake_quant;
  double* slots;
};

// The key of a state's random numbers, from that of the parameter's.
constexpr std::uint32_t state_key(std::uint32_t key, int state) {
  return key + 0x9e3779b9u * static_cast<std::uint32_t>(state + 1);
}

// What a layerwise rule wants to know of a tensor: Σ p² and Σ direction² in float64.
struct LayerSums {
  double param, direction;
};

struct AccumulateArgs {
  void* sum;         // from its first element
  const void* grad;  // from its first element
  Storage grad_storage;
  std::ptrdiff_t begin, size;
  float weight;
  bool first;                          // sum = weight grad instead of sum += weight grad
  Storage sum_storage = Storage::f32;  // or, where begin is a multiple of 64, sum_bf16 or sum_code8
  std::uint32_t key = 0;               // of the random numbers of this micro-batch and tensor
};

struct OptimTable {
  void (*step[kRuleCount][2])(const StepArgs&);         // [1] computes in float64, else in float32
  LayerSums (*direct[kRuleCount][2])(const StepArgs&);  // null where the rule is not layerwise
  void (*accumulate)(const AccumulateArgs&);
};

}  // namespace petrain::kernels
