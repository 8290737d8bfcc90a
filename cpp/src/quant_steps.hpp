// A layer's product with few rows, again and again, as a recurrent layer needs it.
#pragma once

#include <cstdint>
#include <memory>

#include "petrain/quant_linear.hpp"
#include "quant_product.hpp"
#include "quant_rows.hpp"

namespace petrain {

// In memory that is taken once, on the calling thread unless it is told to use all: for few rows of few numbers,
// taking memory costs more than the product.
class QuantSteps {
 public:
  QuantSteps(const QuantLinear& layer, std::int64_t most_rows, bool all_threads);

  // x (m, K), finite, m ≤ most_rows -> y (m, N), the bytes of QuantLinear::forward. bias: float32 (N,), or no data.
  void run(const float* x, std::int64_t m, const ConstTensorView& bias, float* y);

 private:
  const QuantLinear& layer_;
  std::unique_ptr<QuantRows> rows_;    // which blocks_ refers to
  std::unique_ptr<RowBlocks> blocks_;  // null: over all threads
};

}  // namespace petrain
