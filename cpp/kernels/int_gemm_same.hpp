// For sets that take a row of A as it is.
#pragma once

#include "int_gemm.hpp"

namespace petrain::kernels {
namespace {

void prepare_same(const std::int8_t* row, std::ptrdiff_t k, void* prepared) {
  auto* to = static_cast<std::int8_t*>(prepared);
  __builtin_memcpy(to, row, static_cast<std::size_t>(k));
  for (std::ptrdiff_t p = k; p % kDepthStep != 0; ++p) to[p] = 0;
}

}  // namespace
}  // namespace petrain::kernels
