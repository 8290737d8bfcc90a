// What happens to a row of a product before it is written.
#pragma once

#include <cstdint>

#include "int_gemm.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain {

class Epilogue {
 public:
  // n: channels of y. Throws std::invalid_argument where y is not of this shape, or not int8 or float32 as the options
  // want it, or what the options hold does not fit.
  Epilogue(const TensorView& y, const Shape& shape, std::int64_t n, const LinearOptions& options);

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

// In place, as the options say: activation, clip.
void activate(float* values, std::int64_t size, Activation activation, const std::optional<Clip>& clip);

// Throws std::invalid_argument where the largest scales of x and w, and sums of k products, could give an infinite y,
// or one so large that the bias could make it so before it becomes int8.
void require_finite_scales(float x_scale, float w_scale, std::int64_t k, bool to_int8);

}  // namespace petrain
