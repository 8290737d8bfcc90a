// What happens to a row of a product before it is written.
#pragma once

#include <cfloat>
#include <cstdint>
#include <string>

#include "int_gemm.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain {

class Epilogue {
 public:
  // n: channels of y. Throws std::invalid_argument where y is not of this shape, not int8 or float32 as the options
  // want it, or in the memory of x, or what the options hold does not fit.
  Epilogue(const ConstTensorView& x, const TensorView& y, const Shape& shape, std::int64_t n,
           const LinearOptions& options);

  // Adds the bias to the values of a block, which it changes, and writes them to y.
  void finish(const Block<float>& block) const;
  // The parts of it that come after the bias: activation and clip, in place; writing to y from element `to` on.
  void activate(float* values, std::int64_t size) const;
  void write(const float* values, std::int64_t to, std::int64_t size) const;
  const float* bias() const { return bias_; }  // null: none

 private:
  TensorView y_;
  std::int64_t n_;
  const float* bias_;
  LinearOptions options_;
};

// The most that a product, a residual and a bias may be each, so that their sum is finite.
constexpr float kMostAddend = FLT_MAX / 4;

// Throws std::invalid_argument where int32 does not hold sums of so many products; `what` has too many.
void require_depth(std::int64_t depth, bool input_zero_points, bool weight_zero_points, const std::string& what);

// Throws std::invalid_argument where sums of k products with these scales, or in groups with that of w alone, could be
// more than that.
void require_finite_products(float x_scale, float w_scale, std::int64_t k, bool in_groups,
                             const std::string& what = "x and w");

}  // namespace petrain
