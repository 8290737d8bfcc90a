// The options of a step as Python gives them.
#pragma once

#include <optional>

#include "petrain/optim.hpp"

namespace petrain::python {

inline StepOptions options_from(std::optional<double> max_norm, double grad_scale, std::optional<double> max_value,
                                bool zero_grads, bool check_finite) {
  StepOptions options{.grad_scale = grad_scale, .zero_grads = zero_grads, .check_finite = check_finite};
  if (max_norm) options.max_norm = *max_norm;
  if (max_value) options.max_value = *max_value;
  return options;
}

}  // namespace petrain::python
