#include "factorize.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "checks.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

std::string text(const std::optional<double>& value) { return value ? number_text(*value) : "none"; }

}  // namespace

std::optional<double> allowed_loss(const Keep& keep, std::int64_t most, const Shape& shape) {
  const std::string rank = keep.rank ? std::to_string(*keep.rank) : "none";
  if (keep.rank.has_value() + keep.energy.has_value() + keep.rel_error.has_value() != 1) {
    throw std::invalid_argument("expected exactly one of rank, energy and rel_error, got rank " + rank + ", energy " +
                                text(keep.energy) + ", rel_error " + text(keep.rel_error));
  }
  if (keep.rank && (*keep.rank < 1 || *keep.rank > most)) {
    throw std::invalid_argument("rank: expected 1 to " + std::to_string(most) + " for shape " + shape_text(shape) +
                                ", got " + rank);
  }
  if (keep.energy && !(*keep.energy > 0 && *keep.energy <= 1)) {
    throw std::invalid_argument("energy: expected a number in (0, 1], got " + text(keep.energy));
  }
  if (keep.rel_error && !(*keep.rel_error >= 0 && *keep.rel_error < 1)) {
    throw std::invalid_argument("rel_error: expected a number in [0, 1), got " + text(keep.rel_error));
  }
  if (keep.rank) return std::nullopt;
  if (keep.energy) return 1 - *keep.energy;
  const double rel_error = keep.rel_error.value_or(0);
  return rel_error * rel_error;
}

// Values that are rounding of the largest count as 0.
std::vector<double> losses(const std::vector<double>& eigenvalues) {
  const std::size_t n = eigenvalues.size();
  const double rounding = 2.2e-16 * static_cast<double>(n) * eigenvalues[0];
  std::vector<double> loss(n + 1);
  for (std::size_t r = n; r-- > 0;) loss[r] = loss[r + 1] + (eigenvalues[r] > rounding ? eigenvalues[r] : 0);
  const double total = loss[0];
  if (total > 0) {
    for (double& part : loss) part /= total;
  }
  return loss;
}

std::int64_t smallest_rank(const std::vector<double>& loss, double allowed) {
  std::size_t rank = 1;
  while (rank + 1 < loss.size() && loss[rank] > allowed) ++rank;
  return static_cast<std::int64_t>(rank);
}

namespace {

RoundedFactors split(const TallMatrix& tall, const SingularTriplets& triplets) {
  std::vector<double> roots(triplets.s);
  for (double& root : roots) root = std::sqrt(std::ldexp(root, tall.exponent));
  return round_factors(triplets, roots);
}

RoundedFactors split(const TallMatrix& tall, const SymmetricProblem& eigen, std::int64_t rank) {
  return split(tall, turned(tall.transposed, lift(tall.matrix, eigen.vectors(rank))));
}

LowRank certified(const ConstTensorView& w, RoundedFactors rounded) {
  LowRank factors{std::move(rounded.u), std::move(rounded.vt), {}};
  factors.certificate = certify(w, factors.a.view(), factors.b.view());
  return factors;
}

}  // namespace

RoundedFactors spectral_factors(const ConstTensorView& w, const Keep& keep, std::uint64_t seed) {
  const TallMatrix tall = make_tall(w, "w");
  const std::int64_t most = tall.matrix.cols;
  const std::optional<double> allowed = allowed_loss(keep, most, w.shape);
  if (!allowed) return split(tall, truncated_svd(tall, keep.rank.value_or(most), {.seed = seed}));
  const SymmetricProblem eigen(gram(tall.matrix));
  return split(tall, eigen, smallest_rank(losses(eigen.values()), *allowed));
}

LowRank factorize(const ConstTensorView& w, const Keep& keep, std::uint64_t seed) {
  const TallMatrix tall = make_tall(w, "w");
  const std::int64_t most = tall.matrix.cols;
  const std::optional<double> allowed = allowed_loss(keep, most, w.shape);
  if (!allowed) return certified(w, split(tall, truncated_svd(tall, keep.rank.value_or(most), {.seed = seed})));
  const SymmetricProblem eigen(gram(tall.matrix));
  const std::vector<double> loss = losses(eigen.values());
  std::int64_t rank = smallest_rank(loss, *allowed);
  for (;;) {
    LowRank factors = certified(w, split(tall, eigen, rank));
    // Rounding to float32 adds to the loss: it may take another rank, or be more than is allowed at any rank.
    const double measured = factors.rel_error() * factors.rel_error(), rounding = measured - loss[rank];
    const bool met = keep.energy ? factors.energy() >= *keep.energy : factors.rel_error() <= keep.rel_error.value_or(0);
    if (met || rank == most || rounding >= *allowed) return factors;
    rank = std::max(rank + 1, smallest_rank(loss, *allowed - rounding));
  }
}

Tensor low_rank_product(const ConstTensorView& a, const ConstTensorView& b) {
  const auto matrix = [](const ConstTensorView& array, const std::string& what) -> ConstMatrix {
    if (array.dtype != DType::f32) {
      throw std::invalid_argument(what + ": expected dtype float32, got " + dtype_name(array.dtype));
    }
    if (array.shape.size() != 2) {
      throw std::invalid_argument(what + ": expected a matrix, got shape " + shape_text(array.shape));
    }
    return {array.as<float>(), array.shape[0], array.shape[1]};
  };
  const ConstMatrix left = matrix(a, "a"), right = matrix(b, "b");
  if (left.cols != right.rows) {
    throw std::invalid_argument("b: expected " + std::to_string(left.cols) + " rows for a of shape " +
                                shape_text(a.shape) + ", got shape " + shape_text(b.shape));
  }
  Tensor product(DType::f32, {left.rows, right.cols});
  gemm(left, right, product.as<float>(), right.cols);
  return product;
}

}  // namespace petrain
