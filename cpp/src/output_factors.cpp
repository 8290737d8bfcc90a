// The best factors of a rank in the norm tr(E H Eᵀ): with H = R Rᵀ it is ‖E R‖², so they are the truncated singular
// value decomposition of W R, times R⁻¹.
#include <algorithm>
#include <cmath>
#include <utility>

#include "factorize.hpp"
#include "hessian.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kColumns = 64;

// W R in float32, for R of a size at which it is neither much larger than W nor much smaller.
Tensor times_upper(const ConstTensorView& w, const Panels& r) {
  struct Own {
    RowBlock values, product;
  };
  const std::int64_t n = w.shape[0], k = w.shape[1], stride = r.padded();
  Tensor result = Tensor::uninitialized(DType::f32, {n, k});
  for_each_row_block(
      n, [&] { return Own{row_block(r), row_block(r)}; },
      [&](std::int64_t first, std::int64_t rows, Own& own) {
        for (std::int64_t i = 0; i < rows; ++i) {
          const float* row = w.as<float>() + (first + i) * k;
          std::copy(row, row + k, own.values.begin() + i * stride);
        }
        std::fill(own.product.begin(), own.product.end(), 0.0);
        for (std::int64_t j = 0; j < k; j += kColumns) {
          const std::int64_t end = std::min(j + kColumns, k);
          add_product(own.values.data(), rows, 0, end, r, j / kPanel, (end + kPanel - 1) / kPanel, own.product.data(),
                      stride);
        }
        for (std::int64_t i = 0; i < rows; ++i) {
          float* to = result.as<float>() + (first + i) * k;
          for (std::int64_t j = 0; j < k; ++j) to[j] = to_float(own.product[i * stride + j]);
        }
      });
  return result;
}

// Row i becomes b with b R = row i, for `rows` rows.
void solve_upper(double* values, std::int64_t rows, const Panels& r, double* sums) {
  const std::int64_t stride = r.padded();
  std::fill_n(sums, rows * stride, 0.0);
  for (std::int64_t begin = 0; begin < r.size; begin += kColumns) {
    const std::int64_t end = std::min(begin + kColumns, r.size);
    for (std::int64_t i = 0; i < rows; ++i) {
      double *b = values + i * stride, *sum = sums + i * stride;
      for (std::int64_t j = begin; j < end; ++j) {
        for (std::int64_t l = begin; l < j; ++l) sum[j] += b[l] * r.at(l, j);
        b[j] = (b[j] - sum[j]) / r.at(j, j);
      }
    }
    if (end < r.size) add_product(values, rows, begin, end, r, end / kPanel, r.count, sums, stride);
  }
}

// Of W R, which is `product`, the second one times R⁻¹.
LowRank factors_of(const Tensor& product, const Panels& r, const Keep& keep, std::uint64_t seed) {
  RoundedFactors rounded = spectral_factors(product.view(), keep, seed);
  LowRank factors{std::move(rounded.u), std::move(rounded.vt), {}};
  const std::int64_t rank = factors.rank(), k = r.size;
  using Own = std::pair<RowBlock, RowBlock>;
  for_each_row_block(
      rank, [&] { return Own(row_block(r), row_block(r)); },
      [&](std::int64_t first, std::int64_t rows, Own& own) {
        auto& [values, sums] = own;
        const std::int64_t stride = r.padded();
        for (std::int64_t i = 0; i < rows; ++i)
          std::copy_n(factors.b.as<float>() + (first + i) * k, k, values.begin() + i * stride);
        solve_upper(values.data(), rows, r, sums.data());
        for (std::int64_t i = 0; i < rows; ++i) {
          float* to = factors.b.as<float>() + (first + i) * k;
          for (std::int64_t j = 0; j < k; ++j) to[j] = to_float(values[i * stride + j]);
        }
      });
  return factors;
}

bool meets(const Certificate& certificate, const Keep& keep) {
  if (keep.rank) return true;
  const double allowed = keep.energy ? std::sqrt(1 - *keep.energy) : keep.rel_error.value_or(0);
  return certificate.output_error <= allowed * certificate.output_norm;
}

}  // namespace

LowRank factorize_outputs(const ConstTensorView& w, const HessianObserver& inputs, const Keep& keep, double damping,
                          std::uint64_t seed) {
  require_weight(w, inputs);
  require_damping(damping);
  const std::int64_t k = w.shape[1];
  Panels r = HessianAccess::symmetric(inputs);
  factorize_upper(r, damping);
  double largest = 0;
  for (std::int64_t j = 0; j < k; ++j) largest = std::max(largest, r.at(j, j));
  for (double& value : r.values) value /= largest;

  const Tensor product = times_upper(w, r);
  const std::int64_t most = std::min(w.shape[0], k);
  LowRank factors = factors_of(product, r, keep, seed);
  factors.certificate = certify(w, factors.a.view(), factors.b.view(), &inputs);
  // The damping took part in what has been met.
  while (!meets(factors.certificate, keep) && factors.rank() < most) {
    const std::int64_t rank = std::min(most, factors.rank() + std::max<std::int64_t>(1, factors.rank() / 16));
    factors = factors_of(product, r, {.rank = rank}, seed);
    factors.certificate = certify(w, factors.a.view(), factors.b.view(), &inputs);
  }
  return factors;
}

}  // namespace petrain
