// Truncated singular value decomposition and low-rank factors of a matrix.
//
//   petrain::Svd decomposition = petrain::svd(weights, 16);
//   petrain::LowRank factors = petrain::factorize(weights, {.energy = 0.99});
//
// Nothing here depends on the number of threads: the same seed gives the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "petrain/certificate.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

enum class SvdMethod {
  automatic,   // full for small matrices or large k, else whichever is estimated to be faster
  full,        // eigenvectors of the smaller Gram matrix, in float64
  randomized,  // block Lanczos from a random start (Musco, Musco, NeurIPS 2015)
};

enum class SvdVectors { both, left, right };

struct SvdOptions {
  std::int64_t oversample = 10;                       // directions beyond k that the randomized method begins with
  std::optional<std::int64_t> n_iter = std::nullopt;  // its further steps; without a value, as many as `tol` needs
  SvdMethod method = SvdMethod::automatic;
  std::uint64_t seed = 0;  // of its random start
  // By how much its squared error may be above the least possible, relative to that: an estimate. In (0, 1).
  double tol = 1e-4;
  // The others are not computed. Right ones alone have the signs by which their own largest entries are positive, and
  // their singular values are good to 1e-8 of the largest.
  SvdVectors vectors = SvdVectors::both;
};

// A ≈ U diag(s) Vᵀ in the type of A: u (m, k), s (k,) from the largest on, vt (k, n). The entry of largest magnitude of
// every column of u, the first of several, is positive.
struct Svd {
  Tensor u, s, vt;
};

// `a` is a matrix (m, n) of float32 or float64, 1 <= k <= min(m, n). Throws std::invalid_argument where it is not,
// where a value is NaN or infinite, or where a singular value is too large for that type.
Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options = {});

// Of a run of the randomized method that was interrupted.
struct SvdState {
  Tensor directions, images;
  std::vector<double> numbers;
};

// Of long runs, all of the randomized method.
struct SvdControl {
  // Bytes of a matrix that is read by blocks of rows where it is larger: it may lie in a file that is mapped into
  // memory. 0: there is no limit. `drop_pages`: what was read is given back to the system, for mappings that are only
  // read.
  std::int64_t memory_limit = 0;
  bool drop_pages = false;
  std::function<void(std::int64_t, std::int64_t)> progress;  // after each step: directions, and as many as are expected
  std::function<void(SvdState)> save;                        // after each step; may throw, as the other may
  const SvdState* resumed = nullptr;                         // the result has the same bits
};

Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options, const SvdControl& control);

// What factorize keeps; exactly one has a value.
struct Keep {
  std::optional<std::int64_t> rank = std::nullopt;  // from 1 to min(m, n)
  std::optional<double> energy = std::nullopt;      // this part of ‖W‖²_F, in (0, 1]
  std::optional<double> rel_error = std::nullopt;   // ‖W - AB‖_F / ‖W‖_F is at most this, in [0, 1)
};

// As many as the smallest rank that meets it; with the randomized method, which takes the error from the difference of
// sums of squares, nearly the smallest.
Svd svd(const ConstTensorView& a, const Keep& keep, const SvdOptions& options = {}, const SvdControl& control = {});

// W ≈ A B, float32: a (m, rank), b (rank, n). The singular values are split evenly between them.
struct LowRank {
  Tensor a, b;
  Certificate certificate;  // of these float32 factors

  std::int64_t rank() const { return b.shape()[0]; }
  double rel_error() const { return certificate.error > 0 ? certificate.error / certificate.norm : 0; }
  double energy() const { return 1 - rel_error() * rel_error(); }
};

// With `energy` or `rel_error` the rank is the smallest that meets it. What float32 factors cannot reach (a
// rel_error below about 1e-7) gives the rank that would meet it without rounding.
LowRank factorize(const ConstTensorView& w, const Keep& keep, std::uint64_t seed = 0);

// The factors of W (N, K) with the least tr((W - AB)(H + damping) (W - AB)ᵀ): of the outputs instead of the weights,
// for inputs as the observer has seen them; `keep` is of the error of the outputs too (Zhang et al., arXiv 2410.06040;
// Wang et al., arXiv 2403.07378). `damping` is relative to the mean of H's diagonal. Throws as factorize and gptq do.
LowRank factorize_outputs(const ConstTensorView& w, const HessianObserver& inputs, const Keep& keep,
                          double damping = 0.01, std::uint64_t seed = 0);

// B (rank, n) with the least ‖W - AB‖_F for a given A (m, rank); A for a given B, with `inputs` the one with the least
// Σ ‖(W - AB) x‖² of the rows that were observed: to refit one factor when the other one has been quantized. By the
// normal equations in float64. Throw std::invalid_argument where an argument does not fit or has NaN or infinity.
Tensor fit_right(const ConstTensorView& w, const ConstTensorView& a);
Tensor fit_left(const ConstTensorView& w, const ConstTensorView& b, const HessianObserver* inputs = nullptr);

// A B, for factors a (m, r) and b (r, n).
Tensor low_rank_product(const ConstTensorView& a, const ConstTensorView& b);

}  // namespace petrain
