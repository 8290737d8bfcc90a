#include <array>
#include <utility>

#include "digest.hpp"
#include "petrain/prune.hpp"
#include "petrain/sparse.hpp"

namespace petrain::digests {

// Patterns that are gathered by windows, by fours and one by one; rows alone, a few and more than a block of them.
void sparse_layers(const Emit& emit) {
  constexpr std::int64_t kOutputs = 80, kInputs = 480, kRows = 70;
  Random random(51);
  std::vector<float> w = random.floats(kOutputs * kInputs), x = random.floats(kRows * kInputs, 3);
  const std::vector<float> bias = random.floats(kOutputs);
  const ConstTensorView weight{w.data(), DType::f32, {kOutputs, kInputs}};
  Digest stored, layer;
  for (const SparsePattern& pattern :
       {SparsePattern{.n = 2, .m = 4}, SparsePattern{.n = 1, .m = 8}, SparsePattern{.n = 2, .m = 5},
        SparsePattern{.columns = 1}, SparsePattern{.columns = 8}}) {
    const std::int64_t width = pattern.blocks() ? pattern.columns : 1;
    const Tensor means = block_means(weight, pattern.group, width);
    const std::int64_t pool = pattern.blocks() ? means.size() : pattern.m;
    const Tensor kept = keep_greatest(means.view(), pool, pattern.blocks() ? pool / 5 : pattern.n);
    Tensor mask(DType::u8, weight.shape);
    for (std::int64_t i = 0; i < kOutputs; ++i) {
      for (std::int64_t j = 0; j < kInputs; ++j) {
        mask.as<std::uint8_t>()[i * kInputs + j] =
            kept.as<std::uint8_t>()[i / pattern.group * (kInputs / width) + j / width];
      }
    }
    for (const int bits : {32, 8}) {
      const auto small =
          std::make_shared<const SparseTensor>(compress(weight, std::as_const(mask).view(), pattern, bits));
      stored.add(small->values.view());
      stored.add(pattern.blocks() ? small->columns.view() : small->positions.view());
      if (bits == 32) continue;
      const SparseLinear linear(small);
      for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{4}, std::int64_t{11}, kRows}) {
        Tensor y(DType::f32, {rows, kOutputs});
        linear.forward({x.data(), DType::f32, {rows, kInputs}}, y.view(), {bias.data(), DType::f32, {kOutputs}});
        layer.add(std::as_const(y).view());
      }
    }
  }
  emit("sparse/stored", stored);
  emit("sparse/int8 linear", layer);
}

}  // namespace petrain::digests
