// One option for each layer, so that the summed cost fits a budget and the summed error is least: the multiple-choice
// knapsack problem.
//
//   const std::vector<std::vector<petrain::KnapsackOption>> layers = {{{4096, 0.0}, {1088, 3e-5}}, {{512, 0.0}}};
//   const petrain::KnapsackChoice choice = petrain::solve_knapsack(layers, 2000);
//   choice.options;  // {1, 0}
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace petrain {

struct KnapsackOption {
  std::int64_t cost = 0;  // bytes, nanoseconds; at least 0
  double error = 0;       // finite, at least 0
};

struct KnapsackChoice {
  std::vector<std::int64_t> options;  // the index of each layer's
  std::int64_t cost = 0;
  double error = 0;        // summed in the order of the layers
  double lower_bound = 0;  // no choice that fits the budget has a smaller sum, in exact arithmetic
  double gap = 0;          // (error - lower_bound) / error; 0 where the choice is proven to be the best
};

// The same for any number of threads and on every instruction set. Errors are compared as integers, in units of 2⁻⁶² of
// the best sum for up to one layer, 2⁻⁵⁴ for 200. Of options with the same cost and error the earliest is taken, and of
// those with the same error the cheapest. Where millions of partial choices would have to be looked at, the more
// promising ones are, for about a third of a second, and the gap is what is not proven.
//
// Throws std::invalid_argument where there are no layers or a layer has no options, a cost or an error is not as said,
// the sum of the layers' largest costs or errors overflows, or no choice fits; the message then has the least budget
// that would do.
KnapsackChoice solve_knapsack(std::span<const std::vector<KnapsackOption>> layers, std::int64_t budget);

}  // namespace petrain
