// The best selection, by dynamic programming over a core of layers that grows: Pisinger, "A minimal algorithm for the
// multiple-choice knapsack problem", European Journal of Operational Research 83, 1995.
#pragma once

#include "knapsack_relaxed.hpp"

namespace petrain::knapsack {

struct Best {
  Selection selection;
  std::int64_t lower_bound = 0;  // no selection that fits has a smaller error; selection.error where that is proven
};

// `relaxed` must be of these layers and this budget. Only so many partial selections as are the most promising are
// followed, at first few, then more until the best selection is proven or `most_work` of them have been looked at; the
// lower bound is that of the best one that was dropped.
Best improve(const Layers& layers, std::int64_t budget, const Relaxed& relaxed, std::size_t most_work);

}  // namespace petrain::knapsack
