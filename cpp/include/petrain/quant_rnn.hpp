// Recurrent layers on quantized weights: LSTM and GRU, in one direction or both.
//
//   const petrain::QuantRnn layer(petrain::Cell::lstm, petrain::quantize(w_ih), petrain::quantize(w_hh), b_ih, b_hh);
//   petrain::RnnResult result = layer.forward(x);  // (T, B, I) -> y (T, B, H), h and c (B, H)
//
// Gates and formulas are those of torch.nn.LSTM and torch.nn.GRU. The input and the state are quantized row by row, as
// QuantLinear does it; the gates are float32. The same bytes on every instruction set and for any number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "petrain/quant_linear.hpp"

namespace petrain {

enum class Cell : std::uint8_t { lstm, gru };

struct RnnOptions {
  // float32 (B, H), for both directions (2, B, H); no data: zeros. c0 is for LSTM alone.
  ConstTensorView h0 = {}, c0 = {};
  // int64 (B,): how many steps, 0 … T, each sequence has; no data: all T. What is beyond is not read; there y is zero.
  ConstTensorView lengths = {};
  bool reverse = false;  // from the last step of each sequence to its first
};

struct RnnResult {
  Tensor y;     // float32 (T, B, H), for both directions (T, B, 2H)
  Tensor h, c;  // after the last step of each sequence, in the shape of h0; c is empty for GRU
};

class QuantRnn {
 public:
  // w_ih: (G H, I), w_hh: (G H, H) in any format of QuantLinear, of G = 4 gates i, f, g, o for LSTM and 3, r, z, n, for
  // GRU. Biases: float32 (G H,), copied, or no data. Throws std::invalid_argument where they do not fit each other.
  QuantRnn(Cell cell, std::shared_ptr<const QuantLinear> w_ih, std::shared_ptr<const QuantLinear> w_hh,
           const ConstTensorView& b_ih = {}, const ConstTensorView& b_hh = {});
  QuantRnn(Cell cell, QuantTensor w_ih, QuantTensor w_hh, const ConstTensorView& b_ih = {},
           const ConstTensorView& b_hh = {});

  Cell cell() const { return cell_; }
  std::int64_t input_size() const { return w_ih_->in_features(); }
  std::int64_t hidden_size() const { return w_hh_->in_features(); }

  // x: float32 (T, B, I). Throws std::invalid_argument for what does not fit, NaN or infinity, and numbers so large
  // that a gate could be infinite.
  RnnResult forward(const ConstTensorView& x, const RnnOptions& options = {}) const;

 private:
  friend class RnnRun;
  Cell cell_;
  std::shared_ptr<const QuantLinear> w_ih_, w_hh_;
  Tensor b_ih_, b_hh_;
};

// Both directions of one layer, `forward` first in y and the states. options.reverse must be false.
RnnResult bidirectional(const QuantRnn& forward, const QuantRnn& backward, const ConstTensorView& x,
                        const RnnOptions& options = {});

}  // namespace petrain
