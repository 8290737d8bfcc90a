// Update rules and gradient accumulation, in place on the caller's parameters.
//
//   std::vector<petrain::ParamGroup> groups = {{"adamw", {{"lr", 1e-3}}, parameters}};
//   petrain::Optimizer optimizer(std::move(groups));
//   petrain::StepInfo info = optimizer.step(gradients, {.max_norm = 1.0});
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "petrain/tensor.hpp"

namespace petrain {

struct RuleInfo {
  std::string name;
  std::map<std::string, double> hypers;  // with their defaults
  std::vector<std::string> states;       // tensors that the rule keeps for each parameter
};

// Every update rule that this build has.
const std::vector<RuleInfo>& rules();

struct ParamGroup {
  std::string rule;
  std::map<std::string, double> hypers;  // those that are missing take the rule's default
  std::vector<TensorView> params;        // float32; the memory must outlive the optimizer
};

struct StepOptions {
  double max_norm = std::numeric_limits<double>::infinity();  // global gradient norm to clip to
};

struct StepInfo {
  double grad_norm = 0;  // global norm of the gradients before clipping
  bool skipped = false;  // a gradient was NaN or infinite: nothing was changed
};

// Sums weighted micro-batch gradients; an optimizer's step takes their mean Σ wᵢ gᵢ / Σ wᵢ.
class GradAccumulator {
 public:
  explicit GradAccumulator(std::vector<Shape> shapes);

  // Adds weight * gradients, weight from 1e-30 to 1e30. Returns false, and changes nothing, where a gradient is NaN
  // or infinite.
  bool add(std::span<const ConstTensorView> grads, double weight = 1.0);
  void reset();

  std::int64_t count() const { return count_; }  // micro-batches since the last reset
  double weight() const { return weight_; }      // Σ wᵢ since the last reset
  std::span<const ConstTensorView> sums() const { return views_; }
  std::vector<Tensor> mean() const;

 private:
  std::vector<Tensor> sums_;
  std::vector<ConstTensorView> views_;
  std::int64_t count_ = 0;
  double weight_ = 0;
};

class Optimizer {
 public:
  // Throws std::invalid_argument where a rule, a hyperparameter or a parameter is not usable.
  explicit Optimizer(std::vector<ParamGroup> groups);

  // One update of every parameter, gradients in the order of the parameters. All or nothing: where a gradient is
  // not finite, no parameter, state or step count changes and the result says so.
  StepInfo step(std::span<const ConstTensorView> grads, const StepOptions& options = {});
  // The same with the accumulated mean; resets the accumulator.
  StepInfo step(GradAccumulator& accumulated, const StepOptions& options = {});

  std::size_t group_count() const { return groups_.size(); }
  std::size_t param_count() const { return params_.size(); }
  const RuleInfo& rule(std::size_t group) const;
  double hyper(std::size_t group, const std::string& name) const;
  void set_hyper(std::size_t group, const std::string& name, double value);

  std::size_t group_of(std::size_t param) const { return params_.at(param).group; }
  const Shape& shape(std::size_t param) const { return params_.at(param).view.shape; }
  std::int64_t steps(std::size_t param) const { return params_.at(param).steps; }
  void set_steps(std::size_t param, std::int64_t steps);
  // State tensor number `state` of RuleInfo::states; written to in order to resume.
  TensorView state(std::size_t param, std::size_t state);

 private:
  struct Group {
    int rule;
    std::vector<double> hypers;
  };
  struct Param {
    TensorView view;
    std::size_t group;
    std::int64_t steps;
    std::vector<Tensor> states;
  };
  struct Chunk {
    std::size_t param;
    std::int64_t begin, size;
  };

  StepInfo step_scaled(std::span<const ConstTensorView> grads, double scale, const StepOptions& options);
  std::size_t hyper_index(std::size_t group, const std::string& name) const;
  void sort_by_address();
  void check_apart(const ConstTensorView& grad, std::size_t index) const;

  std::vector<Group> groups_;
  std::vector<Param> params_;
  std::vector<Chunk> chunks_;
  std::vector<std::size_t> by_address_;  // parameters in the order of their memory
};

}  // namespace petrain
