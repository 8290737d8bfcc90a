// Arrays in integers of 8 or 4 bits.
//
//   petrain::QuantTensor weights = petrain::quantize(w);        // int8 (N, K), one scale for each of the N outputs
//   petrain::QuantTensor small = petrain::quantize(
//       w, {.bits = 4, .granularity = petrain::Granularity::group, .group_size = 32});
//
// x ≈ float(q - zero_point) * scale with q = clamp(round(x / scale) + zero_point), half to even: ONNX's QuantizeLinear
// and DequantizeLinear. range_params says what scale and zero_point are. Zero is always exactly zero.
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
  Scheme scheme = Scheme::symmetric;
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

// An array as it is stored. The members may be read; what changes them sees to it that validate() still passes.
struct QuantTensor {
  // 8 bits: int8, in the shape of the array. 4 bits: uint8 (⌈size / 2⌉,), two integers to a byte in row-major order
  // over the whole array, the first in the lower bits, as ONNX's INT4; after an odd number the last 4 bits are 0.
  Tensor values;
  Tensor scale;       // float32, positive and finite: () per tensor, (channels,), or (channels, groups)
  Tensor zero_point;  // int8 in the shape of scale; empty: the scheme is symmetric
  Shape shape;        // of the array
  QuantSpec spec;     // axis: 0 … dimensions - 1, and 0 per tensor

  QuantTensor() = default;
  // From its parts, as a file holds them. Throws std::invalid_argument where the parts disagree or an integer is not of
  // the scheme, std::out_of_range where there is no such axis.
  QuantTensor(Tensor values, Tensor scale, Tensor zero_point, const QuantSpec& spec, Shape shape);
  // The same of 8 bits, whose shape is that of the values.
  QuantTensor(Tensor values, Tensor scale, Tensor zero_point = {}, const QuantSpec& spec = {});
  // The same with int8 integers in the shape of the array, whatever the bits.
  static QuantTensor from_integers(const ConstTensorView& integers, Tensor scale, Tensor zero_point,
                                   const QuantSpec& spec);

  std::size_t nbytes() const { return values.nbytes() + scale.nbytes() + zero_point.nbytes(); }
  QuantTensor clone() const;
  // Throws as the constructor does, but for the range of the integers: it does not read `values`.
  void validate() const;
};

// Quantizes float32, float16 or bfloat16; the last two are converted to float32 as they are read. The scale and the
// zero point of elements that range from low to high are range_params(low, high). Throws std::invalid_argument where w
// is of another type, has no element, holds NaN or infinity, or the format does not fit its shape; std::out_of_range
// where it has no such axis.
QuantTensor quantize(const ConstTensorView& w, const QuantSpec& spec = {});

// The array in float32 or, rounded from that to the nearest, half to even, in float16 or bfloat16.
Tensor dequantize(const QuantTensor& q, DType dtype = DType::f32);

// The integers of elements first … first + count - 1 in row-major order, one to a byte. Throws std::out_of_range where
// there are no such elements; checks nothing else.
void unpack(const QuantTensor& q, std::int64_t first, std::int64_t count, std::int8_t* to);

}  // namespace petrain
