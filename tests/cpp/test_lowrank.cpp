// Truncated SVD and factors through the C++ interface, and the float64 products behind them.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/lowrank.hpp"
#include "src/random.hpp"
#include "src/wide.hpp"

using namespace petrain;

namespace {

Tensor random_matrix(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  Tensor matrix(DType::f32, {m, n});
  fill_normal(seed, 0, 0, 1, matrix.as<float>(), m * n);
  return matrix;
}

ConstMatrix view(const Tensor& t) { return {t.as<float>(), t.shape()[0], t.shape()[1]}; }

ConstTensorView constant(const Tensor& t) { return t.view(); }

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.as<char>(), b.as<char>(), a.nbytes()) == 0;
}

// max |XᵀX - I|
double from_orthonormal(const WideMatrix& x) {
  double worst = 0;
  for (std::int64_t i = 0; i < x.cols; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double sum = i == j ? -1 : 0;
      for (std::int64_t p = 0; p < x.rows; ++p) sum += x.row(p)[i] * x.row(p)[j];
      worst = std::max(worst, std::fabs(sum));
    }
  }
  return worst;
}

}  // namespace

TEST(gram_and_products_are_the_plain_sums_in_order) {
  for (const auto& [m, n] : {std::pair{1, 1}, {3, 2}, {40, 9}, {33, 70}, {2049, 8}, {5000, 17}}) {
    const Tensor x = random_matrix(m, n, 1), y = random_matrix(n, m, 2);
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      const WideMatrix g = gram(view(x)), c = multiply(view(x), view(y));
      const auto element = [](const Tensor& t, std::int64_t i, std::int64_t j) -> double {
        return t.as<float>()[i * t.shape()[1] + j];
      };
      for (const std::int64_t i : {0, n / 2, n - 1}) {
        for (const std::int64_t j : {0, n / 3, n - 1}) {
          double total = 0, part = 0;  // 2048 rows at a time
          for (std::int64_t p = 0; p < m; ++p) {
            if (p % 2048 == 0) total += std::exchange(part, 0);
            part += element(x, p, i) * element(x, p, j);
          }
          CHECK(g.row(i)[j] == total + part);
        }
      }
      double expected = 0;
      for (std::int64_t p = 0; p < n; ++p) expected += element(x, m - 1, p) * element(y, p, m / 2);
      CHECK(c.row(m - 1)[m / 2] == expected);
    }
  }
}

TEST(orthonormalize_completes_dependent_and_zero_columns) {
  WideMatrix y(20, 6);  // columns: e0, 2 e0 + e1, 0, e0, tiny, 0
  y.row(0)[0] = 1;
  y.row(0)[1] = 2;
  y.row(1)[1] = -3;
  y.row(0)[3] = 1;
  y.row(5)[4] = 1e-300;
  const std::vector<double> lengths = orthonormalize(y);
  CHECK(from_orthonormal(y) < 1e-14);
  CHECK(std::fabs(lengths[0] - 1) < 1e-15 && std::fabs(lengths[1] - 3) < 1e-14);
  CHECK(lengths[2] < 1e-14 && lengths[3] < 1e-14 && lengths[4] < 1e-14 && lengths[5] < 1e-14);
  CHECK(std::fabs(y.row(0)[0] - 1) < 1e-15);  // R's diagonal is positive:
  CHECK(std::fabs(y.row(1)[1] + 1) < 1e-14);  // a column keeps its direction
}

TEST(eigenvalues_come_largest_first_with_their_vectors) {
  const Tensor x = random_matrix(30, 20, 3);
  const WideMatrix g = gram(view(x));
  const SymmetricEigen eigen = symmetric_eigen(g);
  CHECK(from_orthonormal(eigen.vectors) < 1e-13);
  for (std::int64_t j = 0; j < 20; ++j) {
    CHECK(j == 0 || eigen.values[j - 1] >= eigen.values[j]);
    for (std::int64_t i = 0; i < 20; ++i) {
      double sum = 0;
      for (std::int64_t p = 0; p < 20; ++p) sum += g.row(i)[p] * eigen.vectors.row(p)[j];
      CHECK(std::fabs(sum - eigen.values[j] * eigen.vectors.row(i)[j]) < 1e-12);
    }
  }
}

