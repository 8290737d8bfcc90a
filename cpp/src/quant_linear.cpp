#include <atomic>

#include "checks.hpp"
#include "isa.hpp"
#include "petrain/quant.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kTile = 64;                    // of the output, both ways
constexpr std::int64_t kProductsPerThread = 1 << 18;  // below this a thread costs more than it saves

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

struct Product {
  std::int64_t m, n, k;
  const std::int8_t *a, *b;

  std::int64_t columns() const { return (n + kTile - 1) / kTile; }
  std::int64_t tiles() const { return (m + kTile - 1) / kTile * columns(); }
  int threads() const { return threads_for(std::min(tiles(), m * n * k / kProductsPerThread)); }

  struct Tile {
    std::int64_t row, column, m, n;
  };
  Tile tile(std::int64_t index) const {
    const std::int64_t row = index / columns() * kTile, column = index % columns() * kTile;
    return {row, column, std::min(kTile, m - row), std::min(kTile, n - column)};
  }
  kernels::MatmulArgs args(const Tile& t, std::int32_t* sums, std::int64_t stride) const {
    return {a + t.row * k, b + t.column * k, sums, t.m, t.n, k, k, k, stride};
  }
};

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
  const Product product{m, n, k, a.as<std::int8_t>(), b.as<std::int8_t>()};
  const auto& kernels = *active_kernels().quant;
  auto* sums = result.as<std::int32_t>();
  parallel(product.threads(), [&](const Team& team) {
    const ChunkRange mine = team.share(product.tiles());
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Product::Tile tile = product.tile(i);
      kernels.matmul(product.args(tile, sums + tile.row * n + tile.column, n));
    }
  });
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

  Tensor rows(DType::i8, {m, k}), row_scale(DType::f32, {m});
  auto* scales = row_scale.as<float>();
  const Product product{m, n, k, rows.as<std::int8_t>(), w.values.as<std::int8_t>()};
  const auto& kernels = *active_kernels().quant;
  std::atomic<bool> usable{true};
  parallel(product.threads(), [&](const Team& team) {
    const ChunkRange my_rows = team.share(m);
    for (std::int64_t i = my_rows.begin; i < my_rows.end; ++i) {
      const float* row = x.as<float>() + i * k;
      const float most = kernels.max_abs_run(row, k);
      scales[i] = scale_for(most);
      if (!std::isfinite(most) || !std::isfinite(scales[i] * largest_scale)) {
        usable = false;
        break;
      }
      kernels.quantize_run(row, scales[i], rows.as<std::int8_t>() + i * k, k);
    }
    team.barrier();
    if (!usable) return;
    const ChunkRange my_tiles = team.share(product.tiles());
    std::int32_t sums[kTile * kTile];
    for (std::int64_t t = my_tiles.begin; t < my_tiles.end; ++t) {
      const Product::Tile tile = product.tile(t);
      kernels.matmul(product.args(tile, sums, kTile));
      for (std::int64_t i = 0; i < tile.m; ++i) {
        float* out = y.as<float>() + (tile.row + i) * n + tile.column;
        kernels.rescale({sums + i * kTile, w_scale + tile.column, biases ? biases + tile.column : nullptr, out, tile.n,
                         scales[tile.row + i]});
      }
    }
  });
  if (usable) return;
  require_finite(x, "x");
  float largest = 0;
  for (std::int64_t i = 0; i < m; ++i)
    largest = std::max(largest, scale_for(kernels.max_abs_run(x.as<float>() + i * k, k)));
  throw std::invalid_argument("expected scales of x and w with a finite product, got " + number_text(largest) +
                              " and " + number_text(largest_scale));
}

}  // namespace petrain
