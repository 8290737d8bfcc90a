#include "convergence.hpp"

#include <algorithm>
#include <cmath>

namespace petrain {
namespace {

constexpr double kNoise = 1e-8;  // of all: float32 products cannot tell less
constexpr double kNever = 1e300;

// r + r² + … + r^count, where count need not be whole.
double geometric(double r, double count) { return r == 1 ? count : r * (1 - std::pow(r, count)) / (1 - r); }

// The r for which that is `sum`.
double ratio_for(double sum, double count) {
  double low = 0, high = std::max(1.0, sum);
  if (sum <= 0) return 0;
  for (int step = 0; step < 50; ++step) {
    const double middle = (low + high) / 2;
    (geometric(middle, count) < sum ? low : high) = middle;
  }
  return high;
}

}  // namespace

double Convergence::limit() const { return std::max(tolerance_ * (square_ - captured_), kNoise * square_); }

// Convergence becomes faster and faster, so that the slower of the last two ratios is the safe one.
double Convergence::to_come() const {
  const double ratio = std::max(ratio_, earlier_ratio_);
  return gain_ <= 0 ? 0 : ratio < 1 ? gain_ * ratio / (1 - ratio) : kNever;
}

void Convergence::look(double captured, std::int64_t size) {
  const double gain = captured - captured_, count = static_cast<double>(size - size_) / spacing_;
  if (looks_ == 1) gain_ = gain / count;
  if (looks_ > 1) {
    earlier_ratio_ = looks_ > 2 ? ratio_ : 0;
    ratio_ = gain_ > 0 ? ratio_for(gain / gain_, count) : gain > 0 ? 1 : 0;
    gain_ = gain_ > 0 ? gain_ * std::pow(ratio_, count) : gain / count;
  }
  captured_ = captured;
  size_ = size;
  ++looks_;
}

bool Convergence::done() const {
  constexpr double kFirst = 0.1;  // where there is but one ratio
  return looks_ > 2 && to_come() <= limit() * (looks_ > 3 ? 1 : kFirst);
}

std::int64_t Convergence::until_next() const {
  constexpr double kPart = 1.0 / 3;
  const double ratio = std::max(ratio_, earlier_ratio_);
  double steps = 1;
  if (looks_ > 3 && ratio < 1 && to_come() > limit())
    steps = std::max(1.0, kPart * std::log(to_come() / limit()) / -std::log(ratio));
  return static_cast<std::int64_t>(std::floor(steps) * spacing_);
}

}  // namespace petrain
