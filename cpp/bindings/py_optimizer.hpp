#pragma once

#include <memory>
#include <vector>

#include "arrays.hpp"
#include "petrain/optim.hpp"

namespace petrain::python {

// An optimizer and the arrays that it updates.
struct PyOptimizer {
  std::vector<ArrayRef> params;
  std::unique_ptr<Optimizer> core;
};

}  // namespace petrain::python
