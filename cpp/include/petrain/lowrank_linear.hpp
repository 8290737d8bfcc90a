// A linear layer whose weight is the product of two thin factors, W = A B. Nothing here depends on the number of
// threads, nor does a row of y on the other rows of x.
#pragma once

#include "petrain/tensor.hpp"

namespace petrain {

struct LowRankLinearOptions {
  float scale = 1;          // of the product of the factors
  ConstTensorView bias{};   // float32 (out,), or without data for none
  bool accumulate = false;  // the result is added to y
};

// y = scale (x Bᵀ) Aᵀ + bias for x (…, in), a (out, rank), b (rank, in) and y (…, out), all float32. Returns
// scale x Bᵀ, (rows, rank), which the backward pass reads. Throws std::invalid_argument where something does not fit.
Tensor low_rank_linear(const ConstTensorView& x, const ConstTensorView& a, const ConstTensorView& b,
                       const TensorView& y, const LowRankLinearOptions& options = {});

struct LowRankGradients {
  Tensor a, b, bias;  // float32, in the shapes of what they are the gradients of
};

// The gradients from that of y, dy (…, out). `inner` is what the forward pass returned; without data it is computed
// again. dx, in the shape of x, gets dy W or, with accumulate, has it added; without data it is not wanted.
LowRankGradients low_rank_linear_backward(const ConstTensorView& dy, const ConstTensorView& x, const ConstTensorView& a,
                                          const ConstTensorView& b, const ConstTensorView& inner, const TensorView& dx,
                                          float scale = 1, bool accumulate = false);

}  // namespace petrain
