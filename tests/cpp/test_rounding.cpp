// Rounding by the error of outputs through the C++ interface, and the float64 matrices behind it.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/rounding.hpp"
#include "src/panels.hpp"
#include "src/random.hpp"

using namespace petrain;

namespace {

Tensor random_matrix(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  Tensor matrix(DType::f32, {m, n});
  fill_normal(seed, 0, 0, 1, matrix.as<float>(), m * n);
  return matrix;
}

ConstTensorView view(const Tensor& tensor) { return tensor.view(); }

// xᵀx + n, of a few rows.
Panels positive(std::int64_t n) {
  const Tensor x = random_matrix(9, n, 1);
  Panels h(n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t r = 0; r < 9; ++r)
        h.at(i, j) += static_cast<double>(x.as<float>()[r * n + i]) * x.as<float>()[r * n + j];
    }
    h.at(i, i) += static_cast<double>(n);
  }
  return h;
}

bool same(const QuantTensor& a, const QuantTensor& b) {
  return std::memcmp(a.values.as<char>(), b.values.as<char>(), a.values.nbytes()) == 0 &&
         std::memcmp(a.scale.as<char>(), b.scale.as<char>(), a.scale.nbytes()) == 0;
}

}  // namespace

TEST(the_upper_factor_times_its_transpose_is_the_matrix) {
  for (const std::int64_t n : {1, 2, 7, 8, 9, 63, 64, 65, 128, 200, 300, 400}) {
    const Panels h = positive(n);
    std::vector<double> first;
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      Panels r = h;
      factorize_upper(r, 0.5);
      double mean = 0, worst = 0;
      for (std::int64_t i = 0; i < n; ++i) mean += h.at(i, i) / static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = h.at(i, j) + (i == j ? 0.5 * mean : 0);
          for (std::int64_t k = std::max(i, j); k < n; ++k) sum -= r.at(i, k) * r.at(j, k);
          worst = std::max(worst, std::fabs(sum));
          if (i > j) CHECK(r.at(i, j) == 0);
        }
      }
      CHECK(worst < 1e-12 * mean);
      if (threads == 1) first = r.values;
      CHECK(r.values == first);
    }
  }
}

TEST(quadratic_forms_read_only_the_upper_part) {
  for (const std::int64_t n : {1, 8, 9, 64, 71, 150}) {
    Panels h = positive(n);
    constexpr std::int64_t kRows = 5;
    const Tensor values = random_matrix(kRows, n, 2);
    std::vector<double> e(kRows * h.padded()), scratch(e.size()), squares(kRows), plain(kRows);
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t j = 0; j < n; ++j) e[i * h.padded() + j] = values.as<float>()[i * n + j];
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t k = 0; k < n; ++k) plain[i] += e[i * h.padded() + j] * h.at(j, k) * e[i * h.padded() + k];
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < i; ++j) h.at(i, j) = std::numeric_limits<double>::quiet_NaN();
    }
    quadratic_forms(h, e.data(), kRows, scratch.data(), squares.data());
    for (std::int64_t i = 0; i < kRows; ++i) CHECK(std::fabs(squares[i] - plain[i]) < 1e-12 * plain[i]);
  }
}

TEST(what_is_not_positive_definite_has_no_factor) {
  for (const std::int64_t n : {2, 70, 300}) {
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      Panels h = positive(n);
      h.at(at, at) = -1;
      CHECK_THROWS(std::invalid_argument, "expected a positive definite matrix", factorize_upper(h, 0));
    }
  }
}

TEST(rounding_lowers_the_error_of_outputs) {
  set_num_threads(2);
  constexpr std::int64_t kInputs = 160, kOutputs = 40;
  const Tensor w = random_matrix(kOutputs, kInputs, 3), source = random_matrix(500, kInputs, 4);
  Tensor x = source.clone();
  for (std::int64_t i = 1; i < x.size(); ++i) x.as<float>()[i] += 0.9f * x.as<float>()[i - 1];
  HessianObserver observer(kInputs);
  observer.observe(x.view());
  const QuantSpec spec{.bits = 4, .granularity = Granularity::group, .group_size = 32};
  const Rounded rounded = gptq(view(w), observer, spec), moved = round_coordinate_descent(view(w), rounded.q, observer);
  CHECK(rounded.after < 0.8 * rounded.before);
  CHECK(moved.before == rounded.after);
  CHECK(moved.after < moved.before);
  moved.q.validate();
  const HessianObserver copy(observer.state());
  CHECK(same(gptq(view(w), copy, spec).q, rounded.q));
  const HessianObserver empty(kInputs);
  CHECK_THROWS(std::invalid_argument, "expected one that has seen rows", gptq(view(w), empty, spec));
  CHECK_THROWS(std::invalid_argument, "axis: expected 0", gptq(view(w), observer, {.axis = 1}));
}
