// What is lost where two factors stand for a matrix, as numbers that are never too small.
#pragma once

#include <span>

#include "petrain/tensor.hpp"

namespace petrain {

class HessianObserver;

struct Certificate {
  double error = 0, norm = 0;  // ‖W - AB‖_F is at most `error`; ‖W‖_F
  // With the rows x that an observer has seen: the square root of Σ ‖(W - AB) x‖² is at most `output_error`, and that
  // of Σ ‖W x‖². 0 without.
  double output_error = 0, output_norm = 0;
};

// w (m, n), a (m, rank), b (rank, n), float32 and finite. All is computed in float64, and what its rounding can have
// taken off is added: 1e-12 of the norms, or less. With `inputs`, of n features, the observer's H is taken as exact.
// Throws std::invalid_argument where the arguments do not fit, or the observer has seen no rows.
Certificate certify(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b,
                    const HessianObserver* inputs = nullptr);
// Of row i of W - AB as often as weights[i] >= 0 says: output_error is at least the square root of
// Σ weights[i] ‖row i‖², output_norm that of W.
Certificate certify_rows(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& b,
                         std::span<const double> weights);
// Of W (m, taps · n) where A (m, p), C (p · taps, q) and B (q, n) stand for it: CB, taken as (p, taps · n), is what A
// is multiplied with. So a convolution's kernel (out, height · width, in) as three of them.
Certificate certify_core(const ConstTensorView& w, const ConstTensorView& a, const ConstTensorView& core,
                         const ConstTensorView& b);

}  // namespace petrain
