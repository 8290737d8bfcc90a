// The update rules as the baseline code sees them: one entry per rule of kernels/rules.hpp, whose index is that of
// the kernel table, and then the matrix rules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/rules.hpp"
#include "matrix_rules/matrix_rule.hpp"
#include "petrain/optim.hpp"

namespace petrain {

// The coefficients of one step as bytes: each rule and precision has its own type.
struct alignas(16) CoefficientBytes {
  unsigned char bytes[128];
};

struct Rule {
  RuleInfo info;
  std::vector<kernels::Hyper> hypers;  // the last one is "maximize", which every rule has
  std::vector<kernels::State> states;  // elementwise rules only: see states_of
  std::vector<kernels::Memory> memory;
  CoefficientBytes (*prepare[2])(const double* hypers, double step, double* memory);  // [1] for float64
  double (*trust)(const double* hypers, double param_norm, double direction_norm);    // null: not layerwise
  std::shared_ptr<const MatrixRule> matrix;  // null: elementwise; else it takes the place of prepare and trust
};

const std::vector<Rule>& rule_list();

// std::invalid_argument, which lists the rules, where there is none of this name.
int find_rule(const std::string& name);

// The state tensors of a parameter of this shape.
std::vector<StateSpec> states_of(const Rule& rule, const Shape& shape, const double* hypers);

// std::invalid_argument, which lists the rule's hyperparameters, where there is none of this name.
std::size_t find_hyper(const Rule& rule, const std::string& name);

// std::invalid_argument where the value is not in the hyperparameter's range.
void check_range(const kernels::Hyper& hyper, double value);

}  // namespace petrain
