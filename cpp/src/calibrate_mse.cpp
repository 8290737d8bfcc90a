#include <algorithm>
#include <cmath>

#include "calibrate_checks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_spec.hpp"

namespace petrain {
namespace {

using Bins = std::vector<Histogram::Bin>;

// The squared errors of quantization, summed over all numbers, each spread evenly over its bin. Between two edges the
// error is the difference of an integral, times the density there: so each edge gets the difference of the densities
// at its sides, and the integral is taken once.
class SquaredErrors {
 public:
  SquaredErrors(const Bins& bins, int bits, Scheme scheme) : bits_(bits), scheme_(scheme) {
    for (const Histogram::Bin& bin : bins) {
      const auto count = static_cast<double>(bin.count);
      if (bin.low == bin.high) {
        points_.push_back(bin);
        continue;
      }
      const double density = count / (bin.high - bin.low);
      if (edges_.empty() || edges_.back() != bin.low) {
        edges_.push_back(bin.low);
        weights_.push_back(0);
      }
      weights_.back() -= density;
      edges_.push_back(bin.high);
      weights_.push_back(density);
    }
  }

  double of(Range range) const {
    const QuantParams params = range_params(range.low, range.high, bits_, scheme_);
    const double scale = params.scale;
    const kernels::Limits limits = limits_of({.bits = bits_, .scheme = scheme_});
    const double least = limits.least - params.zero_point, most = limits.most - params.zero_point;
    const auto& kernels = *active_kernels().calibrate;
    double sum = scale * kernels.error({edges_.data(), weights_.data(), std::ssize(edges_), 1 / scale, least, most});
    for (const Histogram::Bin& point : points_) {
      const double x = point.low / scale, error = x - std::nearbyint(std::clamp(x, least, most));
      sum += static_cast<double>(point.count) * error * error;
    }
    return std::max(sum, 0.0) * scale * scale;  // rounding can leave less than nothing
  }

 private:
  int bits_;
  Scheme scheme_;
  std::vector<double> edges_, weights_;
  Bins points_;
};

class Search {
 public:
  Search(const Bins& bins, Range widest, int bits, Scheme scheme)
      : bins_(bins), errors_(bins, bits, scheme), widest_(widest), best_(widest), least_(errors_.of(widest)) {}

  Range symmetric() {
    for (const double end : ends(-widest_.high, widest_.high)) consider(both_ways(end));
    refine([](Range range, double factor) { return Range{range.low * factor, range.high * factor}; });
    return best_;
  }

  Range asymmetric() {
    const std::vector<double> lows = ends(widest_.low, 0), highs = ends(0, widest_.high);
    // Both ends together, at one magnitude or at one share of the widest; then one after the other.
    for (const auto* magnitudes : {&lows, &highs}) {
      for (const double end : *magnitudes) {
        consider(both_ways(end));
        const double share = end / std::max(-widest_.low, widest_.high);
        consider({widest_.low * share, widest_.high * share});
      }
    }
    for (int round = 0; round < kMostRounds; ++round) {
      const Range before = best_;
      for (const double end : lows) consider({0 - end, before.high});
      const double low = best_.low;
      for (const double end : highs) consider({low, end});
      if (best_ == before) break;
    }
    refine([](Range range, double factor) { return Range{range.low * factor, range.high}; });
    refine([](Range range, double factor) { return Range{range.low, range.high * factor}; });
    return best_;
  }

 private:
  static constexpr int kMostRounds = 8;

  void consider(Range range) {
    range = {std::max(range.low, widest_.low), std::min(range.high, widest_.high)};
    if (range == best_ || range == Range{}) return;
    if (const double found = errors_.of(range); found < least_) {
      least_ = found;
      best_ = range;
    }
  }

  // Magnitudes in steps of 2^(1/32), from the greatest in [low, high] to 1/16 of the root mean square there, and 0.
  std::vector<double> ends(double low, double high) const {
    constexpr double kStep = 0.9785720620877001, kLeast = 0x1p-40;  // 2^(-1/32)
    const double greatest = std::max(-low, high);
    std::vector<double> result{0};
    if (greatest == 0) return result;
    double squares = 0, count = 0;
    for (const Histogram::Bin& bin : bins_) {
      if (bin.high < low || bin.low > high) continue;
      const double middle = (bin.low + bin.high) / (2 * greatest);
      squares += static_cast<double>(bin.count) * middle * middle;
      count += static_cast<double>(bin.count);
    }
    const double last = std::max(std::sqrt(squares / count) / 16, kLeast);
    double share = 1;
    while (share >= last) {
      result.push_back(greatest * share);
      share *= kStep;
    }
    return result;
  }

  template <class Scaled>
  void refine(Scaled scaled) {
    constexpr double kStep = 1.0054299011128027;  // 2^(1/128)
    const Range centre = best_;
    double factor = 1;
    for (int i = 0; i < 4; ++i) {
      factor *= kStep;
      consider(scaled(centre, factor));
      consider(scaled(centre, 1 / factor));
    }
  }

  const Bins& bins_;
  SquaredErrors errors_;
  Range widest_;
  Range best_;
  double least_;
};

}  // namespace

Range mse_range(const Histogram& seen, int bits, Scheme scheme) {
  require_bits(bits);
  require_some(seen.count());
  const Bins bins = seen.bins();
  const Range extremes = seen.extremes();
  if (extremes == Range{}) return {};
  if (scheme == Scheme::symmetric) {
    const double greatest = std::max(-extremes.low, extremes.high);
    return Search(bins, both_ways(greatest), bits, scheme).symmetric();
  }
  return Search(bins, {std::min(extremes.low, 0.0), std::max(extremes.high, 0.0)}, bits, scheme).asymmetric();
}

double mean_squared_error(const Histogram& seen, Range range, int bits, Scheme scheme) {
  require_some(seen.count());
  return SquaredErrors(seen.bins(), bits, scheme).of(range) / static_cast<double>(seen.count());
}

}  // namespace petrain
