// The list of update rules. Kernels, bindings, tests and benchmarks iterate over it.
// A rule is a struct in rules/ with
//   name          the name in Python and in state dicts
//   hypers        its hyperparameters: name, default, range
//   states        the names of its state tensors, each of the parameter's shape
//   Coefficients  what the loop needs, in the type T that it computes in
//   prepare       hyperparameters (float64) and step number t = 1, 2, … -> Coefficients
//   update        one element: parameter p, gradient g, states s[0], s[1], …
#pragma once

#include "rules/adagrad.hpp"
#include "rules/adam.hpp"
#include "rules/adamw.hpp"
#include "rules/sgd.hpp"

#define PETRAIN_FOR_EACH_RULE(PETRAIN_X) \
  PETRAIN_X(Sgd)                         \
  PETRAIN_X(SgdMomentum)                 \
  PETRAIN_X(Adagrad)                     \
  PETRAIN_X(Adam)                        \
  PETRAIN_X(AdamW)

namespace petrain::kernels {

#define PETRAIN_X(Rule) Rule##Index,
enum RuleIndex : int { PETRAIN_FOR_EACH_RULE(PETRAIN_X) kRuleCount };
#undef PETRAIN_X

}  // namespace petrain::kernels
