// What happens to a row of a product before it is written.
#pragma once

#include <cstdint>

#include "int_gemm.hpp"
#include "petrain/quant_linear.hpp"

namespace petrain {

class Epilogue {
 public:
  // Throws std::invalid_argument where y is not of this shape, or not int8 or float32 as the options want it, or what
  // the options hold does not fit.
  Epilogue(const TensorView& y, const Shape& shape, const LinearOptions& options);

  // Adds the bias to the values of a block, which it changes, and writes them to y.
  void finish(const Block<float>& block) const;

 private:
  TensorView y_;
  std::int64_t n_;
  const float* bias_;
  LinearOptions options_;
};

// In place, as the options say: activation, clip.
void activate(float* values, std::int64_t size, Activation activation, const std::optional<Clip>& clip);

}  // namespace petrain