TEST(svd_gives_the_same_bits_for_any_thread_count) {
  for (const SvdMethod method : {SvdMethod::full, SvdMethod::randomized}) {
    const Tensor a = random_matrix(150, 260, 4);
    set_num_threads(1);
    const Svd one = svd(constant(a), 12, {.method = method});
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      const Svd more = svd(constant(a), 12, {.method = method});
      CHECK(same(one.u, more.u) && same(one.s, more.s) && same(one.vt, more.vt));
    }
  }
}

TEST(vectors_of_one_side_are_those_of_both) {
  for (const auto& [m, n] : {std::pair{200, 150}, {150, 200}}) {
    const Tensor a = random_matrix(m, n, 9);
    for (const SvdMethod method : {SvdMethod::full, SvdMethod::randomized}) {
      const Svd both = svd(constant(a), 5, {.method = method, .tol = 1e-6});
      const Svd left = svd(constant(a), 5, {.method = method, .tol = 1e-6, .vectors = SvdVectors::left});
      const Svd right = svd(constant(a), 5, {.method = method, .tol = 1e-6, .vectors = SvdVectors::right});
      CHECK(left.vt.size() == 0 && right.u.size() == 0);
      CHECK(left.u.shape() == both.u.shape() && right.vt.shape() == both.vt.shape());
      for (std::int64_t j = 0; j < 5; ++j) {
        double u = 0, v = 0;
        for (std::int64_t i = 0; i < m; ++i) u += both.u.as<float>()[i * 5 + j] * left.u.as<float>()[i * 5 + j];
        for (std::int64_t i = 0; i < n; ++i) v += both.vt.as<float>()[j * n + i] * right.vt.as<float>()[j * n + i];
        CHECK(std::fabs(std::fabs(u) - 1) < 1e-5 && std::fabs(std::fabs(v) - 1) < 1e-5);
        CHECK(std::fabs(left.s.as<float>()[j] - both.s.as<float>()[j]) < 1e-5f);
        CHECK(std::fabs(right.s.as<float>()[j] - both.s.as<float>()[j]) < 1e-5f);
      }
    }
  }
}

TEST(factors_give_the_matrix_back) {
  const Tensor w = random_matrix(48, 64, 5);
  const LowRank all = factorize(constant(w), {.rank = 48});
  CHECK(all.rel_error() < 1e-6);
  const Tensor back = low_rank_product(constant(all.a), constant(all.b));
  for (std::int64_t i = 0; i < w.size(); ++i) CHECK(std::fabs(back.as<float>()[i] - w.as<float>()[i]) < 1e-5f);
  const LowRank part = factorize(constant(w), {.energy = 0.75});
  CHECK(part.energy() >= 0.75 && part.rank() < 48);
  CHECK(factorize(constant(w), {.rank = part.rank() - 1}).energy() < 0.75);
}

TEST(errors_say_what_was_expected) {
  Tensor a = random_matrix(4, 3, 6);
  CHECK_THROWS(std::invalid_argument, "k: expected 1 to 3 for shape (4, 3), got 4", svd(constant(a), 4));
  CHECK_THROWS(std::invalid_argument, "oversample: expected at least 0, got -1",
               svd(constant(a), 1, {.oversample = -1}));
  CHECK_THROWS(std::invalid_argument, "exactly one of rank", factorize(constant(a), {}));
  CHECK_THROWS(std::invalid_argument, "a matrix that is not empty, got shape ()",
               svd({a.as<float>(), DType::f32, {}}, 1));
  CHECK_THROWS(std::invalid_argument, "expected dtype float32 or float64, got int32",
               svd({a.as<float>(), DType::i32, {4, 3}}, 1));
  a.as<float>()[7] = std::numeric_limits<float>::infinity();
  CHECK_THROWS(std::invalid_argument, "expected finite values, got inf at (2, 1)", svd(constant(a), 1));
}
