#pragma once

#include <map>
#include <memory>
#include <vector>

#include "arrays.hpp"
#include "petrain/optim.hpp"

namespace petrain::python {

// An optimizer and the arrays that it updates.
struct PyOptimizer {
  std::vector<ArrayRef> params;
  std::map<std::size_t, std::vector<ArrayRef>> copies;  // what steps write for fake-quantized copies of them
  std::unique_ptr<Optimizer> core;
};

}  // namespace petrain::python
