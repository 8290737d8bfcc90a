#include "nn.hpp"

#include "exp.hpp"
#include "lanes.hpp"

namespace petrain::kernels {
namespace {

void add_bias(float* __restrict y, const float* __restrict bias, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) y[i] += bias[i];
}

void relu(float* x, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = x[i] < 0 ? 0.0f : x[i];  // NaN stays NaN
}

void relu_backward(float* __restrict gradient, const float* __restrict output, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) gradient[i] = output[i] > 0 ? gradient[i] : 0.0f;
}

void scale(float* x, float factor, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) x[i] *= factor;
}

void softmax_row(SoftmaxRow& row) {
  const float* __restrict logits = row.logits;
  float* __restrict exponentials = row.exponentials;
  float greatest = logits[0];
  for (std::ptrdiff_t i = 1; i < row.size; ++i) greatest = logits[i] > greatest ? logits[i] : greatest;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < row.size; ++i) exponentials[i] = exp_nonpositive(logits[i] - greatest);
  double lanes[kLanes] = {};
  for (std::ptrdiff_t i = 0; i < row.size; ++i) lanes[i % kLanes] += exponentials[i];
  row.greatest = greatest;
  row.sum = sum_lanes(lanes);
}

}  // namespace

extern const NnTable PETRAIN_TABLE(nn) = {add_bias, relu, relu_backward, scale, softmax_row};

}  // namespace petrain::kernels
