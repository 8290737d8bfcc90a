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

// Time of a float64 product's flop, and of the eigenvalues' divided by n³ and the eigenvectors' by n² k: all in flops
// of the float32 product, measured with AVX2. They decide which method is taken, with a bias to the exact one where it
// costs little or the randomized one would come to carry most of all directions.
constexpr double kWideCost = 4, kValuesCost = 11, kVectorsCost = 26;
constexpr std::int64_t kSmall = 128;
constexpr double kUsualGrowth = 2.5;  // directions at the end, of those asked for

bool full_is_better(double m, double n, double directions, double k, double product_cost) {
  if (n <= kSmall || k >= std::ceil(n / 3)) return true;
  const double full = kWideCost * (m * n * n + 2 * m * n * k) + kValuesCost * n * n * n + kVectorsCost * n * n * k;
  const double d = std::min(directions, n);
  const double products = product_cost * (4 * m * n * d + 3 * n * d * d) + kWideCost * m * d * d;
  const double small = 2 * kValuesCost * d * d * d + kVectorsCost * d * d * k + kWideCost * 2 * (m + n) * d * k;
  return full <= products + small;
}

// Of a column's entry of largest magnitude once rounded, the first of several.
template <class T>
bool largest_is_negative(const WideMatrix& u, std::int64_t j) {
  T largest = 0;
  bool negative = false;
  for (std::int64_t i = 0; i < u.rows; ++i) {
    const auto value = static_cast<T>(u.row(i)[j]);
    if (std::fabs(value) > largest) {
      largest = std::fabs(value);
      negative = value < 0;
    }
  }
  return negative;
}

// Makes the columns orthonormal in order and gives their lengths.
std::vector<double> make_orthonormal(WideMatrix& u, double precision) {
  constexpr double kLeast = 0.5;  // of a pivot: beyond it they were orthogonal but for rounding
  std::vector<double> lengths(u.cols);
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < u.cols; ++j) lengths[j] += u.row(i)[j] * u.row(i)[j];
  }
  for (double& length : lengths) length = std::sqrt(length);
  WideMatrix scaled = u;
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < u.cols; ++j) scaled.row(i)[j] /= lengths[j];
  }
  if (*std::min_element(lengths.begin(), lengths.end()) > 0 && orthonormalize_near(scaled, kLeast, precision)) {
    u = std::move(scaled);
    return lengths;
  }
  return orthonormalize(u);
}

void permute(WideMatrix& x, const std::vector<std::int64_t>& order) {
  const WideMatrix before = x;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) x.row(i)[j] = before.row(i)[order[j]];
  }
}

void require_at_least(std::int64_t value, std::int64_t least, const std::string& what) {
  if (value < least) {
    throw std::invalid_argument(what + ": expected at least " + std::to_string(least) + ", got " +
                                std::to_string(value));
  }
}

}  // namespace

SingularTriplets in_order(WideMatrix u, WideMatrix v, double precision) {
  const std::int64_t k = u.cols;
  std::vector<double> lengths = make_orthonormal(u, precision);
  std::vector<std::int64_t> order(k);  // rounding may have exchanged neighbours
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return lengths[i] > lengths[j]; });
  SingularTriplets result{std::move(u), std::move(v), std::vector<double>(k)};
  for (std::int64_t j = 0; j < k; ++j) result.s[j] = lengths[order[j]];
  if (!std::is_sorted(order.begin(), order.end())) {
    permute(result.u, order);
    permute(result.v, order);
  }
  return result;
}

template <class T>
SingularTriplets lift(const ConstMatrixOf<T>& a, WideMatrix directions) {
  WideMatrix images = multiply(a, directions.view());
  return in_order(std::move(images), std::move(directions), kOrthonormal<T>);
}

