// Low-rank layers and frozen weights through the C++ interface.
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/frozen_weight.hpp"
#include "petrain/lowrank_linear.hpp"
#include "src/gemm.hpp"
#include "src/random.hpp"

using namespace petrain;

namespace {

Tensor random_matrix(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  Tensor matrix(DType::f32, {m, n});
  fill_normal(seed, 0, 0, 1, matrix.as<float>(), m * n);
  return matrix;
}

ConstTensorView constant(const Tensor& t) { return t.view(); }

ConstMatrix view(const Tensor& t) { return {t.as<float>(), t.shape()[0], t.shape()[1]}; }

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.as<char>(), b.as<char>(), a.nbytes()) == 0;
}

// The upper 16 bits of every number, as bfloat16 and as float32.
std::pair<Tensor, Tensor> as_bfloat16(const Tensor& values) {
  Tensor brain(DType::bf16, values.shape()), wide(DType::f32, values.shape());
  for (std::int64_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values.as<float>() + i, 4);
    brain.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(bits >> 16);
    bits &= 0xffff0000u;
    std::memcpy(wide.as<float>() + i, &bits, 4);
  }
  return {std::move(brain), std::move(wide)};
}

}  // namespace

TEST(a_frozen_weight_gives_the_bits_of_a_float32_copy) {
  for (const auto& [out, in] : {std::pair{1, 1}, {3, 5}, {1024, 64}, {1025, 130}, {2100, 24}, {2500, 96}}) {
    const Tensor values = random_matrix(out, in, 1), x = random_matrix(7, in, 2), dy = random_matrix(7, out, 3);
    const auto [brain, wide] = as_bfloat16(values);
    const QuantTensor integers = quantize(constant(values), {.bits = 4, .scheme = Scheme::asymmetric});
    const Tensor restored = dequantize(integers);
    for (const auto& [weight, dense] : {std::pair<FrozenWeight, const Tensor*>{FrozenWeight(constant(values)), &values},
                                        {FrozenWeight(constant(brain)), &wide},
                                        {FrozenWeight(integers), &restored}}) {
      Tensor expected(DType::f32, {7, out}), expected_dx(DType::f32, {7, in});
      gemm(view(x), view(*dense).transposed(), expected.as<float>(), out);
      gemm(view(dy), view(*dense), expected_dx.as<float>(), in);
      for (const int threads : {1, 2, 3}) {
        set_num_threads(threads);
        Tensor y(DType::f32, {7, out}), dx(DType::f32, {7, in});
        weight.forward(constant(x), y.view());
        weight.backward(constant(dy), dx.view());
        CHECK(same(y, expected) && same(dx, expected_dx));
      }
    }
  }
}

TEST(merging_and_norms_do_not_depend_on_threads_and_round_once) {
  const std::int64_t out = 600, in = 70;
  const Tensor w = random_matrix(out, in, 1), a = random_matrix(out, 5, 2), b = random_matrix(5, in, 3);
  const LowRankUpdate update{constant(a), constant(b), 0.5f};
  const FrozenWeight weight(constant(w));
  set_num_threads(1);
  const Tensor merged = weight.merged(update, {}, DType::f32), norms = weight.row_norms(update);
  const Tensor rounded = weight.merged(update, {}, DType::bf16);
  for (std::int64_t i = 0; i < out; i += 97) {
    double square = 0;
    for (std::int64_t j = 0; j < in; ++j) {
      double sum = w.as<float>()[i * in + j];
      for (int r = 0; r < 5; ++r) sum += 0.5 * a.as<float>()[i * 5 + r] * b.as<float>()[r * in + j];
      CHECK(std::fabs(merged.as<float>()[i * in + j] - sum) < 1e-5);
      square += sum * sum;
    }
    CHECK(std::fabs(norms.as<float>()[i] - std::sqrt(square)) < 1e-4);
  }
  for (std::int64_t i = 0; i < merged.size(); ++i) {
    std::uint32_t bits = static_cast<std::uint32_t>(rounded.as<std::uint16_t>()[i]) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    CHECK(std::fabs(value - merged.as<float>()[i]) <= std::fabs(merged.as<float>()[i]) / 256);
  }
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    CHECK(same(weight.merged(update, {}, DType::f32), merged) && same(weight.row_norms(update), norms));
    CHECK(same(weight.merged(update, {}, DType::bf16), rounded));
  }
}

TEST(a_low_rank_layer_adds_to_what_is_there) {
  const Tensor x = random_matrix(9, 40, 1), a = random_matrix(30, 4, 2), b = random_matrix(4, 40, 3);
  const Tensor dy = random_matrix(9, 30, 4);
  Tensor y = random_matrix(9, 30, 5), plain(DType::f32, {9, 30});
  const Tensor before = y.clone();
  const Tensor inner = low_rank_linear(constant(x), constant(a), constant(b), plain.view(), {.scale = 2});
  low_rank_linear(constant(x), constant(a), constant(b), y.view(), {.scale = 2, .accumulate = true});
  for (std::int64_t i = 0; i < y.size(); ++i) {
    CHECK(y.as<float>()[i] == before.as<float>()[i] + plain.as<float>()[i]);
  }
  Tensor dx(DType::f32, {9, 40});
  const LowRankGradients kept =
      low_rank_linear_backward(constant(dy), constant(x), constant(a), constant(b), constant(inner), dx.view(), 2);
  const LowRankGradients again =
      low_rank_linear_backward(constant(dy), constant(x), constant(a), constant(b), {}, {}, 2);
  CHECK(same(kept.a, again.a) && same(kept.b, again.b) && same(kept.bias, again.bias));
}

TEST(errors_say_what_was_expected) {
  const Tensor x = random_matrix(2, 4, 1), a = random_matrix(3, 2, 2), b = random_matrix(2, 4, 3);
  Tensor y(DType::f32, {2, 3});
  CHECK_THROWS(std::invalid_argument, "b: expected shape (2, in) for a of shape (3, 2), got (3, 2)",
               low_rank_linear(constant(x), constant(a), constant(a), y.view()));
  CHECK_THROWS(std::invalid_argument, "x: expected shape (…, 4), got (3, 2)",
               low_rank_linear(constant(a), constant(a), constant(b), y.view()));
  CHECK_THROWS(std::invalid_argument, "bias: expected shape (3,), got (2, 4)",
               low_rank_linear(constant(x), constant(a), constant(b), y.view(), {.bias = constant(x)}));
  const FrozenWeight weight(constant(x));
  CHECK_THROWS(std::invalid_argument, "a: expected shape (2, rank), got (3, 2)",
               weight.row_norms({constant(a), constant(b)}));
  CHECK_THROWS(std::invalid_argument, "x: expected shape (…, 4), got (2, 3)", weight.forward(y.view(), y.view()));
  CHECK_THROWS(std::invalid_argument, "base: expected dtype float32, float16 or bfloat16, got int8",
               FrozenWeight(ConstTensorView{x.as<float>(), DType::i8, {2, 4}}));
}
