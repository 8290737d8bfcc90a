// What GaLore and APOLLO share: an elementwise rule that steps a gradient of low rank in the place of the full one.
//
// The wrapped rule sees the projected gradient R, a parameter of zeros, a learning rate of 1 and no weight decay; what
// it makes of the zeros is its direction D. The full parameter W takes both, the decay decoupled whatever the rule
// does:
//   W = W + lr lift(D) - lr weight_decay W.
#pragma once

#include <array>

#include "pieces.hpp"
#include "src/rule_list.hpp"

namespace petrain::matrix {

constexpr const char* kProjTypes = "std reverse_std left right";

// Which side of an m × n matrix is projected: R is rank × n on the left, m × rank on the right.
struct Projection {
  bool left;
  std::int64_t m, n, rank;

  std::int64_t projected() const { return left ? m : n; }
  std::int64_t kept() const { return left ? n : m; }
  Shape low_shape() const { return left ? Shape{rank, n} : Shape{m, rank}; }
};

class Projected : public MatrixRule {
 public:
  Projected(std::string prefix, const Rule& base, int base_index);

  std::string name() const override { return prefix_ + base_.info.name; }
  std::vector<kernels::Hyper> hypers() const override;
  std::vector<kernels::Memory> memory() const override;
  void check(const Shape& shape, const double* hypers, const std::string& what) const override;

 protected:
  // Its own hyperparameters are after the base's: rank, update_proj_gap, scale and proj_type, then own_hypers().
  enum Own : std::uint8_t { rank, update_proj_gap, scale, proj_type, further };
  virtual double default_rank() const = 0;
  virtual double default_scale() const = 0;
  virtual std::vector<kernels::Hyper> own_hypers() const { return {}; }
  virtual std::vector<kernels::Memory> own_memory() const = 0;

  double own(const double* hypers, std::size_t index) const { return hypers[base_hypers_ + index]; }
  double* own_numbers(const MatrixStep& step) const { return step.memory + base_.memory.size(); }
  double lr(const double* hypers) const { return hypers[lr_]; }
  double decay(const double* hypers) const { return weight_decay_ < 0 ? 0 : lr(hypers) * hypers[weight_decay_]; }
  Projection projection(const Shape& shape, const double* hypers) const;
  // The base's states of R.
  std::vector<StateSpec> base_states(const Projection& projection, const double* hypers) const;
  // D, with the base's states from `first_state` on.
  Tensor low_direction(const MatrixStep& step, const Tensor& low_gradient, std::size_t first_state) const;

 private:
  std::string prefix_;
  Rule base_;
  int base_index_;
  std::size_t base_hypers_;  // without "maximize"
  int lr_ = -1, weight_decay_ = -1;
};

// Whether the rule's step follows the gradient alone, but for weight decay.
bool can_be_projected(const Rule& rule);

}  // namespace petrain::matrix
