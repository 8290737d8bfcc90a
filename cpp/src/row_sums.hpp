// A bias and its gradient: one row added to many, and many added to one.
#pragma once

#include <cstdint>

#include "isa.hpp"

namespace petrain {

// y (rows, n) += bias (n,) in each row; nothing where there is none.
inline void add_bias(float* y, std::int64_t rows, std::int64_t n, const float* bias) {
  for (std::int64_t i = 0; i < rows && bias != nullptr; ++i) active_kernels().nn->add_bias(y + i * n, bias, n);
}

// sum (n,) += the rows of dy (rows, n), one after the other.
inline void add_rows(const float* dy, std::int64_t rows, std::int64_t n, float* sum) {
  for (std::int64_t i = 0; i < rows; ++i) active_kernels().nn->add_bias(sum, dy + i * n, n);
}

}  // namespace petrain
