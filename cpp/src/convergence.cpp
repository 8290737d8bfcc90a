#include "convergence.hpp"

#include <algorithm>
#include <cmath>

namespace petrain {
namespace {

constexpr double kNever = 1e300;

struct Gains {
  double sum = 0, last = 1, ratio = 0, earlier_ratio = 0;
};

// Of `count` steps after one that gained 1, with ratios that change by the factor q.
Gains gains(double ratio, double q, std::int64_t count) {
  Gains result;
  result.ratio = ratio;
  for (std::int64_t step = 0; step < count; ++step) {
    result.earlier_ratio = result.ratio;
    result.ratio *= q;
    result.last *= result.ratio;
    result.sum += result.last;
  }
  return result;
}

// The gains whose sum is given: q by bisection.
Gains gains_of(double sum, double ratio, std::int64_t count) {
  double low = 0, high = std::max(2.0, 2 * sum / ratio);
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (gains(ratio, middle, count).sum < sum ? low : high) = middle;
  }
  return gains(ratio, high, count);
}

}  // namespace

double Convergence::limit() const { return std::max(tolerance_ * (square_ - captured_), noise_ * square_); }

// Convergence becomes faster and faster, so that the slower of the last two ratios is the safe one.
double Convergence::slower_ratio() const { return std::max(ratio_, earlier_ratio_); }

double Convergence::to_come() const {
  const double ratio = slower_ratio();
  return gain_ <= 0 ? 0 : ratio < 1 ? gain_ * ratio / (1 - ratio) : kNever;
}

void Convergence::look(double captured, std::int64_t size) {
  const double gain = captured - captured_;
  const std::int64_t count = std::max<std::int64_t>(1, (size - size_ + spacing_ / 2) / spacing_);
  if (looks_ < 3) {
    ratio_ = looks_ == 2 && gain_ > 0 ? std::max(gain, 0.0) / gain_ : 1;
    gain_ = gain;
  } else if (gain <= 0) {
    gain_ = ratio_ = earlier_ratio_ = 0;
  } else if (gain_ <= 0 || ratio_ <= 0) {
    gain_ = gain / static_cast<double>(count);
    ratio_ = earlier_ratio_ = 1;
  } else {
    const Gains found = gains_of(gain / gain_, ratio_, count);
    gain_ *= found.last;
    ratio_ = found.ratio;
    earlier_ratio_ = found.earlier_ratio;
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
  constexpr double kPart = 0.4;  // of the steps that a ratio which stays as it is would take
  const double ratio = slower_ratio();
  if (looks_ < 4 || ratio >= 1 || ratio <= 0 || to_come() <= limit()) return spacing_;
  const double steps = kPart * std::log(to_come() / limit()) / -std::log(ratio);
  const std::int64_t most = std::max<std::int64_t>(1, size_ / spacing_);
  return std::clamp(static_cast<std::int64_t>(std::min(steps, 1e9)), std::int64_t{1}, most) * spacing_;
}

}  // namespace petrain
