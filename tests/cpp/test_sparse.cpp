// Sparse weights through their C++ interface. The Python tests compare them with a reference in more ways.
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "check.hpp"
#include "digest.hpp"
#include "folder.hpp"
#include "petrain/error.hpp"
#include "petrain/quant_linear.hpp"
#include "petrain/safetensors.hpp"
#include "petrain/sparse.hpp"

using namespace petrain;

namespace {

Tensor floats(Shape shape, std::uint64_t seed) {
  digests::Random random(seed);
  Tensor tensor(DType::f32, std::move(shape));
  const auto values = random.floats(static_cast<std::size_t>(tensor.size()));
  std::copy(values.begin(), values.end(), tensor.as<float>());
  return tensor;
}

// Keeps every input i of group g for which (i + g) % 4 < 2.
Tensor half(const Shape& shape, std::int64_t group) {
  Tensor mask(DType::u8, shape);
  for (std::int64_t i = 0; i < mask.size(); ++i) {
    mask.as<std::uint8_t>()[i] = (i % shape[1] + i / shape[1] / group) % 4 < 2;
  }
  return mask;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::equal(a.as<std::byte>(), a.as<std::byte>() + a.nbytes(), b.as<std::byte>());
}

std::shared_ptr<const SparseTensor> shared(SparseTensor w) {
  return std::make_shared<const SparseTensor>(std::move(w));
}

}  // namespace

TEST(float_products_are_those_of_the_dense_weight) {
  for (const std::int64_t group : {1, 2, 4, 8, 16}) {
    const Tensor w = floats({48, 64}, 1), mask = half(w.shape(), group), bias = floats({48}, 2);
    const SparseLinear layer(shared(compress(w.view(), mask.view(), {.group = group, .n = 2, .m = 4}, 32)));
    const Tensor full = dense(layer.weight());
    for (const std::int64_t rows : {1, 2, 5, 13, 70}) {
      const Tensor x = floats({rows, 64}, 3);
      Tensor y(DType::f32, {rows, 48});
      layer.forward(x.view(), y.view(), bias.view());
      for (std::int64_t i = 0; i < y.size(); ++i) {
        double sum = bias.as<float>()[i % 48];
        for (std::int64_t k = 0; k < 64; ++k) {
          sum += double{x.as<float>()[i / 48 * 64 + k]} * double{full.as<float>()[i % 48 * 64 + k]};
        }
        CHECK(std::fabs(y.as<float>()[i] - sum) < 1e-5);
      }
    }
  }
}

TEST(int8_products_are_those_of_the_dense_layer) {
  for (const SparsePattern& pattern : {SparsePattern{.n = 2, .m = 4}, SparsePattern{.columns = 4}}) {
    const Tensor w = floats({96, 320}, 1), mask = half(w.shape(), 16);
    const SparseLinear layer(shared(compress(w.view(), mask.view(), pattern, 8)));
    const QuantLinear reference(quantize(dense(layer.weight()).view()));
    for (const std::int64_t rows : {1, 4, 5, 64, 129}) {
      const Tensor x = floats({rows, 320}, 2);
      Tensor y(DType::f32, {rows, 96}), expected(DType::f32, {rows, 96});
      layer.forward(x.view(), y.view());
      reference.forward(x.view(), expected.view());
      CHECK(same(y, expected));
    }
  }
}

TEST(gradients_go_to_what_is_stored) {
  const Tensor w = floats({32, 16}, 1), mask = half(w.shape(), 8), x = floats({5, 16}, 2), dy = floats({5, 32}, 3);
  const SparseLinear layer(shared(compress(w.view(), mask.view(), {.group = 8, .columns = 2}, 32)));
  Tensor dx(DType::f32, {5, 16});
  const auto gradients = layer.backward(dy.view(), x.view(), dx.view());
  CHECK(gradients.values.shape() == layer.weight().values.shape() && gradients.bias.shape() == Shape{32});
  const Tensor full = dense(layer.weight());
  for (std::int64_t i = 0; i < dx.size(); ++i) {
    double sum = 0;
    for (std::int64_t n = 0; n < 32; ++n) {
      sum += double{dy.as<float>()[i / 16 * 32 + n]} * double{full.as<float>()[n * 16 + i % 16]};
    }
    CHECK(std::fabs(dx.as<float>()[i] - sum) < 1e-5);
  }
}

TEST(parts_are_checked) {
  const Tensor w = floats({32, 16}, 1), mask = half(w.shape(), 16);
  const SparseTensor blocks = compress(w.view(), mask.view(), {.columns = 2}, 32);
  const SparseTensor n_m = compress(w.view(), mask.view(), {.n = 2, .m = 4}, 32);
  CHECK(static_cast<std::int64_t>(blocks.nbytes()) ==
        sparse_nbytes({32, 16}, blocks.pattern, 32, blocks.columns.size()));
  CHECK(static_cast<std::int64_t>(n_m.nbytes()) == sparse_nbytes({32, 16}, n_m.pattern, 32, 0));
  SparseTensor wrong = blocks.clone();
  wrong.columns.as<std::int32_t>()[1] = wrong.columns.as<std::int32_t>()[0];
  CHECK_THROWS(std::invalid_argument, "columns: expected", SparseLinear(shared(std::move(wrong))));
  wrong = blocks.clone();
  wrong.starts.as<std::int32_t>()[1] = 1 << 30;
  CHECK_THROWS(std::invalid_argument, "starts: expected", SparseLinear(shared(std::move(wrong))));
  wrong = n_m.clone();
  wrong.positions.as<std::uint8_t>()[0] = 0;
  CHECK_THROWS(std::invalid_argument, "positions: expected", SparseLinear(shared(std::move(wrong))));
  CHECK_THROWS(std::invalid_argument, "group: expected 1, 2, 4, 8 or 16",
               compress(w.view(), mask.view(), {.group = 3, .columns = 1}, 32));
  const SparseLinear layer(shared(blocks.clone()));
  Tensor x = floats({3, 16}, 2), y(DType::f32, {3, 31});
  CHECK_THROWS(std::invalid_argument, "y: expected shape (3, 32), got (3, 31)",
               layer.forward(std::as_const(x).view(), y.view()));
}

TEST(weights_are_saved_and_loaded) {
  const Folder folder;
  const std::string path = folder / "sparse.safetensors";
  const Tensor w = floats({32, 16}, 1), mask = half(w.shape(), 16);
  const SparseTensor blocks = compress(w.view(), mask.view(), {.columns = 2}, 32);
  const SparseTensor n_m = compress(w.view(), mask.view(), {.n = 2, .m = 4}, 8);
  save_sparse(path, {{"a", &blocks}, {"b", &n_m}});
  const auto loaded = load_sparse(path);
  CHECK(loaded.size() == 2);
  CHECK(same(dense(loaded.at("a")), dense(blocks)) && same(dense(loaded.at("b")), dense(n_m)));
  CHECK(loaded.at("b").pattern == n_m.pattern && loaded.at("b").nbytes() == n_m.nbytes());
  write_safetensors(path, {}, {});
  CHECK_THROWS(Error, "not a file of sparse weights: it has no \"petrain.sparse\" in its metadata", load_sparse(path));
}
