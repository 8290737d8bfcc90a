// What svd and factorize share. Everything is in float64 but the matrix itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gemm.hpp"
#include "petrain/lowrank.hpp"
#include "wide.hpp"

namespace petrain {

// A checked matrix with rows >= cols: the given one or its transpose, divided by 2^exponent where its values are so
// large or small that products of them would overflow or vanish.
template <class T>
struct TallMatrixOf {
  ConstMatrixOf<T> matrix{nullptr, 0, 0};
  bool transposed = false;
  int exponent = 0;
  double square = 0;  // ‖·‖²_F of `matrix`
  Tensor storage;     // of the scaled values
};
using TallMatrix = TallMatrixOf<float>;

// Throws std::invalid_argument unless the array is a finite matrix of this type that is not empty. With `drop`, pages
// are given back once they have been read (see SvdControl), and a matrix that would have to be divided is refused.
template <class T>
TallMatrixOf<T> make_tall_of(const ConstTensorView& array, const std::string& what, bool drop = false);
inline TallMatrix make_tall(const ConstTensorView& array, const std::string& what) {
  return make_tall_of<float>(array, what);
}

// Column j of u and of v belong to s[j].
struct SingularTriplets {
  WideMatrix u, v;
  std::vector<double> s;
};

// Which vectors are wanted of a tall matrix.
struct Sides {
  bool left = true, right = true;
};
inline Sides sides_of(SvdVectors vectors, bool transposed) {
  const bool left = vectors != SvdVectors::right, right = vectors != SvdVectors::left;
  return transposed ? Sides{right, left} : Sides{left, right};
}

// Those of A from A V and V, which are right singular vectors up to rounding. Directions that A maps to nothing get a
// left vector all the same. Left vectors are orthonormal to `precision` at least. V may be empty.
SingularTriplets in_order(WideMatrix images, WideMatrix directions, double precision);
// Without left vectors, from the first eigenvalues of AᵀA.
SingularTriplets right_alone(const std::vector<double>& eigenvalues, WideMatrix directions);

template <class T>
SingularTriplets lift(const ConstMatrixOf<T>& a, WideMatrix directions);

constexpr std::int64_t kRandomizedBlock = 16;  // directions of a step

template <class T>
constexpr double kOrthonormal = sizeof(T) == 4 ? 1e-9 : 1e-15;  // precision of left vectors

// What the options say, or which is estimated to be the faster.
template <class T>
bool full_is_better(const ConstMatrixOf<T>& tall, std::int64_t k, const SvdOptions& options);

// By that method; of the given matrix, not of its transpose, but still without the exponent.
template <class T>
SingularTriplets truncated_svd(const TallMatrixOf<T>& tall, std::int64_t k, const SvdOptions& options);
// Of the given matrix, from those of the tall one.
inline SingularTriplets turned(bool transposed, SingularTriplets triplets) {
  if (transposed) std::swap(triplets.u, triplets.v);
  return triplets;
}

// The part of ‖W‖²_F that may be lost, or no value where the rank is given. Throws where `keep` is not correct.
std::optional<double> allowed_loss(const Keep& keep, std::int64_t most, const Shape& shape);
// From the eigenvalues of a Gram matrix, for each rank from 0 on: the part of ‖W‖²_F beyond it.
std::vector<double> losses(const std::vector<double>& eigenvalues);
std::int64_t smallest_rank(const std::vector<double>& loss, double allowed);

// Row-major u (m, k) and vᵀ (k, n), column j of each multiplied by scale[j], with the signs that the header promises.
struct RoundedFactors {
  Tensor u, vt;
};
template <class T = float>
RoundedFactors round_factors(const SingularTriplets& triplets, const std::vector<double>& scale);

}  // namespace petrain
