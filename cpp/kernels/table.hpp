// All kernels of one instruction set.
#pragma once

#include "optim.hpp"
#include "quant.hpp"
#include "reduce.hpp"

namespace petrain::kernels {

struct KernelTable {
  const char* isa;
  const OptimTable* optim;
  const QuantTable* quant;
  const ReduceTable* reduce;
};

}  // namespace petrain::kernels
