#include "svd.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "randomized.hpp"

namespace petrain {
namespace {

// Time of a float64 product's flop, and of the eigenvalues' divided by n³ and the eigenvectors' by n² k: all in flops
// of the float32 product, measured with AVX2. They decide which method is taken, with a bias to the exact one where it
// costs little or the randomized one would come to carry most of all directions.
constexpr double kWideCost = 4, kValuesCost = 11, kVectorsCost = 26;
constexpr std::int64_t kSmall = 128;
constexpr double kUsualGrowth = 2.1;  // directions at the end, of those asked for
constexpr double kLooks = 2;          // of the size that there is at the end

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
    if (result.v.rows > 0) permute(result.v, order);
  }
  return result;
}

SingularTriplets right_alone(const std::vector<double>& eigenvalues, WideMatrix directions) {
  std::vector<double> s(directions.cols);
  for (std::size_t j = 0; j < s.size(); ++j) s[j] = std::sqrt(std::max(eigenvalues[j], 0.0));
  return {{}, std::move(directions), std::move(s)};
}

template <class T>
SingularTriplets lift(const ConstMatrixOf<T>& a, WideMatrix directions) {
  WideMatrix images = multiply(a, directions.view());
  return in_order(std::move(images), std::move(directions), kOrthonormal<T>);
}

template <class T>
bool full_is_better(const ConstMatrixOf<T>& a, std::int64_t k, const SvdOptions& options) {
  if (options.method != SvdMethod::automatic) return options.method == SvdMethod::full;
  const auto m = static_cast<double>(a.rows), n = static_cast<double>(a.cols), rank = static_cast<double>(k);
  if (a.cols <= kSmall || k >= (a.cols + 2) / 3) return true;
  const double asked = rank + static_cast<double>(options.oversample);
  const double d = std::min(
      n, options.n_iter ? asked + kRandomizedBlock * static_cast<double>(*options.n_iter) : kUsualGrowth * asked);
  const double product_cost = sizeof(T) == 4 ? 1 : kWideCost;
  const double full =
      kWideCost * (m * n * n + 2 * m * n * rank) + kValuesCost * n * n * n + kVectorsCost * n * n * rank;
  const double products = product_cost * (4 * m * n * d + 3 * n * d * d) + kWideCost * (m * d * d + 2 * m * d * rank);
  return full <= products + kLooks * kValuesCost * d * d * d + kVectorsCost * d * d * rank;
}

template <class T>
SingularTriplets truncated_svd(const TallMatrixOf<T>& tall, std::int64_t k, const SvdOptions& options) {
  const ConstMatrixOf<T>& a = tall.matrix;
  if (full_is_better(a, k, options)) return turned(tall.transposed, lift(a, SymmetricProblem(gram(a)).vectors(k)));
  RandomizedSvd<T> run(MatrixByRows<T>(a, 0, false), tall.square, k, std::nullopt, options);
  while (run.step()) {
  }
  return turned(tall.transposed, run.triplets());
}

template <class T>
RoundedFactors round_factors(const SingularTriplets& triplets, const std::vector<double>& scale) {
  const WideMatrix &u = triplets.u, &v = triplets.v;
  const auto k = static_cast<std::int64_t>(triplets.s.size());
  const bool left = u.rows > 0;
  RoundedFactors result{Tensor(dtype_of<T>(), {u.rows, left ? k : 0}),
                        Tensor(dtype_of<T>(), {v.rows > 0 ? k : 0, v.rows})};
  T *to_u = result.u.template as<T>(), *to_vt = result.vt.template as<T>();
  std::vector<double> signed_scale(scale);
  for (std::int64_t j = 0; j < k; ++j) signed_scale[j] *= largest_is_negative<T>(left ? u : v, j) ? -1 : 1;
  // Adding 0 turns -0, which a changed sign leaves behind, into 0.
  for (std::int64_t i = 0; i < u.rows; ++i) {
    for (std::int64_t j = 0; j < k; ++j) *to_u++ = static_cast<T>(u.row(i)[j] * signed_scale[j]) + T{0};
  }
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < v.rows; ++i) *to_vt++ = static_cast<T>(v.row(i)[j] * signed_scale[j]) + T{0};
  }
  return result;
}

template bool full_is_better(const ConstMatrix&, std::int64_t, const SvdOptions&);
template bool full_is_better(const ConstMatrixOf<double>&, std::int64_t, const SvdOptions&);
template SingularTriplets lift(const ConstMatrix&, WideMatrix);
template SingularTriplets lift(const ConstMatrixOf<double>&, WideMatrix);
template SingularTriplets truncated_svd(const TallMatrix&, std::int64_t, const SvdOptions&);
template RoundedFactors round_factors<float>(const SingularTriplets&, const std::vector<double>&);
template RoundedFactors round_factors<double>(const SingularTriplets&, const std::vector<double>&);

}  // namespace petrain
