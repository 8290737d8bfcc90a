// A linear layer on quantized weights: products of integers with exact sums.
//
//   const petrain::QuantLinear layer(petrain::quantize(w));          // (N, K)
//   layer.forward(x, y);                                             // (M, K) -> (M, N)
//   layer.forward(x, y, {.bias = bias, .activation = petrain::Activation::relu});
//
// The same bytes on every instruction set and for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "petrain/quant.hpp"

namespace petrain {

enum class Activation : std::uint8_t { none, relu, gelu, silu, tanh, sigmoid };

struct Clip {
  float low, high;
};

class QuantLinear;
class Epilogue;
class QuantProduct;
struct QuantRows;

// What happens before and after the product.
struct LinearOptions {
  ConstTensorView bias = {};  // float32 (N,); no data: none
  Activation activation = Activation::none;
  std::optional<Clip> clip = {};  // after the activation
  // Of x, which is int8, or float32 and quantized with them. None: x is float32, and each row gets a symmetric scale
  // of its own, max|x| / 127.
  std::optional<QuantParams> input = {};
  std::optional<QuantParams> output = {};  // of y, which is int8 then; none: y is float32
  // x keeps 22 bits: it is float32, and each row is split in three digits of 8 bits whose products are exact, with a
  // scale that is a power of two. For few rows, whose products cost less than reading the weight; no `input` then.
  bool weight_only = false;
  // Added to the product before the bias: residual_a · (residual_b · x), as `low_rank` computes it.
  const QuantLinear* residual_a = nullptr;  // (N, R)
  const QuantLinear* residual_b = nullptr;  // (R, K)
};

class QuantLinear {
 public:
  // weight: (N, K), per tensor, per channel along axis 0, or per group along axis 0. It is shared, and must not change.
  // Throws std::invalid_argument where it is none of these or K is more than max_depth.
  explicit QuantLinear(std::shared_ptr<const QuantTensor> weight);
  explicit QuantLinear(QuantTensor weight);
  ~QuantLinear();
  QuantLinear(QuantLinear&&) noexcept;
  QuantLinear& operator=(QuantLinear&&) noexcept;

  const QuantTensor& weight() const { return *weight_; }
  std::int64_t out_features() const { return weight_->shape[0]; }
  std::int64_t in_features() const { return weight_->shape[1]; }
  // Of y. Throws std::invalid_argument where x is of another shape.
  Shape output_shape(const Shape& x) const;

  // x (M, K) or (K,), y (M, N) or (N,). With the integers x̂ and ŵ, zero points a and b, scales s and t:
  //   per tensor and channel   y[m][n] = float(Σ_k (x̂[m][k] - a)(ŵ[n][k] - b[n])) * (s[m] * t[n])
  //   per group, and 4 bits    y[m][n] = (Σ_g float(Σ_{k in g} x̂[m][k] (ŵ[n][k] - b[n][g])) * t[n][g]) * s[m]
  // with weight_only the sum of that for the digits of x, highest first and each with its place 1, 2⁻⁸ or 2⁻¹⁶ for s,
  // times the power of two s[m]; and then residual, bias, activation, clip and output, each operation rounded to
  // float32. Throws std::invalid_argument, before y is written, for what does not fit, NaN or infinity, numbers so
  // large that y could be infinite, y in the memory of x or of the bias, or a zero point of x with weights of the
  // second kind.
  void forward(const ConstTensorView& x, const TensorView& y, const LinearOptions& options = {}) const;

 private:
  friend class QuantSteps;
  friend void low_rank(const ConstTensorView&, const QuantLinear&, const QuantLinear&, const TensorView&,
                       const LinearOptions&);
  void require_input(const std::optional<QuantParams>& input) const;
  void finish(const QuantRows& rows, const Epilogue& epilogue, const LinearOptions& options) const;

  std::shared_ptr<const QuantTensor> weight_;
  std::unique_ptr<QuantProduct> packed_;
};

// y = a(b(x)): b (R, K), a (N, R). What b gives stays in float32 and is quantized row by row, so that the pair costs
// R (K + N) products. `options` as for one layer; `residual_a` and `residual_b` must be null.
void low_rank(const ConstTensorView& x, const QuantLinear& a, const QuantLinear& b, const TensorView& y,
              const LinearOptions& options = {});

// Longest sum that int32 holds whatever the integers: K * 128² < 2³¹, and less where x or w have zero points.
std::int64_t max_depth(bool input_zero_points, bool weight_zero_points);

// a (M, K), int8 or uint8, and b (N, K), int8 -> a bᵀ (M, N), int32, exact for all values.
Tensor matmul_int(const ConstTensorView& a, const ConstTensorView& b);

}  // namespace petrain
