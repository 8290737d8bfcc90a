// One option for each layer under a budget, against every choice.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "petrain/knapsack.hpp"

using namespace petrain;

namespace {

using Options = std::vector<std::vector<KnapsackOption>>;

// The least error that fits, or nothing.
std::optional<double> best_of_all(const Options& layers, std::int64_t budget, std::size_t layer = 0, double error = 0) {
  if (budget < 0) return std::nullopt;
  if (layer == layers.size()) return error;
  std::optional<double> best;
  for (const KnapsackOption& option : layers[layer]) {
    const auto found = best_of_all(layers, budget - option.cost, layer + 1, error + option.error);
    if (found && (!best || *found < *best)) best = found;
  }
  return best;
}

// Numbers from 0 to count - 1; many are equal where count is small.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()(std::uint64_t count) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (state_ >> 33) % count;
  }

 private:
  std::uint64_t state_;
};

Options random_options(Draw& draw, std::uint64_t distinct) {
  Options layers(1 + draw(6));
  for (auto& options : layers) {
    options.resize(1 + draw(5));
    for (auto& option : options) {
      option.cost = static_cast<std::int64_t>(draw(distinct));
      option.error = static_cast<double>(draw(distinct)) * std::ldexp(1.0, -static_cast<int>(draw(60)));
    }
  }
  return layers;
}

KnapsackChoice solve(const Options& layers, std::int64_t budget) { return solve_knapsack(layers, budget); }

}  // namespace

TEST(the_choice_is_as_good_as_any) {
  Draw draw(1);
  int solved = 0;
  for (int round = 0; round < 3000; ++round) {
    const Options layers = random_options(draw, round % 2 == 0 ? 6 : 100000);
    std::int64_t least = 0, most = 0;
    for (const auto& options : layers) {
      const auto [low, high] = std::minmax_element(options.begin(), options.end(),
                                                   [](const auto& a, const auto& b) { return a.cost < b.cost; });
      least += low->cost;
      most += high->cost;
    }
    const std::int64_t budget = least + static_cast<std::int64_t>(draw(static_cast<std::uint64_t>(most - least) + 2));
    const double best = *best_of_all(layers, budget);
    const KnapsackChoice choice = solve(layers, budget);
    double error = 0;
    std::int64_t cost = 0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      error += layers[i][static_cast<std::size_t>(choice.options[i])].error;
      cost += layers[i][static_cast<std::size_t>(choice.options[i])].cost;
    }
    CHECK(choice.error == error && choice.cost == cost && cost <= budget);
    CHECK(std::fabs(error - best) <= 1e-13 * best);
    CHECK(choice.gap == 0 && choice.lower_bound <= best && choice.lower_bound >= best * (1 - 1e-13));
    solved += choice.error > 0;
  }
  CHECK(solved > 1000);
}

TEST(of_equal_options_the_earliest_and_of_equal_errors_the_cheapest) {
  CHECK((solve({{{5, 1}, {3, 1}, {3, 1}, {9, 1}}}, 9)).options[0] == 1);
  CHECK((solve({{{5, 0}, {3, 0}, {3, 0}}}, 9)).options[0] == 1);
}

TEST(errors_of_any_size_are_told_apart) {
  const double tiny = std::numeric_limits<double>::denorm_min(), huge = 1e307;
  CHECK((solve({{{0, 3 * tiny}, {1, 2 * tiny}}, {{0, 5 * tiny}, {1, tiny}}}, 1)).error == 4 * tiny);
  CHECK((solve({{{0, huge}, {1, tiny}}, {{0, huge}, {2, 2 * tiny}}}, 3)).error == 3 * tiny);
  CHECK((solve({{{0, huge}, {1, 2}}, {{0, 7}, {1, 3}}}, 1)).error == 9);
  const KnapsackChoice choice = solve({{{0, 1 + std::ldexp(1, -52)}, {1, 1}}, {{0, 1}}}, 1);
  CHECK(choice.options[0] == 1 && choice.error == 2 && choice.gap == 0);
}

TEST(a_bound_holds_where_there_are_too_many_choices_to_prove_the_best) {
  // Error and cost add up to the same in every option: the least error is the fullest budget.
  Draw draw(2);
  Options layers(40);
  for (auto& options : layers) {
    for (int j = 0; j < 30; ++j) {
      const auto cost = static_cast<std::int64_t>(draw(std::uint64_t{1} << 31)) << 20 | 1;
      options.push_back({cost, 4e15 - static_cast<double>(cost)});
    }
  }
  std::int64_t least = 0;
  for (const auto& options : layers) {
    least += std::min_element(options.begin(), options.end(), [](const auto& a, const auto& b) {
               return a.cost < b.cost;
             })->cost;
  }
  const KnapsackChoice choice = solve(layers, 2 * least);
  CHECK(choice.gap > 0 && choice.gap < 1e-5);
  CHECK(choice.lower_bound < choice.error && choice.cost <= 2 * least);
}

TEST(errors_say_what_was_expected) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS(std::invalid_argument, "layers: expected at least one, got none", (solve({}, 1)));
  CHECK_THROWS(std::invalid_argument, "layer 1: expected at least one option, got none", (solve({{{1, 1}}, {}}, 1)));
  CHECK_THROWS(std::invalid_argument, "layer 0, option 1: cost: expected at least 0, got -1",
               (solve({{{1, 1}, {-1, 1}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "layer 0, option 0: error: expected a finite number of at least 0, got nan",
               (solve({{{1, nan}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "at least 0, got -0.5", (solve({{{1, -0.5}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "got inf", (solve({{{1, std::numeric_limits<double>::infinity()}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "costs: expected largest ones whose sum is below 2**63",
               (solve({{{most, 1}}, {{1, 1}, {0, 1}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "errors: expected largest ones whose sum is finite, got inf",
               (solve({{{0, 1e308}}, {{0, 1e308}, {1, 0}}}, 1)));
  CHECK_THROWS(std::invalid_argument, "budget: expected at least 7, got 6",
               (solve({{{3, 1}, {9, 0}}, {{4, 1}, {5, 0}}}, 6)));
  CHECK((solve({{{most, 1}, {0, 2}}}, most)).error == 1);
}
