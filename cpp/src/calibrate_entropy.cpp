#include <algorithm>
#include <cmath>

#include "calibrate_checks.hpp"
#include "logarithm.hpp"
#include "quant_checks.hpp"

namespace petrain {
namespace {

double x_log_x(double x) { return x > 0 ? x * log_of(x) : 0; }

// Bins of one width: so many at each side of 0 up to the greatest magnitude, or, of magnitudes, above it alone.
class EvenBins {
 public:
  EvenBins(const Histogram& seen, bool magnitudes, int side) : side_(side), origin_(magnitudes ? 0 : side) {
    const auto [low, high] = seen.extremes();
    const double greatest = std::max(-low, high);
    width_ = greatest / side;
    counts_.resize(static_cast<std::size_t>(origin_) + static_cast<std::size_t>(side));
    for (Histogram::Bin bin : seen.bins()) {
      if (bin.low == 0 && bin.high == 0) continue;
      if (magnitudes && bin.low < 0) bin = {-bin.high, -bin.low, bin.count};
      spread(bin);
    }
    first_ = magnitudes ? 0 : origin_ - static_cast<int>(std::ceil(std::max(-low, 0.0) / width_));
    const int positive = high > 0 ? static_cast<int>(std::min<double>(side, std::floor(high / width_) + 1)) : 0;
    last_ = magnitudes ? side : origin_ + positive;
    below_.assign(counts_.size() + 1, 0);
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      below_[i + 1] = below_[i] + counts_[i];
      count_log_count_.push_back(x_log_x(counts_[i]));
    }
  }

  double width() const { return width_; }

  // Of what was seen, P, in the bins within `threshold` bins of 0, with all beyond in the outer ones, from Q: what lies
  // within, even over those bins of each of the levels that hold something of P. None where there are more levels than
  // bins, or more beyond than within.
  std::optional<double> divergence(int threshold, int levels) const {
    const int begin = std::max(origin_ - threshold, first_), end = std::min(origin_ + threshold, last_);
    const std::int64_t size = end - begin;
    if (size < levels) return {};
    const double left = below_[begin], right = below_.back() - below_[end];
    if (left + right > below_.back() / 2) return {};
    double p_log_p = 0, p_log_q = 0, within = 0;
    for (int level = 0; level < levels; ++level) {
      const auto from = static_cast<int>(begin + size * level / levels);
      const auto to = static_cast<int>(begin + size * (level + 1) / levels);
      double sum = 0;
      int filled = 0;
      for (int i = from; i < to; ++i) {
        sum += counts_[i];
        filled += counts_[i] > 0;
        p_log_p += count_log_count_[i];
      }
      double p = sum;
      for (const auto& [at, outside] : {std::pair(begin, left), std::pair(end - 1, right)}) {
        if (at < from || at >= to || outside == 0) continue;
        p += outside;
        filled += counts_[at] == 0;
        p_log_p += x_log_x(counts_[at] + outside) - count_log_count_[at];
      }
      constexpr double kNothing = 1e-4;  // what Q has where P has something and the level nothing
      if (p > 0) p_log_q += p * log_of(sum > 0 ? sum / filled : kNothing);
      within += sum;
    }
    if (within == 0) return {};
    const double all = below_.back();
    return (p_log_p - p_log_q) / all - log_of(all) + log_of(within);
  }

 private:
  void spread(const Histogram::Bin& bin) {
    const double low = bin.low / width_, high = bin.high / width_, count = static_cast<double>(bin.count);
    const auto place = [&](double x) { return std::clamp(static_cast<int>(std::floor(x)), -origin_, side_ - 1); };
    const int from = place(low), to = place(high);
    for (int i = from; i <= to; ++i) {
      const double share = std::min<double>(high, i + 1) - std::max<double>(low, i);
      counts_[origin_ + i] += from == to ? count : count * std::max(share, 0.0) / (high - low);
    }
  }

  int side_, origin_, first_, last_;
  double width_;
  std::vector<double> counts_, below_, count_log_count_;
};

}  // namespace

Range entropy_range(const Histogram& seen, int bits, Scheme scheme) {
  require_bits(bits);
  require_some(seen.count());
  const auto [low, high] = seen.extremes();
  const double greatest = std::max(-low, high);
  if (greatest == 0) return {};
  const bool symmetric = scheme == Scheme::symmetric;
  const int side = symmetric ? 2048 : 4096, levels = 1 << (symmetric ? bits - 1 : bits);
  const EvenBins bins(seen, symmetric, side);
  double least = HUGE_VAL;
  double threshold = greatest;
  for (int i = side / 16; i <= side; ++i) {
    const std::optional<double> divergence = bins.divergence(i, levels);
    if (!divergence || *divergence >= least) continue;
    least = *divergence;
    threshold = i * bins.width();
  }
  return symmetric ? both_ways(threshold) : Range{std::max(low, -threshold), std::min(high, threshold)};
}

}  // namespace petrain
