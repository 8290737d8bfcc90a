#include "activation.hpp"

#include "exp.hpp"

namespace petrain::kernels {
namespace {

using std::ptrdiff_t;

float magnitude(float x) { return __builtin_fabsf(x); }

float sigmoid_one(float x) {
  const float e = exp_nonpositive(-magnitude(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

// Near zero the quotient would cancel: there the odd polynomial of Cephes' tanhf (Moshier, 1989).
float tanh_one(float x) {
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

// erfc(z) for z ≥ 0 with a relative error below 2e-6 wherever a float32 is normal: the fit of Numerical Recipes
// (Press et al., 2nd edition, section 6.2).
float erfc_one(float z) {
  const float t = 1.0f / (1.0f + 0.5f * z);
  float sum = 0.17087277f;
  sum = sum * t - 0.82215223f;
  sum = sum * t + 1.48851587f;
  sum = sum * t - 1.13520398f;
  sum = sum * t + 0.27886807f;
  sum = sum * t - 0.18628806f;
  sum = sum * t + 0.09678418f;
  sum = sum * t + 0.37409196f;
  sum = sum * t + 1.00002368f;
  sum = sum * t - 1.26551223f;
  return t * exp_nonpositive(sum - z * z);
}

float gelu_one(float x) {
  constexpr float kRootHalf = 0.70710678f;
  const float half = 0.5f * erfc_one(magnitude(x) * kRootHalf);
  return x * (x < 0 ? half : 1.0f - half);
}

void relu(float* x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = x[i] < 0 ? 0.0f : x[i];
}

void gelu(float* x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = gelu_one(x[i]);
}

void silu(float* x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = x[i] * sigmoid_one(x[i]);
}

void tanh(float* x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = tanh_one(x[i]);
}

void sigmoid(float* x, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) x[i] = sigmoid_one(x[i]);
}

void clip(float* x, float low, float high, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) {
    const float raised = x[i] < low ? low : x[i];
    x[i] = raised > high ? high : raised;
  }
}

}  // namespace

extern const ActivationTable PETRAIN_TABLE(activation) = {relu, gelu, silu, tanh, sigmoid, clip};

}  // namespace petrain::kernels
