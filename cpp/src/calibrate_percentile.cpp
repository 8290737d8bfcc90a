#include <algorithm>
#include <cmath>

#include "calibrate_checks.hpp"

namespace petrain {
namespace {

// The end of the first bin that does not fit into `allowed` numbers outside; bins from the outermost inwards.
template <class Bins, class End>
double end_of(Bins&& bins, double allowed, End end) {
  std::int64_t outside = 0;
  for (const Histogram::Bin& bin : bins) {
    outside += bin.count;
    if (static_cast<double>(outside) > allowed) return end(bin);
  }
  return 0;  // there is such a bin: fewer are allowed outside than there are
}

double farther(const Histogram::Bin& bin) { return std::max(-bin.low, bin.high); }

}  // namespace

Range percentile_range(const Histogram& seen, double percentile, Scheme scheme) {
  if (!(percentile > 0) || !(percentile <= 100)) {
    throw std::invalid_argument("percentile: expected more than 0 and at most 100, got " + number_text(percentile));
  }
  require_some(seen.count());
  std::vector<Histogram::Bin> bins = seen.bins();
  const double allowed = static_cast<double>(seen.count()) * ((100 - percentile) / 100);
  if (scheme == Scheme::symmetric) {
    std::sort(bins.begin(), bins.end(), [](const auto& a, const auto& b) { return farther(a) > farther(b); });
    return both_ways(end_of(bins, allowed, farther));
  }
  const double low = end_of(bins, allowed / 2, [](const auto& bin) { return bin.low; });
  std::reverse(bins.begin(), bins.end());
  return {low, end_of(bins, allowed / 2, [](const auto& bin) { return bin.high; })};
}

}  // namespace petrain
