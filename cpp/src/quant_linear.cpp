#include <algorithm>
#include <atomic>

#include "checks.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 1 << 16;  // of rows whose largest number is looked for

void require_matrix(const ConstTensorView& array, const std::string& what) {
  if (array.shape.size() != 2) {
    throw std::invalid_argument(what + ": expected two dimensions, got shape " + shape_text(array.shape));
  }
  require_elements(array, what);
}

void require_depth(std::int64_t k) {
  if (k > kMaxDepth) {
    throw std::invalid_argument("expected sums of at most " + std::to_string(kMaxDepth) +
                                " products, which int32 holds exactly, got " + std::to_string(k));
  }
}

}  // namespace

Tensor matmul_int(const ConstTensorView& a, const ConstTensorView& b) {
  require_dtype(a, DType::i8, "a");
  require_dtype(b, DType::i8, "b");
  require_matrix(a, "a");
  require_matrix(b, "b");
  const std::int64_t m = a.shape[0], n = b.shape[0], k = a.shape[1];
  require(b, DType::i8, {n, k}, "b");
  require_depth(k);
  Tensor result(DType::i32, {m, n});
  const auto* rows = a.as<std::int8_t>();
  auto* sums = result.as<std::int32_t>();
  const IntMatrix matrix(b.as<std::int8_t>(), n, k);
  int_product({m, [&](std::int64_t i, std::int8_t* to) { std::copy_n(rows + i * k, k, to); },
               [&](const SumsBlock& block) {
                 for (std::int64_t i = 0; i < block.rows; ++i) {
                   std::copy_n(block.sums + i * block.stride, block.columns, sums + (block.row + i) * n + block.column);
                 }
               }},
              matrix);
  return result;
}

void linear(const ConstTensorView& x, const QuantTensor& w, const ConstTensorView& bias, const TensorView& y) {
  w.validate();
  if (w.shape.size() != 2 || w.spec != QuantSpec{}) {
    throw std::invalid_argument("w: expected two dimensions, " + spec_text({}) + ", got shape " + shape_text(w.shape) +
                                ", " + spec_text(w.spec));
  }
  const std::int64_t n = w.shape[0], k = w.shape[1];
  const bool one_row = x.shape.size() == 1;
  require_dtype(x, DType::f32, "x");
  if (!one_row) require_matrix(x, "x");
  const std::int64_t m = one_row ? 1 : x.shape[0];
  require(x, DType::f32, one_row ? Shape{k} : Shape{m, k}, "x");
  require(y, DType::f32, one_row ? Shape{n} : Shape{m, n}, "y");
  require_depth(k);
  if (bias.data != nullptr) {
    require(bias, DType::f32, {n}, "bias");
    require_finite(bias, "bias");
  }
  const auto* w_scale = w.scale.as<float>();
  const auto* biases = bias.as<float>();
  const float largest_scale = *std::max_element(w_scale, w_scale + n);

  Tensor row_scale(DType::f32, {m});
  auto* scales = row_scale.as<float>();
  const auto& kernels = *active_kernels().quant;
  std::atomic<bool> usable{true};
  parallel(threads_for(m * k / kElementsPerThread), [&](const Team& team) {
    const ChunkRange mine = team.share(m);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const float most = kernels.max_abs_run(x.as<float>() + i * k, k);
      scales[i] = scale_for(most);
      if (!std::isfinite(most) || !std::isfinite(scales[i] * largest_scale)) usable = false;
    }
  });
  if (usable) {
    const IntMatrix matrix(w.values.as<std::int8_t>(), n, k);
    int_product(
        {m, [&](std::int64_t i, std::int8_t* to) { kernels.quantize_run(x.as<float>() + i * k, scales[i], to, k); },
         [&](const SumsBlock& block) {
           for (std::int64_t i = 0; i < block.rows; ++i) {
             float* out = y.as<float>() + (block.row + i) * n + block.column;
             kernels.rescale({block.sums + i * block.stride, w_scale + block.column,
                              biases ? biases + block.column : nullptr, out, block.columns, scales[block.row + i]});
           }
         }},
        matrix);
    return;
  }
  require_finite(x, "x");
  float largest = 0;
  for (std::int64_t i = 0; i < m; ++i)
    largest = std::max(largest, scale_for(kernels.max_abs_run(x.as<float>() + i * k, k)));
  throw std::invalid_argument("expected scales of x and w with a finite product, got " + number_text(largest) +
                              " and " + number_text(largest_scale));
}

}  // namespace petrain
