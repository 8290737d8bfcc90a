// Setting weights to zero: which, by scores of any origin, and what the others do to make up for them.
//
//   petrain::Tensor mask = petrain::keep_greatest(scores, /*pool=*/4, /*keep=*/2);    // 2:4
//   petrain::apply_masks(weights, masks);                                                // again after every step
//
// A mask is uint8: 1 keeps, 0 prunes. The same bytes on every instruction set and for any number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "petrain/rounding.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// Of every `pool` neighbours of an array in row-major order, the `keep` with the greatest scores; of equal ones the
// first. Scores: float32, finite, of any sign; -0 is 0. Throws std::invalid_argument where the pool does not divide
// the array, or keep is not from 0 to the pool.
Tensor keep_greatest(const ConstTensorView& scores, std::int64_t pool, std::int64_t keep);

// The means of the blocks of `rows` by `columns` of float32 (N, K), float32 (N / rows, K / columns), summed in float64.
// Throws std::invalid_argument where blocks do not fit, or a score is not finite.
Tensor block_means(const ConstTensorView& scores, std::int64_t rows, std::int64_t columns);

// Sets to zero (all bits) what the masks do not keep, in arrays of any type. masks: uint8, each of its array's shape.
// Throws std::invalid_argument, before it writes anything, where one does not fit.
void apply_masks(std::span<const TensorView> arrays, std::span<const ConstTensorView> masks);

// Σ x² of each column of the rows that it saw, in float64 and in the order in which rows came: it does not matter in
// which pieces. One is for one thread at a time.
class ColumnSquares {
 public:
  explicit ColumnSquares(std::int64_t columns);
  // x: float32 (…, columns). Throws std::invalid_argument, before it adds anything, for another type or shape, NaN or
  // infinity.
  void observe(const ConstTensorView& x);
  std::int64_t count() const { return count_; }
  const Tensor& sums() const { return sums_; }  // float64 (columns,)

 private:
  Tensor sums_;
  std::int64_t count_ = 0;
};

struct SparseGptOptions {
  std::int64_t pool = 0;  // of every `pool` neighbours of a row `keep` stay; 0: of every 128, and of the rest
  std::int64_t keep = 0;  // with pool 0: of a whole row, spread evenly over it
  double damping = 0.01;  // as for gptq
};

// Pruned weights, float32, their mask, and the relative error of the outputs, as Rounded has it: `before` with the same
// mask alone, `after` with the other weights adjusted. `kept`: rows that no adjustment made better and that are masked
// alone.
struct Pruned {
  Tensor w, mask;
  double before = 0, after = 0;
  std::int64_t kept = 0;
};

// Column by column, as gptq: what pruning a weight does to the outputs is made up for by the weights of the inputs
// still to come (Frantar and Alistarh, arXiv 2301.00774). Which weights go is decided when their block of 128 columns
// is reached, or their group of `pool`, by (w / the diagonal of the inverse's factor)²; within each row by itself.
// w: float32 (N, K). Throws as gptq does.
Pruned sparse_gpt(const ConstTensorView& w, const HessianObserver& hessian, const SparseGptOptions& options);
// The same for a mask that is given: uint8 (N, K).
Pruned compensate(const ConstTensorView& w, const HessianObserver& hessian, const ConstTensorView& mask,
                  double damping = 0.01);

}  // namespace petrain
