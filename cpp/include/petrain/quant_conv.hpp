// Convolutions with quantized weights: products of integers with exact sums.
//
//   const petrain::QuantConv conv(petrain::quantize(w));            // (O, C, kh, kw)
//   petrain::Tensor y(petrain::DType::f32, conv.output_shape(x.shape, {.padding = {1, 1}}));
//   conv.forward(x, y.view(), {.padding = {1, 1}}, {.activation = petrain::Activation::relu});
//
// The same bytes on every instruction set and for any number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "petrain/quant_linear.hpp"

namespace petrain {

// Where a kernel lies on an image: along the height, along the width. A kernel of one dimension has the width alone.
struct ConvWindow {
  std::array<std::int64_t, 2> stride = {1, 1};
  std::array<std::int64_t, 2> padding = {0, 0};  // zeros on both sides
  std::array<std::int64_t, 2> dilation = {1, 1};
};

class ConvWeight;

class QuantConv {
 public:
  // weight: (O, C / groups, kh, kw), or (O, C / groups, k) for one dimension; 8 bits, symmetric, per tensor or per
  // channel along axis 0. It is shared, and must not change. Throws std::invalid_argument where it is none of these,
  // groups do not divide O, or a sum has more than max_depth products.
  explicit QuantConv(std::shared_ptr<const QuantTensor> weight, std::int64_t groups = 1);
  explicit QuantConv(QuantTensor weight, std::int64_t groups = 1);
  ~QuantConv();
  QuantConv(QuantConv&&) noexcept;
  QuantConv& operator=(QuantConv&&) noexcept;

  const QuantTensor& weight() const { return *weight_; }
  std::int64_t groups() const { return groups_; }
  // Of y. Throws std::invalid_argument where an image of this shape does not fit.
  Shape output_shape(const Shape& x, const ConvWindow& window = {}) const;

  // x (N, C, H, W) or (C, H, W), y (N, O, OH, OW) or (O, OH, OW); with one dimension (N, C, L) or (C, L), y alike.
  // With the integers x̂ and ŵ, the zero point a and the scales s and t, over the window of a pixel of image n:
  //   y[n][o] = float(Σ (x̂ - a) ŵ[o]) * (s[n] * t[o])
  // and then bias, activation, clip and output, each operation rounded to float32. Without options.input each image
  // gets a symmetric scale of its own, max|x| / 127. Padding is the real number zero. Beside y it takes the memory of
  // x in int8 and, for each thread, up to 128 pixels' windows; with one channel to a group, strips of a channel alone.
  // Throws std::invalid_argument, before y is written, for what does not fit, NaN or infinity, a residual, weight_only,
  // y in the memory of x, or numbers so large that y could be infinite.
  void forward(const ConstTensorView& x, const TensorView& y, const ConvWindow& window = {},
               const LinearOptions& options = {}) const;

 private:
  std::shared_ptr<const QuantTensor> weight_;
  std::int64_t groups_;
  std::unique_ptr<ConvWeight> packed_;
};

}  // namespace petrain
