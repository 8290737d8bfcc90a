// What svd and factorize share. Everything is in float64 but the matrix itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemm.hpp"
#include "petrain/lowrank.hpp"
#include "wide.hpp"

namespace petrain {

// A checked matrix with rows >= cols: the given one or its transpose, divided by 2^exponent where its values are so
// large or small that float32 products of them would overflow or vanish.
struct TallMatrix {
  ConstMatrix matrix{nullptr, 0, 0};
  bool transposed = false;
  int exponent = 0;
  double square = 0;  // ‖·‖²_F of the given matrix, without the division
  Tensor storage;     // of the scaled values
};

// Throws std::invalid_argument unless the array is a finite float32 matrix that is not empty.
TallMatrix make_tall(const ConstTensorView& array, const std::string& what);

// Column j of u and of v belong to s[j].
struct SingularTriplets {
  WideMatrix u, v;
  std::vector<double> s;
};

// The triplets of A within the span of the first k directions, which are right singular vectors up to rounding.
// Directions that A maps to nothing get a left vector all the same.
SingularTriplets lift(const ConstMatrix& a, const WideMatrix& directions, std::int64_t k);

constexpr std::int64_t kRandomizedBlock = 16;  // directions of a step

// `square` is ‖A‖²_F.
SingularTriplets randomized_svd(const ConstMatrix& tall, double square, std::int64_t k, const SvdOptions& options);

// By the method that the options say; of the given matrix, not of its transpose, but still without the exponent.
SingularTriplets truncated_svd(const TallMatrix& tall, std::int64_t k, const SvdOptions& options);
// Of the given matrix, from those of the tall one.
SingularTriplets turned(const TallMatrix& tall, SingularTriplets triplets);

// Row-major float32 of u (m, k) and vᵀ (k, n), column j of each multiplied by scale[j], with the signs that the
// header promises.
struct RoundedFactors {
  Tensor u, vt;
};
RoundedFactors round_factors(const SingularTriplets& triplets, const std::vector<double>& scale);

}  // namespace petrain
