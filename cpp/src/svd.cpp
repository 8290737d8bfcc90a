#include "svd.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "checks.hpp"
#include "symmetric.hpp"

namespace petrain {
namespace {

// Time of a float64 product's flop, of Eigen's QR's flop, and of its eigenvectors divided by n³: all in flops of the
// float32 product, measured with AVX2. They decide which method is taken, with a bias to the exact one where it costs
// little or the randomized one would come to carry most of all directions.
constexpr double kWideCost = 5, kQrCost = 20, kEigenCost = 50;
constexpr std::int64_t kSmall = 128;
constexpr double kUsualGrowth = 2;  // directions at the end, of those asked for

bool full_is_better(const ConstMatrix& a, double directions, std::int64_t rank) {
  if (a.cols <= kSmall || rank >= (a.cols + 2) / 3) return true;
  const auto m = static_cast<double>(a.rows), n = static_cast<double>(a.cols);
  const auto k = static_cast<double>(rank);
  const double full = kWideCost * (m * n * n + 2 * m * n * k) + kEigenCost * n * n * n + kQrCost * 4 * m * k * k;
  const double d = std::min(directions, n);
  const double products = 4 * m * n * d, orthogonal = 8 * (m + n) * d * d;
  const double small = 2 * kEigenCost * d * d * d + kWideCost * 2 * (m + n) * d * k;
  return full <= products + orthogonal + small;
}

// Of a column's entry of largest magnitude once rounded, the first of several.
bool largest_is_negative(const WideMatrix& u, std::int64_t j) {
  float largest = 0;
  bool negative = false;
  for (std::int64_t i = 0; i < u.rows; ++i) {
    const auto value = static_cast<float>(u.row(i)[j]);
    if (std::fabs(value) > largest) {
      largest = std::fabs(value);
      negative = value < 0;
    }
  }
  return negative;
}

void require_at_least(std::int64_t value, std::int64_t least, const std::string& what) {
  if (value < least) {
    throw std::invalid_argument(what + ": expected at least " + std::to_string(least) + ", got " +
                                std::to_string(value));
  }
}

}  // namespace

SingularTriplets lift(const ConstMatrix& a, const WideMatrix& directions, std::int64_t k) {
  WideMatrix u = multiply(a, directions, k);
  const std::vector<double> lengths = orthonormalize(u);
  // Rounding may have exchanged neighbours.
  std::vector<std::int64_t> order(k);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return lengths[i] > lengths[j]; });
  SingularTriplets result{WideMatrix(u.rows, k), WideMatrix(directions.rows, k), std::vector<double>(k)};
  for (std::int64_t j = 0; j < k; ++j) result.s[j] = lengths[order[j]];
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j) result.u.row(i)[j] = u.row(i)[order[j]];
  }
  for (std::int64_t i = 0; i < directions.rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j) result.v.row(i)[j] = directions.row(i)[order[j]];
  }
  return result;
}

SingularTriplets turned(const TallMatrix& tall, SingularTriplets triplets) {
  if (tall.transposed) std::swap(triplets.u, triplets.v);
  return triplets;
}

SingularTriplets truncated_svd(const TallMatrix& tall, std::int64_t k, const SvdOptions& options) {
  const ConstMatrix& a = tall.matrix;
  bool full = options.method == SvdMethod::full;
  if (options.method == SvdMethod::automatic) {
    const auto asked = static_cast<double>(k) + static_cast<double>(options.oversample);
    full = full_is_better(
        a, options.n_iter ? asked + kRandomizedBlock * static_cast<double>(*options.n_iter) : kUsualGrowth * asked, k);
  }
  if (!full) return turned(tall, randomized_svd(a, std::ldexp(tall.square, -2 * tall.exponent), k, options));
  return turned(tall, lift(a, SymmetricProblem(gram(a)).vectors(k), k));
}

RoundedFactors round_factors(const SingularTriplets& triplets, const std::vector<double>& scale) {
  const WideMatrix &u = triplets.u, &v = triplets.v;
  const auto k = static_cast<std::int64_t>(triplets.s.size());
  RoundedFactors result{Tensor(DType::f32, {u.rows, k}), Tensor(DType::f32, {k, v.rows})};
  float *to_u = result.u.as<float>(), *to_vt = result.vt.as<float>();
  std::vector<double> signed_scale(scale);
  for (std::int64_t j = 0; j < k; ++j) signed_scale[j] *= largest_is_negative(u, j) ? -1 : 1;
  // Adding 0 turns -0, which a changed sign leaves behind, into 0.
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j) *to_u++ = static_cast<float>(u.row(i)[j] * signed_scale[j]) + 0.0f;
  }
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < v.rows; ++i) *to_vt++ = static_cast<float>(v.row(i)[j] * signed_scale[j]) + 0.0f;
  }
  return result;
}

Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options) {
  const TallMatrix tall = make_tall(a, "a");
  if (k < 1 || k > tall.matrix.cols) {
    throw std::invalid_argument("k: expected 1 to " + std::to_string(tall.matrix.cols) + " for shape " +
                                shape_text(a.shape) + ", got " + std::to_string(k));
  }
  require_at_least(options.oversample, 0, "oversample");
  if (options.n_iter) require_at_least(*options.n_iter, 0, "n_iter");
  const SingularTriplets triplets = truncated_svd(tall, k, options);
  const double largest = std::ldexp(triplets.s[0], tall.exponent);
  if (largest > std::numeric_limits<float>::max()) {
    throw std::invalid_argument("a: expected singular values within float32, got " + number_text(largest));
  }
  Svd result;
  result.s = Tensor(DType::f32, {k});
  for (std::int64_t j = 0; j < k; ++j) {
    result.s.as<float>()[j] = static_cast<float>(std::ldexp(triplets.s[j], tall.exponent));
  }
  RoundedFactors rounded = round_factors(triplets, std::vector<double>(k, 1.0));
  result.u = std::move(rounded.u);
  result.vt = std::move(rounded.vt);
  return result;
}

}  // namespace petrain
