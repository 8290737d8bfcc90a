#include "petrain/init.hpp"

#include <cmath>

#include "checks.hpp"
#include "random.hpp"

namespace petrain {

void init_uniform(const TensorView& values, double low, double high, std::uint64_t seed) {
  require(values, DType::f32, values.shape, "values");
  if (!(low <= high) || !std::isfinite(high - low)) {
    throw std::invalid_argument("expected finite low <= high, got " + number_text(low) + " and " + number_text(high));
  }
  fill_uniform(seed, 0, low, high, values.as<float>(), values.size());
}

void init_normal(const TensorView& values, double mean, double deviation, std::uint64_t seed) {
  require(values, DType::f32, values.shape, "values");
  if (!(deviation >= 0) || !std::isfinite(deviation) || !std::isfinite(mean)) {
    throw std::invalid_argument("expected a finite mean and deviation >= 0, got " + number_text(mean) + " and " +
                                number_text(deviation));
  }
  fill_normal(seed, 0, mean, deviation, values.as<float>(), values.size());
}

void init_weight(const TensorView& weight, Init init, std::uint64_t seed) {
  if (weight.shape.size() < 2) {
    throw std::invalid_argument("expected a weight of at least 2 dimensions (out, in, …), got shape " +
                                shape_text(weight.shape));
  }
  double field = 1;
  for (std::size_t i = 2; i < weight.shape.size(); ++i) field *= static_cast<double>(weight.shape[i]);
  const double fan_in = field * static_cast<double>(weight.shape[1]);
  const double fan_out = field * static_cast<double>(weight.shape[0]);
  if (fan_in == 0 || fan_out == 0) return;
  const bool xavier = init == Init::xavier_uniform || init == Init::xavier_normal;
  const double variance = 2 / (xavier ? fan_in + fan_out : fan_in);
  if (init == Init::xavier_normal || init == Init::he_normal) {
    init_normal(weight, 0, std::sqrt(variance), seed);
  } else {
    const double bound = std::sqrt(3 * variance);
    init_uniform(weight, -bound, bound, seed);
  }
}

}  // namespace petrain
