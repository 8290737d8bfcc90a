// The QL iteration without square roots (Pal, Walker, Kahan; Parlett, The Symmetric Eigenvalue Problem, 8.15).
#include <algorithm>
#include <cmath>

#include "petrain/error.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

constexpr double kSmall = 4.930380657631324e-32;  // the square of float64's epsilon
constexpr int kMostSweeps = 60;                   // for one value

// The first i from `first` on that is cut off from i + 1.
std::size_t end_of_block(const std::vector<double>& d, const std::vector<double>& squares, std::size_t first) {
  std::size_t i = first;
  while (i + 1 < d.size() && squares[i] > kSmall * std::fabs(d[i] * d[i + 1])) ++i;
  return i;
}

void sweep(std::vector<double>& d, std::vector<double>& squares, std::size_t first, std::size_t last) {
  const double root = std::sqrt(squares[first]), half = (d[first + 1] - d[first]) / (2 * root);
  const double shift = d[first] - root / (half + std::copysign(std::hypot(half, 1.0), half));
  double c = 1, s = 0, gamma = d[last] - shift, p = gamma * gamma;
  for (std::size_t i = last; i-- > first;) {
    const double b = squares[i], r = p + b;
    if (i + 1 != last) squares[i + 1] = s * r;
    const double earlier_c = c, earlier_gamma = gamma;
    c = p / r;
    s = b / r;
    gamma = c * (d[i] - shift) - s * earlier_gamma;
    d[i + 1] = earlier_gamma + (d[i] - gamma);
    p = c != 0 ? gamma * gamma / c : earlier_c * b;
  }
  squares[first] = s * p;
  d[first] = shift + gamma;
}

}  // namespace

std::vector<double> tridiagonal_values(const Tridiagonal& t) {
  std::vector<double> d = t.diagonal, squares = t.beside;
  double largest = 0;
  for (const double value : d) largest = std::max(largest, std::fabs(value));
  for (double& value : squares) {
    largest = std::max(largest, std::fabs(value));
    value *= value;
  }
  // Relative to the neighbours alone, what is rounding of larger ones would go on for long.
  for (double& value : squares) {
    if (value <= kSmall * kSmall * largest * largest) value = 0;
  }
  for (std::size_t first = 0; first < d.size(); ++first) {
    for (int sweeps = 0;; ++sweeps) {
      const std::size_t last = end_of_block(d, squares, first);
      if (last == first) break;
      if (sweeps == kMostSweeps) throw Error("the eigenvalue iteration of a Gram matrix did not converge");
      sweep(d, squares, first, last);
    }
  }
  std::sort(d.begin(), d.end(), std::greater<>());
  return d;
}

}  // namespace petrain
