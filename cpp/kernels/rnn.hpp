// What a recurrent cell does with its gates, for one sequence and one step; the same bytes on every instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

// Gates before their functions, one block of `size` after the other: `input` of the step's input, `recurrent` of the
// state before. LSTM: i, f, g, o. GRU: r, z, n.
struct CellArgs {
  const float* input;
  const float* recurrent;
  float* h;
  float* c;  // of an LSTM
  std::ptrdiff_t size;
};

struct RnnTable {
  // c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c)
  void (*lstm_step)(const CellArgs&);
  // h = (1 - sigmoid(z)) n + sigmoid(z) h with n = tanh(input n + sigmoid(r) * recurrent n)
  void (*gru_step)(const CellArgs&);
};

}  // namespace petrain::kernels
