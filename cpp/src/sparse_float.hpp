// Products of rows of float32 with a sparse weight.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/sparse.hpp"
#include "petrain/sparse.hpp"
#include "sparse_steps.hpp"

namespace petrain {

class SparseFloat {
 public:
  // They outlive this; the steps are those of steps_of(weight).
  SparseFloat(const SparseTensor& weight, const StepIndex& steps);

  // y = x wᵀ + bias, if that is not null.
  void forward(const float* x, std::int64_t rows, float* y, const float* bias) const;
  void backward_input(const float* dy, std::int64_t rows, float* dx) const;  // dx = dy w
  void backward_values(const float* dy, const float* x, std::int64_t rows, float* gradient) const;

 private:
  void forward_rows(const float* x, std::int64_t rows, float* y) const;
  void forward_lanes(const float* x, std::int64_t rows, float* y) const;
  // The steps of a group whose inputs are first … last - 1.
  kernels::SparseSteps steps(std::int64_t g, std::int64_t first, std::int64_t last) const;

  std::int64_t group_, groups_, n_, k_;
  const float* values_;
  const std::vector<std::int32_t>& positions_;
  const std::vector<std::int64_t>& starts_;
};

}  // namespace petrain
