// The eigenvalue problem of a symmetric matrix: Householder's reduction to a tridiagonal one, whose eigenvalues come by
// the QL iteration and whose eigenvectors, as many as are wanted, by inverse iteration (Golub, Van Loan, Matrix
// Computations, 8.3; Peters, Wilkinson, SIAM Review 21, 1979). The bits depend neither on the number of threads nor on
// the instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "threads.hpp"
#include "wide.hpp"

namespace petrain {

// body(chunk) for every chunk, by one thread where all of the work is no more than `serial`.
template <class Body>
void parallel_for_work(std::int64_t work, std::int64_t serial, std::int64_t chunks, Body&& body) {
  if (work > serial) return parallel_for(chunks, body);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
}

struct Tridiagonal {
  std::vector<double> diagonal, beside;  // beside[i] between i and i + 1
};

class SymmetricProblem {
 public:
  explicit SymmetricProblem(WideMatrix matrix);  // only the upper triangle is read

  const std::vector<double>& values() const { return values_; }  // largest first
  WideMatrix vectors(std::int64_t count) const;                  // of the first values, as columns

 private:
  WideMatrix reflectors_;     // row i from column i + 1 on: the vector of reflection i
  std::vector<double> taus_;  // and its factor
  Tridiagonal tridiagonal_;   // divided by 2^exponent_
  std::vector<double> values_;
  int exponent_ = 0;
};

std::vector<double> tridiagonal_values(const Tridiagonal& t);  // largest first
// Of the largest values. By Eigen.
WideMatrix tridiagonal_vectors(const Tridiagonal& t, std::int64_t count);

// The vectors of the first `count` of these values by inverse iteration. False where they are not found to be good:
// values that are there very often may need the other way.
bool inverse_iteration(const Tridiagonal& t, const std::vector<double>& values, std::int64_t count,
                       WideMatrix& vectors);

}  // namespace petrain
