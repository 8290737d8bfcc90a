#include "digest.hpp"
#include "petrain/knapsack.hpp"

namespace petrain::digests {

// Choices that are proven, and where costs and errors add up to the same in every option one that is not.
void plans(const Emit& emit) {
  Random random(9);
  Digest digest;
  for (const bool proven : {true, false}) {
    std::vector<std::vector<KnapsackOption>> layers(30);
    std::int64_t most = 0;
    for (auto& options : layers) {
      for (int j = 0; j < 20; ++j) {
        const auto cost = static_cast<std::int64_t>(random.next() % (proven ? 1000000 : 1000000000000));
        const double error = static_cast<double>(random.next() >> 12) * 0x1p-52;
        options.push_back({cost, proven ? error : 1e12 - static_cast<double>(cost)});
      }
      most += proven ? 1000000 : 1000000000000;
    }
    for (const int part : {8, 4, 2}) {
      if (!proven && part != 4) continue;  // it takes a while
      const KnapsackChoice choice = solve_knapsack(layers, most / part);
      digest.add(choice.options);
      digest.add(choice.error);
      digest.add(choice.lower_bound);
    }
  }
  emit("plan/knapsack", digest);
}

}  // namespace petrain::digests
