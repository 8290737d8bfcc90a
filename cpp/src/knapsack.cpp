#include "petrain/knapsack.hpp"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "knapsack_core.hpp"

namespace petrain {
namespace {

using Options = std::span<const std::vector<KnapsackOption>>;

// Partial selections to look at, at most about: a third of a second.
constexpr std::size_t kWork = std::size_t{1} << 22;

[[noreturn]] void refuse(const std::string& what, const std::string& expected, const std::string& got) {
  throw std::invalid_argument(what + ": expected " + expected + ", got " + got);
}

void check(Options layers) {
  if (layers.empty()) refuse("layers", "at least one", "none");
  std::int64_t costs = 0;
  double errors = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string layer = "layer " + std::to_string(i);
    if (layers[i].empty()) refuse(layer, "at least one option", "none");
    KnapsackOption largest;
    for (std::size_t j = 0; j < layers[i].size(); ++j) {
      const auto [cost, error] = layers[i][j];
      const auto option = [&] { return layer + ", option " + std::to_string(j); };
      if (cost < 0) refuse(option() + ": cost", "at least 0", std::to_string(cost));
      if (!std::isfinite(error) || error < 0) {
        refuse(option() + ": error", "a finite number of at least 0", number_text(error));
      }
      largest.cost = std::max(largest.cost, cost);
      largest.error = std::max(largest.error, error);
    }
    if (largest.cost > std::numeric_limits<std::int64_t>::max() - costs) {
      refuse("costs", "largest ones whose sum is below 2**63", "more up to " + layer);
    }
    costs += largest.cost;
    errors += largest.error;
  }
  if (!std::isfinite(errors)) refuse("errors", "largest ones whose sum is finite", number_text(errors));
}

// The places of the options of a layer that none beats or equals in both, by rising cost.
std::vector<std::size_t> undominated(const std::vector<KnapsackOption>& options) {
  std::vector<std::size_t> order(options.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return options[a].cost != options[b].cost ? options[a].cost < options[b].cost : options[a].error < options[b].error;
  });
  std::size_t kept = 1;
  for (std::size_t j = 1; j < order.size(); ++j) {
    if (options[order[j]].error < options[order[kept - 1]].error) order[kept++] = order[j];
  }
  order.resize(kept);
  return order;
}

double error_of(Options layers, const std::vector<std::int64_t>& chosen) {
  double sum = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) sum += layers[i][static_cast<std::size_t>(chosen[i])].error;
  return sum;
}

// Errors as integers times a power of two.
struct Scaled {
  knapsack::Layers layers;
  int exponent = 0;

  std::vector<std::int64_t> chosen(const std::vector<std::size_t>& places) const {
    std::vector<std::int64_t> result;
    for (std::size_t i = 0; i < places.size(); ++i) {
      result.push_back(static_cast<std::int64_t>(layers[i][places[i]].index));
    }
    return result;
  }
};

// Without the options whose error alone is above `most`, which a choice is known to stay within. What is left sums up
// to at most 2^62 units.
Scaled scale(Options layers, const std::vector<std::vector<std::size_t>>& kept, double most) {
  most = std::min(most * (1 + 1e-9), DBL_MAX);  // it is a rounded sum
  const int bits = 62 - static_cast<int>(std::bit_width(layers.size() - 1));
  Scaled result;
  result.exponent = std::max(std::ilogb(most) + 1 - bits, -1074);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    std::vector<knapsack::Efficient> options;
    for (const std::size_t j : kept[i]) {
      const auto [cost, error] = layers[i][j];
      if (error > most) continue;
      const auto units = static_cast<std::int64_t>(std::floor(std::ldexp(error, -result.exponent)));
      if (options.empty() || units < options.back().error) options.push_back({cost, units, j});
    }
    result.layers.push_back(std::move(options));
  }
  return result;
}

// At most the exact value.
double rounded_down(std::int64_t units, int exponent) {
  auto value = static_cast<double>(units);
  if (static_cast<knapsack::Wide>(value) > units) value = std::nextafter(value, 0.0);
  return std::ldexp(value, exponent);
}

std::vector<std::int64_t> cheapest(Options layers, const std::vector<std::vector<std::size_t>>& kept,
                                   std::int64_t budget) {
  std::vector<std::int64_t> chosen;
  std::int64_t cost = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    cost += layers[i][kept[i][0]].cost;
    chosen.push_back(static_cast<std::int64_t>(kept[i][0]));
  }
  if (cost > budget) refuse("budget", "at least " + std::to_string(cost), std::to_string(budget));
  return chosen;
}

}  // namespace

KnapsackChoice solve_knapsack(Options layers, std::int64_t budget) {
  check(layers);
  std::vector<std::vector<std::size_t>> kept;
  for (const auto& options : layers) kept.push_back(undominated(options));
  KnapsackChoice result;
  result.options = cheapest(layers, kept, budget);
  result.error = error_of(layers, result.options);
  // The finer the units, the better a choice is known: relax until that gains no more.
  while (result.error > 0) {
    const double before = result.error;
    const Scaled scaled = scale(layers, kept, before);
    const knapsack::Relaxed relaxed = knapsack::relax(scaled.layers, budget);
    result.options = scaled.chosen(relaxed.greedy.options);
    result.error = error_of(layers, result.options);
    if (result.error < before / 2) continue;
    const knapsack::Best best = knapsack::improve(scaled.layers, budget, relaxed, kWork);
    result.options = scaled.chosen(best.selection.options);
    result.error = error_of(layers, result.options);
    result.lower_bound = rounded_down(best.lower_bound, scaled.exponent);
    const bool proven = best.lower_bound == best.selection.error;
    result.gap = proven || result.error == 0 ? 0 : (result.error - result.lower_bound) / result.error;
    break;
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    result.cost += layers[i][static_cast<std::size_t>(result.options[i])].cost;
  }
  return result;
}

}  // namespace petrain
