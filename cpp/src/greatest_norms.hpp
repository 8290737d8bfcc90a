// Whether gradients that are finite are so in float32 too.
#pragma once

#include <algorithm>
#include <limits>

namespace petrain {

// The greatest norms of chunks of gradients that are stored in float64, and in fewer bits; negative without any.
struct GreatestNorms {
  double wide = -1, narrow = -1;

  void take(double norm, bool is_wide) {
    double& greatest = is_wide ? wide : narrow;
    greatest = std::max(greatest, norm);
  }

  // Whether they and their product with a factor fit: one in float64 may not, nor one that is multiplied with more than
  // 1. In doubt (the norm of a chunk is out of range, not its greatest entry) they do not.
  bool fit(double factor) const {
    constexpr double most = std::numeric_limits<float>::max();
    if (std::max(wide, narrow) < 0) return true;
    factor = std::max(factor, 1.0);
    return factor <= most && wide * factor <= most && (factor == 1 || narrow * factor <= most);
  }
};

}  // namespace petrain
