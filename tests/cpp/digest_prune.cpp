#include "digest.hpp"
#include "petrain/prune.hpp"

namespace petrain::digests {

void pruning(const Emit& emit) {
  constexpr std::int64_t kOutputs = 37, kInputs = 320, kRows = 700;
  Random random(41);
  std::vector<float> x = random.floats(kRows * kInputs), w = random.floats(kOutputs * kInputs);
  for (std::size_t i = 1; i < x.size(); ++i) x[i] += 0.7f * x[i - 1];  // neighbours that have to do with each other
  const ConstTensorView weight{w.data(), DType::f32, {kOutputs, kInputs}};
  const ConstTensorView samples{x.data(), DType::f32, {kRows, kInputs}};
  Digest masks, adjusted;
  for (const std::int64_t pool : {std::int64_t{4}, kInputs, kOutputs * kInputs}) {
    const Tensor mask = keep_greatest(weight, pool, pool / 2);
    masks.add(mask.view());
  }
  const Tensor means = block_means(weight, 37, 8);
  masks.add(means.view());
  ColumnSquares squares(kInputs);
  squares.observe(samples);
  masks.add(squares.sums().view());
  emit("prune/masks", masks);
  HessianObserver observer(kInputs);
  observer.observe(samples);
  const auto add = [&](const Pruned& pruned) {
    adjusted.add(pruned.w.view());
    adjusted.add(pruned.mask.view());
    adjusted.add(pruned.before);
    adjusted.add(pruned.after);
  };
  add(sparse_gpt(weight, observer, {.pool = 4, .keep = 2}));
  add(sparse_gpt(weight, observer, {.pool = 0, .keep = 100}));
  const Tensor mask = keep_greatest(weight, 8, 4);
  add(compensate(weight, observer, mask.view()));
  emit("prune/sparse gpt", adjusted);
}

}  // namespace petrain::digests
