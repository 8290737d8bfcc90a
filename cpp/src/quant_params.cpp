#include <algorithm>
#include <cmath>

#include "checks.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"

namespace petrain {

QuantParams range_params(double low, double high, int bits, Scheme scheme) {
  require_bits(bits);
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) {
    throw std::invalid_argument("range: expected finite numbers, the lower one first, got " + number_text(low) +
                                " and " + number_text(high));
  }
  const int most = (1 << (bits - 1)) - 1;
  if (scheme == Scheme::symmetric) {
    const double greatest = std::max(std::fabs(low), std::fabs(high));
    return {.scale = greatest == 0 ? 1.0F : bounded_scale(greatest / most, most), .scheme = scheme};
  }
  const int least = -most - 1;
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  if (low == high) return {};
  const float scale = bounded_scale((high - low) / (most - least), most - least);
  const double zero = std::nearbyint(least - low / static_cast<double>(scale));
  return {.scale = scale, .zero_point = static_cast<std::int32_t>(std::clamp<double>(zero, least, most))};
}

}  // namespace petrain
