// Every product of int8 matrices with M, N and K up to 160, some minutes for an instruction set:
//   make test PARTS=exhaustive
#include <cstdint>
#include <cstdio>
#include <vector>

#include "src/int_gemm.hpp"
#include "src/isa.hpp"

namespace {

constexpr std::int64_t kMost = 160;

std::uint32_t state = 1;
std::int8_t any() {
  state = state * 1664525 + 1013904223;
  return static_cast<std::int8_t>(state >> 24);
}
std::int8_t extreme() { return any() < 0 ? -128 : 127; }
// Small numbers and some of those that saturate in pairs.
std::int8_t weight_like() { return static_cast<std::int8_t>(any() > 110 ? any() : any() / 8); }

using Draw = std::int8_t (*)();

std::int64_t wrong_of_depth(std::int64_t k, Draw draw_a, Draw draw_b) {
  std::vector<std::int8_t> a(kMost * k), b(kMost * k);
  for (auto& value : a) value = draw_a();
  for (auto& value : b) value = draw_b();
  std::vector<std::int32_t> exact(kMost * kMost);
  for (std::int64_t i = 0; i < kMost; ++i) {
    for (std::int64_t j = 0; j < kMost; ++j) {
      for (std::int64_t p = 0; p < k; ++p) exact[i * kMost + j] += a[i * k + p] * b[j * k + p];
    }
  }
  const auto row = [&](std::int64_t i, std::int8_t*) { return a.data() + i * k; };
  std::int64_t wrong = 0;
  for (std::int64_t n = 1; n <= kMost; ++n) {
    const petrain::IntMatrix matrix(b.data(), n, k);
    for (std::int64_t m = 1; m <= kMost; ++m) {
      std::int64_t seen = 0;
      petrain::int_product(m, row, matrix, [&](const petrain::Block<std::int32_t>& block) {
        for (std::int64_t i = 0; i < block.rows; ++i) {
          for (std::int64_t j = 0; j < block.columns; ++j) {
            wrong += block.sums[i * block.stride + j] != exact[(block.row + i) * kMost + block.column + j];
            ++seen;
          }
        }
      });
      wrong += m * n - seen;
    }
  }
  return wrong;
}

}  // namespace

int main() {
  std::int64_t wrong = 0;
  for (std::int64_t k = 1; k <= kMost; ++k) {
    wrong += wrong_of_depth(k, any, weight_like) + wrong_of_depth(k, extreme, any);
    if (k % 20 == 0)
      std::printf("K up to %lld: %lld wrong\n", static_cast<long long>(k), static_cast<long long>(wrong));
  }
  std::printf("%s: %lld wrong of all products with M, N, K from 1 to %lld\n", petrain::active_kernels().isa,
              static_cast<long long>(wrong), static_cast<long long>(kMost));
  return wrong == 0 ? 0 : 1;
}
