#include "rnn.hpp"

#include "sigmoid.hpp"

namespace petrain::kernels {
namespace {

using std::ptrdiff_t;

void lstm_step(const CellArgs& args) {
  const ptrdiff_t size = args.size;
  const float* __restrict input = args.input;
  const float* __restrict recurrent = args.recurrent;
  float* __restrict h = args.h;
  float* __restrict c = args.c;
#pragma omp simd
  for (ptrdiff_t j = 0; j < size; ++j) {
    const float in = sigmoid_one(input[j] + recurrent[j]);
    const float keep = sigmoid_one(input[size + j] + recurrent[size + j]);
    const float candidate = tanh_one(input[2 * size + j] + recurrent[2 * size + j]);
    const float out = sigmoid_one(input[3 * size + j] + recurrent[3 * size + j]);
    c[j] = keep * c[j] + in * candidate;
    h[j] = out * tanh_one(c[j]);
  }
}

void gru_step(const CellArgs& args) {
  const ptrdiff_t size = args.size;
  const float* __restrict input = args.input;
  const float* __restrict recurrent = args.recurrent;
  float* __restrict h = args.h;
#pragma omp simd
  for (ptrdiff_t j = 0; j < size; ++j) {
    const float reset = sigmoid_one(input[j] + recurrent[j]);
    const float keep = sigmoid_one(input[size + j] + recurrent[size + j]);
    const float candidate = tanh_one(input[2 * size + j] + reset * recurrent[2 * size + j]);
    h[j] = (1.0f - keep) * candidate + keep * h[j];
  }
}

}  // namespace

extern const RnnTable PETRAIN_TABLE(rnn) = {lstm_step, gru_step};

}  // namespace petrain::kernels
