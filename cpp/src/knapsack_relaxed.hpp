// The linear relaxation of the multiple-choice knapsack problem: what Sinha and Zoltners (Operations Research 27, 1979)
// solve greedily, by the steps between the options on the lower convex hull of each layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace petrain::knapsack {

using Wide = __int128;  // holds every product of two numbers here exactly

// An option that no other of its layer beats in both: in a layer's list costs rise and errors fall.
struct Efficient {
  std::int64_t cost = 0, error = 0;
  std::size_t index = 0;  // as the caller counts
};

using Layers = std::vector<std::vector<Efficient>>;

// So much less error for so much more cost.
struct Slope {
  std::int64_t gain = 0, price = 1;
};

inline bool steeper(const Slope& a, const Slope& b) { return Wide{a.gain} * b.price > Wide{b.gain} * a.price; }

// From an option to the next one on the hull.
struct Step : Slope {
  std::size_t layer = 0, from = 0, to = 0;
};

struct Selection {
  std::vector<std::size_t> options;  // places in each layer's list
  std::int64_t cost = 0, error = 0;

  void take(const Step& step);
};

struct Relaxed {
  std::vector<Step> steps;  // of all layers, the steepest first
  std::size_t taken = 0;    // how many of them the relaxation takes whole; the next one does not fit
  Selection whole;          // what they lead to
  Selection greedy;         // and with all later ones that still fit
};

// The cheapest selection must fit the budget.
Relaxed relax(const Layers& layers, std::int64_t budget);

}  // namespace petrain::knapsack
