// The logistic function and the hyperbolic tangent, with the same bits everywhere.
#pragma once

#include "exp.hpp"

namespace petrain::kernels {
namespace {

inline float magnitude(float x) { return __builtin_fabsf(x); }

inline float sigmoid_one(float x) {
  const float e = exp_nonpositive(-magnitude(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

// Near zero the quotient would cancel: there the odd polynomial of Cephes' tanhf (Moshier, 1989).
inline float tanh_one(float x) {
  const float size = magnitude(x), square = x * x;
  const float e = exp_nonpositive(-2.0f * size);
  const float quotient = (1.0f - e) / (1.0f + e);
  float sum = -5.70498872745e-3f;
  sum = sum * square + 2.06390887954e-2f;
  sum = sum * square - 5.37397155531e-2f;
  sum = sum * square + 1.33314422036e-1f;
  sum = sum * square - 3.33332819422e-1f;
  const float near = sum * square * x + x;
  const float far = x < 0 ? -quotient : quotient;
  return size < 0.625f ? near : far;
}

}  // namespace
}  // namespace petrain::kernels
