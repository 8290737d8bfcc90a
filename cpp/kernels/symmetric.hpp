// Pieces of the symmetric eigenvalue problem in float64. Sums run in a fixed order and without contraction, so the bits
// do not depend on the instruction set.
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

// For the upper triangle of a symmetric A of `size` rows: A -= v wᵀ + w vᵀ, then y = A u, in one pass over A. With
// v null, the product alone.
struct AdvanceArgs {
  double* a;
  std::ptrdiff_t stride, size;
  const double *v, *w;
  const double* u;
  double* y;
};

// Z -= tau u (uᵀ Z), for `columns` of Z, a multiple of kReflectColumns.
constexpr int kReflectColumns = 8;
struct ReflectArgs {
  const double* u;
  double tau;
  double* z;
  std::ptrdiff_t stride, rows, columns;
};

struct SymmetricTable {
  void (*advance)(const AdvanceArgs&);
  void (*reflect)(const ReflectArgs&);
};

}  // namespace petrain::kernels
