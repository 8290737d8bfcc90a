#include "knapsack_relaxed.hpp"

#include <algorithm>

namespace petrain::knapsack {
namespace {

Slope slope_between(const Efficient& cheap, const Efficient& good) {
  return {cheap.error - good.error, good.cost - cheap.cost};
}

// Places of the options on the hull: the slopes from one to the next fall.
std::vector<std::size_t> hull_of(const std::vector<Efficient>& options) {
  std::vector<std::size_t> hull;
  for (std::size_t j = 0; j < options.size(); ++j) {
    while (hull.size() >= 2) {
      const Efficient &before = options[hull[hull.size() - 2]], &last = options[hull.back()];
      if (steeper(slope_between(before, last), slope_between(last, options[j]))) break;
      hull.pop_back();
    }
    hull.push_back(j);
  }
  return hull;
}

}  // namespace

void Selection::take(const Step& step) {
  options[step.layer] = step.to;
  cost += step.price;
  error -= step.gain;
}

Relaxed relax(const Layers& layers, std::int64_t budget) {
  Relaxed result;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::vector<std::size_t> hull = hull_of(layers[i]);
    for (std::size_t h = 0; h + 1 < hull.size(); ++h) {
      result.steps.push_back({slope_between(layers[i][hull[h]], layers[i][hull[h + 1]]), i, hull[h], hull[h + 1]});
    }
    result.whole.options.push_back(0);
    result.whole.cost += layers[i][0].cost;
    result.whole.error += layers[i][0].error;
  }
  // Stable: steps of one layer stay in order, and of equal ones the earlier layer comes first.
  std::stable_sort(result.steps.begin(), result.steps.end(), steeper);
  const auto fits = [&](const Selection& s, const Step& step) { return step.price <= budget - s.cost; };
  for (; result.taken < result.steps.size(); ++result.taken) {
    const Step& step = result.steps[result.taken];
    if (!fits(result.whole, step)) break;
    result.whole.take(step);
  }
  result.greedy = result.whole;
  for (std::size_t s = result.taken; s < result.steps.size(); ++s) {
    const Step& step = result.steps[s];
    const bool reached = result.greedy.options[step.layer] == step.from;
    if (reached && fits(result.greedy, step)) result.greedy.take(step);
  }
  return result;
}

}  // namespace petrain::knapsack
