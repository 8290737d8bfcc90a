// Rounding the weights of a linear layer so that its outputs, not its weights, change little.
//
//   petrain::HessianObserver hessian(in_features);
//   for (...) hessian.observe(x);                                             // (M, K), any number of times
//   petrain::Rounded rounded = petrain::gptq(w, hessian, {.bits = 4, ...});   // rounded.q, rounded.before, .after
//
// With the inputs x and the error E = W - Ŵ, the squared error of the outputs, summed over the samples, is tr(E H Eᵀ)
// with H = Σ xᵀx. All is in float64 and in a fixed order: the same bytes on every instruction set and for any number
// of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "petrain/quant.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// H = Σ xᵀx and the mean of x over all rows that were seen, in 8 K² bytes and room for kRows rows.
// One is for one thread at a time.
class HessianObserver {
 public:
  static constexpr std::int64_t kRows = 256;  // are added at a time

  // What it has seen. `hessian` (K, K) and `sum` (K,), float64, are over whole chunks of kRows rows; the rest, in
  // `pending` (rows, K), float32, waits for more, so that it does not matter in which pieces rows come.
  struct State {
    Tensor hessian, sum, pending;
    std::int64_t count = 0;  // of rows, those in `pending` included
  };

  explicit HessianObserver(std::int64_t in_features);
  explicit HessianObserver(const State& state);  // throws std::invalid_argument where its parts disagree
  ~HessianObserver();
  HessianObserver(HessianObserver&&) noexcept;
  HessianObserver& operator=(HessianObserver&&) noexcept;

  // x: float32 (…, K). Throws std::invalid_argument, before it adds anything, for another type or shape, NaN
  // or infinity.
  void observe(const ConstTensorView& x);
  // Adds what another has seen, in float64: another order of merging may end in other last bits. Throws
  // std::invalid_argument where it is of another number of inputs.
  void merge(const HessianObserver& other);

  std::int64_t in_features() const;
  std::int64_t count() const;
  Tensor hessian() const;  // float64 (K, K)
  Tensor mean() const;     // float64 (K,); zeros where nothing was seen
  State state() const;

 private:
  friend struct HessianAccess;
  struct Sums;
  std::unique_ptr<Sums> sums_;
};

// tr(W H Wᵀ), for w float32 (N, K): the squares of the layer's outputs, or of what an error w adds to them, summed over
// all rows that were seen. Throws std::invalid_argument where w does not fit or is not finite, or nothing was seen.
double output_square(const ConstTensorView& w, const HessianObserver& hessian);
// W · mean(x), float64 (N,).
Tensor mean_output(const ConstTensorView& w, const HessianObserver& hessian);

// Integers, and the relative error of the outputs, sqrt(tr(E H Eᵀ) / tr(W H Wᵀ)) or 0 where they are all 0, with those
// that were there before and with these. `kept`: channels for which nothing better was found and which are as before.
struct Rounded {
  QuantTensor q;
  double before = 0, after = 0;
  std::int64_t kept = 0;
};

struct GptqOptions {
  double damping = 0.01;   // this part of the mean of H's diagonal is added to the diagonal
  bool act_order = false;  // the inputs of the greatest H[k][k] first; scales are then those of quantize
};

// Input by input, rounds to the nearest and adjusts the weights of the inputs still to come for the error so far
// (Frantar et al., arXiv 2210.17323). The scale of a group is that of the adjusted weights when the first of them is
// reached. `before` is that of quantize(w, spec), which a channel keeps where its error is no greater. w: float32
// (N, K); spec: per tensor, or along axis 0. Throws std::invalid_argument where something does not fit, nothing was
// observed, or H with its damping is not positive definite.
Rounded gptq(const ConstTensorView& w, const HessianObserver& hessian, const QuantSpec& spec,
             const GptqOptions& options = {});

struct DescentOptions {
  int passes = 20;        // at most
  double damping = 0.01;  // as for gptq
};

// Keeps the scales of q and moves one integer after the other to the value at which the error of the outputs is least
// while the others stay, until none moves (Behdin et al., arXiv 2309.01885). `before` is that of q.
Rounded round_coordinate_descent(const ConstTensorView& w, const QuantTensor& q, const HessianObserver& hessian,
                                 const DescentOptions& options = {});

}  // namespace petrain
