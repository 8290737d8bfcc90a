// The weight of a linear layer that is not trained and stays as it is stored, and what low-rank adapters do beside it.
#pragma once

#include "petrain/quant.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// scale A B for factors a (out, rank) and b (rank, in), float32.
struct LowRankUpdate {
  ConstTensorView a, b;
  float scale = 1;
};

// W (out, in) in float32, float16, bfloat16 or integers. It is read as float32, some rows at a time, so that no whole
// copy of it is made; the results are those of a float32 copy to the bit. A view: what it is made of must stay.
class FrozenWeight {
 public:
  explicit FrozenWeight(const ConstTensorView& values);
  explicit FrozenWeight(const QuantTensor& values);

  std::int64_t out_features() const { return shape_[0]; }
  std::int64_t in_features() const { return shape_[1]; }

  void forward(const ConstTensorView& x, const TensorView& y) const;     // y = x Wᵀ for x (…, in), y (…, out)
  void backward(const ConstTensorView& dy, const TensorView& dx) const;  // dx = dy W

  // The Euclidean norms of the rows of W + scale A B: float32 (out,), from float64 sums.
  Tensor row_norms(const LowRankUpdate& update) const;
  // W + scale A B in float32, float16 or bfloat16, where factors, float32 (out,), multiply the rows unless without
  // data.
  Tensor merged(const LowRankUpdate& update, const ConstTensorView& factors, DType dtype) const;

 private:
  template <class Body>
  void for_each_block(Body&& body) const;
  template <class Body>
  void for_each_block(const LowRankUpdate& update, Body&& body) const;
  void check(const LowRankUpdate& update) const;

  ConstTensorView values_;
  const QuantTensor* quantized_ = nullptr;
  Shape shape_;
};

}  // namespace petrain