template <class T>
SingularTriplets truncated_svd(const TallMatrixOf<T>& tall, std::int64_t k, const SvdOptions& options) {
  const ConstMatrixOf<T>& a = tall.matrix;
  bool full = options.method == SvdMethod::full;
  if (options.method == SvdMethod::automatic) {
    const auto asked = static_cast<double>(k) + static_cast<double>(options.oversample);
    const double directions =
        options.n_iter ? asked + kRandomizedBlock * static_cast<double>(*options.n_iter) : kUsualGrowth * asked;
    full = full_is_better(static_cast<double>(a.rows), static_cast<double>(a.cols), directions, static_cast<double>(k),
                          sizeof(T) == 4 ? 1 : kWideCost);
  }
  return turned(tall.transposed,
                full ? lift(a, SymmetricProblem(gram(a)).vectors(k)) : randomized_svd(a, tall.square, k, options));
}

template <class T>
RoundedFactors round_factors(const SingularTriplets& triplets, const std::vector<double>& scale) {
  const WideMatrix &u = triplets.u, &v = triplets.v;
  const auto k = static_cast<std::int64_t>(triplets.s.size());
  RoundedFactors result{Tensor(dtype_of<T>(), {u.rows, k}), Tensor(dtype_of<T>(), {k, v.rows})};
  T *to_u = result.u.template as<T>(), *to_vt = result.vt.template as<T>();
  std::vector<double> signed_scale(scale);
  for (std::int64_t j = 0; j < k; ++j) signed_scale[j] *= largest_is_negative<T>(u, j) ? -1 : 1;
  // Adding 0 turns -0, which a changed sign leaves behind, into 0.
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j) *to_u++ = static_cast<T>(u.row(i)[j] * signed_scale[j]) + T{0};
  }
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < v.rows; ++i) *to_vt++ = static_cast<T>(v.row(i)[j] * signed_scale[j]) + T{0};
  }
  return result;
}

template SingularTriplets lift(const ConstMatrix&, WideMatrix);
template SingularTriplets truncated_svd(const TallMatrix&, std::int64_t, const SvdOptions&);
template RoundedFactors round_factors<float>(const SingularTriplets&, const std::vector<double>&);

namespace {

template <class T>
Svd svd_of(const ConstTensorView& a, std::int64_t k, const SvdOptions& options) {
  const TallMatrixOf<T> tall = make_tall_of<T>(a, "a");
  if (k < 1 || k > tall.matrix.cols) {
    throw std::invalid_argument("k: expected 1 to " + std::to_string(tall.matrix.cols) + " for shape " +
                                shape_text(a.shape) + ", got " + std::to_string(k));
  }
  require_at_least(options.oversample, 0, "oversample");
  if (options.n_iter) require_at_least(*options.n_iter, 0, "n_iter");
  if (!(options.tol > 0 && options.tol < 1)) {
    throw std::invalid_argument("tol: expected a number in (0, 1), got " + number_text(options.tol));
  }
  const SingularTriplets triplets = truncated_svd(tall, k, options);
  const double largest = std::ldexp(triplets.s[0], tall.exponent);
  if (!(largest <= std::numeric_limits<T>::max())) {
    throw std::invalid_argument(std::string("a: expected singular values within ") + dtype_name(dtype_of<T>()) +
                                ", got " + number_text(largest));
  }
  Svd result;
  result.s = Tensor(dtype_of<T>(), {k});
  for (std::int64_t j = 0; j < k; ++j)
    result.s.template as<T>()[j] = static_cast<T>(std::ldexp(triplets.s[j], tall.exponent));
  RoundedFactors rounded = round_factors<T>(triplets, std::vector<double>(k, 1.0));
  result.u = std::move(rounded.u);
  result.vt = std::move(rounded.vt);
  return result;
}

}  // namespace

Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options) {
  if (a.dtype == DType::f64) return svd_of<double>(a, k, options);
  if (a.dtype == DType::f32) return svd_of<float>(a, k, options);
  throw std::invalid_argument(std::string("a: expected dtype float32 or float64, got ") + dtype_name(a.dtype));
}

}  // namespace petrain
