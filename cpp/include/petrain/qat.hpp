// Quantization-aware training: weights are trained in float32 while the model computes with what a few bits can hold
// of them.
//
//   Tensor scale = petrain::lsq_scale(w, spec), w_hat(DType::f32, shape), …;      // learned step sizes
//   petrain::fake_quantize(w, scale.view(), {}, spec, w_hat.view());             // the forward pass uses w_hat
//   petrain::fake_quantize_backward(w, scale.view(), {}, spec, d_w_hat, d_w, d_scale, petrain::lsq_factor(spec,
//   shape));
//
// or, in a step of an optimizer, Optimizer::attach_fake_quantize.
//
// Esser et al., Learned Step Size Quantization, arXiv 1902.08153.
#pragma once

#include "petrain/quant.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// out = (clamp(round(x / scale) + zero_point, qmin, qmax) - zero_point) * scale, half to even: what quantizing and
// dequantizing give. An int8 `out` takes the integers instead. x is float32 and may be out; scale is float32 in the
// shape that a QuantTensor of this spec has, zero_point the same in int8, or without data where the scheme is
// symmetric. Throws, before out is written, std::invalid_argument for what does not fit, NaN or infinity in x, or a
// scale that range_params would not give, std::out_of_range where there is no such axis.
void fake_quantize(const ConstTensorView& x, const ConstTensorView& scale, const ConstTensorView& zero_point,
                   const QuantSpec& spec, const TensorView& out);

// From the gradient of `out` that of x, where u = x * (1 / scale) is within [qmin - zero_point, qmax - zero_point]; 0
// elsewhere. x_gradient may be gradient. And, times `factor`, that of each scale:
//   Σ gradient * (round(u) - u inside, qmin - zero_point below, qmax - zero_point above),
// in float64 over chunks that depend on the shape alone. NaN goes through. Throws as fake_quantize does.
void fake_quantize_backward(const ConstTensorView& x, const ConstTensorView& scale, const ConstTensorView& zero_point,
                            const QuantSpec& spec, const ConstTensorView& gradient, const TensorView& x_gradient,
                            const TensorView& scale_gradient, double factor = 1);

// LSQ's first scale of an array: 2 mean|x| / √qmax, and 1 where all are zero.
Tensor lsq_scale(const ConstTensorView& x, const QuantSpec& spec);

// LSQ's factor of a scale's gradient: 1 / √(elements of the scale * qmax).
double lsq_factor(const QuantSpec& spec, const Shape& shape);

// Puts scales that an update rule has moved out of their range at its nearest end: [2⁻¹²⁶, where qmax * scale is still
// finite]. NaN becomes the lower one.
void bound_scales(const TensorView& scale, const QuantSpec& spec);

// The copy of a parameter that Optimizer::attach_fake_quantize keeps. The scheme is symmetric. All memory must outlive
// the attachment, scale and scale_gradient in the shape of a QuantTensor's scale, out in that of the parameter.
struct FakeQuantized {
  QuantSpec spec;
  TensorView scale;           // float32
  TensorView scale_gradient;  // float32
  TensorView out;             // float32, or int8: the integers
};

}  // namespace petrain
