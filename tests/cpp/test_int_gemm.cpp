// The exact integer product against sums in int64, for the shapes and values that kernels get wrong.
#include <algorithm>
#include <vector>

#include "check.hpp"
#include "petrain/tensor.hpp"
#include "src/int_gemm.hpp"
#include "src/isa.hpp"

namespace {

using petrain::IntMatrix;
using Values = std::vector<std::int8_t>;

std::uint32_t state = 1;
std::int8_t random_byte() {
  state = state * 1664525 + 1013904223;
  return static_cast<std::int8_t>(state >> 24);
}

// Most numbers small and few large, as weights are.
std::int8_t weight_like() { return static_cast<std::int8_t>(random_byte() * random_byte() / 128); }

template <class Draw>
Values values(std::int64_t count, Draw&& draw) {
  Values result(static_cast<std::size_t>(count));
  for (auto& value : result) value = draw();
  return result;
}

std::int64_t wrong(const Values& a, const Values& b, std::int64_t m, std::int64_t n, std::int64_t k) {
  const IntMatrix matrix(b.data(), n, k);
  std::vector<std::int32_t> c(static_cast<std::size_t>(m * n), -1);
  const auto keep = [&](const petrain::Block<std::int32_t>& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      for (std::int64_t j = 0; j < block.columns; ++j) {
        c[(block.row + i) * n + block.column + j] = block.sums[i * block.stride + j];
      }
    }
  };
  const auto count_wrong = [&](std::int64_t rows) {
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        std::int64_t sum = 0;
        for (std::int64_t p = 0; p < k; ++p) sum += static_cast<std::int64_t>(a[i * k + p]) * b[j * k + p];
        found += sum != c[i * n + j];
      }
    }
    return found;
  };
  const auto row = [&](std::int64_t i, std::int8_t*) { return a.data() + i * k; };
  petrain::int_product(m, row, matrix, keep);
  std::int64_t found = count_wrong(m);
  petrain::int_product(1, row, matrix, keep);
  found += count_wrong(1);
  return found;
}

}  // namespace

TEST(every_shape) {
  for (const std::int64_t m : {1, 2, 3, 4, 5, 7, 8, 9, 15, 31, 33, 63, 64, 65, 130, 160}) {
    for (const std::int64_t n : {1, 2, 15, 16, 17, 33, 63, 64, 65, 100, 160}) {
      for (const std::int64_t k : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100, 160}) {
        CHECK(wrong(values(m * k, random_byte), values(n * k, weight_like), m, n, k) == 0);
      }
    }
  }
}

TEST(extremes) {
  const std::int64_t m = 37, n = 41, k = 67;
  for (const int a : {-128, -127, -1, 0, 1, 127}) {
    for (const int b : {-128, -127, -65, -64, 0, 64, 65, 127}) {
      CHECK(wrong(Values(m * k, static_cast<std::int8_t>(a)), Values(n * k, static_cast<std::int8_t>(b)), m, n, k) ==
            0);
    }
  }
  const auto extreme = [] { return static_cast<std::int8_t>(random_byte() < 0 ? -128 : 127); };
  CHECK(wrong(values(m * k, extreme), values(n * k, extreme), m, n, k) == 0);
  CHECK(wrong(values(m * k, random_byte), values(n * k, random_byte), m, n, k) == 0);
  // Rare pairs that saturate vpmaddubsw, in a matrix of small numbers: the narrow route with something taken off.
  const auto rarely = [] { return static_cast<std::int8_t>(random_byte() > 120 ? 127 : random_byte() / 16); };
  CHECK(wrong(Values(m * k, 127), values(n * k, rarely), m, n, k) == 0);
  CHECK(wrong(values(m * k, extreme), values(n * k, rarely), m, n, k) == 0);
}

TEST(longest_sums) {
  const std::int64_t k = 131071;
  CHECK(wrong(Values(2 * k, -128), Values(3 * k, -128), 2, 3, k) == 0);
}

// Else half of the kernels would not be tested.
TEST(both_routes_are_taken) {
  const std::int64_t n = 64, k = 256;
  const Values small = values(n * k, weight_like), large = values(n * k, random_byte);
  const IntMatrix narrow(small.data(), n, k), wide(large.data(), n, k);
  const bool limited = petrain::active_kernels().int_gemm->limited;
  CHECK(narrow.packed().narrow);
  CHECK(narrow.packed().first.empty() == !limited);
  CHECK(wide.packed().narrow == !limited);
}
