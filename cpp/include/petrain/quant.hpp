// Symmetric int8 quantization per channel, and a linear layer on it whose integer sums are exact.
//
//   petrain::QuantTensor weights = petrain::quantize(w);        // (N, K), one scale for each of the N outputs
//   petrain::linear(x, weights, bias, y);                       // (M, K) -> (M, N)
//
// A channel's scale is max|w| / 127, so that values stay in [-127, 127] as the LiteRT specification asks of weights,
// with q = round(w / scale), half to even. All zero: scale 1. The scale is kept at 2⁻¹²⁶ or more, so that weights too
// small for a normal number become zero, and where 127 * scale is finite. Zero is always exactly zero.
#pragma once

#include <cstdint>
#include <string>

#include "petrain/tensor.hpp"

namespace petrain {

// symmetric: integers from -127 (4 bits: -7) to 127 (7), zero point 0. asymmetric: from -128 (-8) to 127 (7).
enum class Scheme : std::uint8_t { symmetric, asymmetric };

// x = scale * (q - zero_point)
struct QuantParams {
  float scale = 1;
  std::int32_t zero_point = 0;
};

// With which the numbers from low to high fill the range of the integers. Symmetric: scale = max(|low|, |high|) / qmax.
// Asymmetric: the range is widened to hold 0, scale = (high - low) / (qmax - qmin) and zero_point =
// round(qmin - low / scale), half to even. Computed in double; the scale is kept where it is normal and the range
// finite, and is 1 where low = high = 0. Throws std::invalid_argument where a number is not finite, low > high, or bits
// are neither 8 nor 4.
QuantParams range_params(double low, double high, int bits, Scheme scheme);

// Which elements share a scale and a zero point. tensor: all. channel: those of one index along an axis. group: of
// these, in row-major order, each run of group_size; for a matrix (N, K) and axis 0, group_size neighbours of a row.
enum class Granularity : std::uint8_t { tensor, channel, group };

// A format.
struct QuantSpec {
  int bits = 8;  // or 4
  Scheme scheme = Scheme::symmetric;
  Granularity granularity = Granularity::channel;
  int axis = 0;                 // of the channels; may be negative; of no meaning per tensor
  std::int64_t group_size = 0;  // per group: 32, 64 or 128, which divides the elements of a channel; else 0

  bool operator==(const QuantSpec&) const = default;
};

std::string spec_text(const QuantSpec& spec);  // "int4, asymmetric, per group of 32 along axis 0"

// value[i] = float(values[i]) * scale[c] with c the index of the element along `axis`.
struct QuantTensor {
  Tensor values;      // int8, any shape of at least one dimension
  Tensor scale;       // float32, (channels,), positive and finite
  Tensor zero_point;  // int8, (channels,), all zero: the format is symmetric
  int axis = 0;       // 0 … dimensions - 1

  QuantTensor() = default;
  // From its parts, as a file holds them. Throws std::invalid_argument where they disagree and std::out_of_range
  // where the axis, which may be negative, does not exist. An empty zero_point stands for zeros.
  QuantTensor(Tensor values, Tensor scale, int axis, Tensor zero_point = {});

  const Shape& shape() const { return values.shape(); }
  std::size_t nbytes() const { return values.nbytes() + scale.nbytes() + zero_point.nbytes(); }
  QuantTensor clone() const { return {values.clone(), scale.clone(), axis, zero_point.clone()}; }
  // Throws as the constructor does, after its members were changed from outside.
  void validate() const;
};

// Quantizes float32 along an axis, which may be negative. Throws std::invalid_argument where w is of another type,
// has no dimension or no element, or holds NaN or infinity, std::out_of_range where it has no such axis.
QuantTensor quantize(const ConstTensorView& w, int axis = 0);

Tensor dequantize(const QuantTensor& q);

// Longest sum of int8 products that int32 always holds: k * 128² < 2³¹.
constexpr std::int64_t kMaxDepth = 131071;

// a (M, K) and b (N, K), both int8 and row-major -> a bᵀ (M, N), int32, exact for all values including -128.
Tensor matmul_int(const ConstTensorView& a, const ConstTensorView& b);

// y = x wᵀ + bias: x float32 (M, K) or (K,), w (N, K) along axis 0, bias float32 (N,) or empty (data == nullptr),
// y float32 (M, N) or (N,). Each row of x is quantized as quantize does with a scale s of its own, sums are int32, and
//   y[m][n] = float(sum) * (s[m] * w.scale[n]) + bias[n]
// in this order in float32. The same bits on every instruction set and for any number of threads. Throws
// std::invalid_argument, before y is written, for what does not fit, NaN or infinity, or scales so large that
// s[m] * w.scale[n] is not finite.
void linear(const ConstTensorView& x, const QuantTensor& w, const ConstTensorView& bias, const TensorView& y);

}  // namespace petrain
