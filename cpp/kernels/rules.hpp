// The list of update rules. Kernels, bindings, tests and benchmarks iterate over it.
// A rule is a struct in rules/ with
//   name          the name in Python and in state dicts
//   hypers        its hyperparameters: name, default, range
//   states        its state tensors, each of the parameter's shape: name, kind
//   memory        the names of the numbers that it carries from step to step, and their first values
//   Coefficients  what the loop needs, in the type T that it computes in
//   prepare       hyperparameters, step number t = 1, 2, … and memory, all float64 -> Coefficients
//   update        one element: parameter p, gradient g, states s[0], s[1], …
// A rule whose step length follows the norms of a whole tensor (layerwise) has, in the place of update,
//   direction     one element before the norms are known: returns what the norm is taken of
//   trust         from the norms of the parameter and of the direction: the factor of the step
//   apply         one element, with that factor
// One of direction and apply writes the states; the other has them as const T*, and they are not stored again then.
#pragma once

#include "rules/adagrad.hpp"
#include "rules/adam.hpp"
#include "rules/adam_kin.hpp"
#include "rules/adamw.hpp"
#include "rules/ademamix.hpp"
#include "rules/layerwise.hpp"
#include "rules/lion.hpp"
#include "rules/rmsprop.hpp"
#include "rules/schedule_free.hpp"
#include "rules/sgd.hpp"

#define PETRAIN_FOR_EACH_RULE(PETRAIN_X) \
  PETRAIN_X(Sgd)                         \
  PETRAIN_X(SgdMomentum)                 \
  PETRAIN_X(Momentum)                    \
  PETRAIN_X(Adagrad)                     \
  PETRAIN_X(Adadelta)                    \
  PETRAIN_X(Rmsprop)                     \
  PETRAIN_X(RmspropMomentum)             \
  PETRAIN_X(RmspropCentered)             \
  PETRAIN_X(RmspropCenteredMomentum)     \
  PETRAIN_X(Adam)                        \
  PETRAIN_X(AdamAmsgrad)                 \
  PETRAIN_X(AdamW)                       \
  PETRAIN_X(AdamWAmsgrad)                \
  PETRAIN_X(Adamax)                      \
  PETRAIN_X(NAdam)                       \
  PETRAIN_X(RAdam)                       \
  PETRAIN_X(Lion)                        \
  PETRAIN_X(AdEMAMix)                    \
  PETRAIN_X(ScheduleFreeAdamW)           \
  PETRAIN_X(Lars)                        \
  PETRAIN_X(Lamb)

namespace petrain::kernels {

#define PETRAIN_X(Rule) Rule##Index,
enum RuleIndex : int { PETRAIN_FOR_EACH_RULE(PETRAIN_X) kRuleCount };
#undef PETRAIN_X

}  // namespace petrain::kernels
