// Products against a float64 loop, for every shape class: tails of the register tile, of the blocks, strided views.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "src/gemm.hpp"

using namespace petrain;

namespace {

std::vector<float> values(std::int64_t count, unsigned seed) {
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& value : result) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
  }
  return result;
}

float at(const ConstMatrix& a, std::int64_t i, std::int64_t j) { return a.data[i * a.row_stride + j * a.col_stride]; }

bool right(const ConstMatrix& a, const ConstMatrix& b, bool accumulate) {
  const std::int64_t stride = b.cols + 3;
  std::vector<float> c = values(a.rows * stride, 9);
  const std::vector<float> before = c;
  gemm(a, b, c.data(), stride, accumulate);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < stride; ++j) {
      double sum = accumulate || j >= b.cols ? before[i * stride + j] : 0.0, size = std::abs(sum);
      for (std::int64_t k = 0; k < a.cols && j < b.cols; ++k) {
        sum += static_cast<double>(at(a, i, k)) * at(b, k, j);
        size += std::abs(static_cast<double>(at(a, i, k)) * at(b, k, j));
      }
      // Every rounding is at most 2^-24 of the running sum: k + 1 of them.
      if (std::abs(c[i * stride + j] - sum) > size * static_cast<double>(a.cols + 1) * 6e-8) return false;
    }
  }
  return true;
}

}  // namespace

TEST(every_shape_and_layout) {
  const std::int64_t sizes[] = {1, 2, 5, 6, 7, 13, 16, 17, 33, 97, 100};
  for (const std::int64_t m : sizes) {
    for (const std::int64_t n : sizes) {
      for (const std::int64_t k : {1, 3, 64, 257}) {
        const auto a = values(m * k, 1), b = values(k * n, 2);
        CHECK(right({a.data(), m, k}, {b.data(), k, n}, false));
        CHECK(right(ConstMatrix(a.data(), k, m).transposed(), ConstMatrix(b.data(), n, k).transposed(), true));
      }
    }
  }
}

TEST(the_same_bits_for_any_thread_count_and_any_other_rows) {
  const std::int64_t m = 200, n = 600, k = 700;
  const auto a = values(m * k, 3), b = values(k * n, 4);
  std::vector<float> one(m * n), many(m * n), row(n);
  set_num_threads(1);
  gemm({a.data(), m, k}, {b.data(), k, n}, one.data(), n);
  for (const int threads : {2, 3, 5}) {
    set_num_threads(threads);
    gemm({a.data(), m, k}, {b.data(), k, n}, many.data(), n);
    CHECK(one == many);
  }
  for (const std::int64_t i : {0, 7, 199}) {
    gemm({a.data() + i * k, 1, k}, {b.data(), k, n}, row.data(), n);
    CHECK(std::vector<float>(one.begin() + i * n, one.begin() + (i + 1) * n) == row);
  }
}

TEST(few_rows_with_a_transposed_matrix_give_the_bits_of_many) {
  const std::int64_t m = 20, n = 300, k = 1100;
  const auto a = values(m * k, 5), b = values(n * k, 6), before = values(m * n, 7);
  const ConstMatrix turned = ConstMatrix(b.data(), n, k).transposed();
  for (const bool accumulate : {false, true}) {
    std::vector<float> all = before;
    gemm({a.data(), m, k}, turned, all.data(), n, accumulate);
    for (const std::int64_t count : {1, 3, 16}) {
      std::vector<float> few(before.begin(), before.begin() + count * n);
      gemm({a.data(), count, k}, turned, few.data(), n, accumulate);
      CHECK(std::vector<float>(all.begin(), all.begin() + count * n) == few);
    }
  }
}

// Rows of the widest product are computed in blocks, those of one to four where the matrix lies.
TEST(one_to_four_rows_give_the_bits_of_many) {
  const std::int64_t m = 40;
  for (const std::int64_t n : {1, 3, 15, 17, 33, 300, 600}) {
    for (const std::int64_t k : {1, 2, 5, 63, 512, 513, 1100}) {
      const auto a = values(m * k, 5), b = values(n * k, 6), before = values(m * (n + 2), 7);
      for (const bool turned : {false, true}) {
        const ConstMatrix right = turned ? ConstMatrix(b.data(), n, k).transposed() : ConstMatrix(b.data(), k, n);
        for (const bool accumulate : {false, true}) {
          std::vector<float> all = before;
          gemm({a.data(), m, k}, right, all.data(), n + 2, accumulate);
          for (const std::int64_t count : {1, 2, 3, 4}) {
            for (const int threads : {1, 2}) {
              set_num_threads(threads);
              std::vector<float> few(before.begin(), before.begin() + count * (n + 2));
              gemm({a.data(), count, k}, right, few.data(), n + 2, accumulate);
              CHECK(std::vector<float>(all.begin(), all.begin() + count * (n + 2)) == few);
            }
          }
        }
      }
    }
  }
}

TEST(empty_products) {
  float c[2] = {1, 2};
  gemm({nullptr, 1, 0}, {nullptr, 0, 2}, c, 2, true);
  CHECK(c[0] == 1 && c[1] == 2);
  gemm({nullptr, 1, 0}, {nullptr, 0, 2}, c, 2);
  CHECK(c[0] == 0 && c[1] == 0);
}
