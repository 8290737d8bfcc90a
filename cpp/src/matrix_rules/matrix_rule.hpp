// A rule that sees a tensor as a matrix: it needs sums, products or a decomposition of the whole tensor before it can
// write one element, so it takes one tensor after the other instead of chunks of all. Parameters and gradients may be
// stored in any type, the rule computes in float32.
//
// To add one: a class in a file of its own, which make_matrix_rules lists; a Python class, a reference in
// tests/reference/optim_matrix.py.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/optim.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

struct Rule;

struct StateSpec {
  std::string name;
  kernels::StateKind kind;
  Shape shape;
  double initial = 0;  // every element, before the first step
};

inline double initial_of(const kernels::State& state, const double* hypers) {
  return state.initial < 0 ? 0 : hypers[state.initial];
}

// One step of one tensor, which is not empty. Nothing that a step does may throw, but for want of memory: other
// tensors have been written.
struct MatrixStep {
  kernels::StepArgs args;  // parameter, gradient and what is done to both; without states and coefficients
  const Shape& shape;
  const double* hypers;
  double step;           // 1, 2, …
  double norm;           // of the gradient times args.grad_scale, at most kMostNorm
  bool flush;            // take denormals for zero
  std::uint64_t random;  // a number of this tensor and step alone
  std::span<Tensor> states, scales;
  double* memory;
};

// A gradient with a larger norm counts as one that is not finite: its squares would leave float32.
constexpr double kMostNorm = 1e18;

class MatrixRule {
 public:
  virtual ~MatrixRule() = default;
  virtual std::string name() const = 0;
  virtual std::vector<kernels::Hyper> hypers() const = 0;  // what they are is checked; "maximize" follows them
  virtual std::vector<kernels::Memory> memory() const { return {}; }
  // std::invalid_argument where the rule cannot update a parameter of this shape, which `what` names.
  virtual void check(const Shape& shape, const double* hypers, const std::string& what) const = 0;
  virtual std::vector<StateSpec> states(const Shape& shape, const double* hypers) const = 0;
  virtual void step(const MatrixStep& step) const = 0;
};

// Every rule of this kind; some wrap an elementwise one.
std::vector<std::shared_ptr<const MatrixRule>> make_matrix_rules(const std::vector<Rule>& elementwise);

}  // namespace petrain
