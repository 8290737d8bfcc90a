// The random numbers: known answers of Philox, the laws they follow, and independence of how they are drawn.
#include <bit>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "src/random.hpp"

using namespace petrain;

namespace {

using Words = std::array<std::uint32_t, 4>;

double normal_of_libm(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const double u = uniform(seed, stream, index / 2 * 2) + 0x1p-53, v = uniform(seed, stream, index / 2 * 2 + 1);
  const double angle = 2 * std::acos(-1.0) * v;
  return std::sqrt(-2 * std::log(u)) * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

}  // namespace

// The vectors that Random123 publishes (kat_vectors).
TEST(philox_gives_the_published_answers) {
  constexpr std::uint32_t ones = 0xffffffffU;
  CHECK((philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}));
  CHECK((philox({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}));
  CHECK((philox({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, {0xa4093822U, 0x299f31d0U}) ==
         Words{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}));
}

TEST(seed_stream_and_index_each_matter) {
  const std::uint64_t bits = random_bits(1, 2, 3), high = 1ULL << 40;
  CHECK(bits == random_bits(1, 2, 3));
  for (const std::uint64_t other :
       {random_bits(2, 2, 3), random_bits(1, 3, 3), random_bits(1, 2, 2), random_bits(1 + high, 2, 3),
        random_bits(1, 2 + high, 3), random_bits(1, 2, 3 + high)}) {
    CHECK(bits != other);
  }
}

TEST(normals_agree_with_the_mathematical_library) {
  double worst = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    worst = std::max(worst, std::fabs(normal(7, 1, i) - normal_of_libm(7, 1, i)));
  }
  CHECK(worst < 1e-14);
}

TEST(moments_are_those_of_the_laws) {
  constexpr int count = 1000000;
  std::vector<float> u(count), z(count);
  fill_uniform(3, 0, 2, 4, u.data(), count);
  fill_normal(3, 1, 1, 2, z.data(), count);
  double mean_u = 0, mean_z = 0, square = 0, fourth = 0, neighbour = 0;
  for (int i = 0; i < count; ++i) {
    CHECK(u[i] >= 2 && u[i] <= 4);
    const double standard = (z[i] - 1.0) / 2;
    mean_u += u[i];
    mean_z += standard;
    square += standard * standard;
    fourth += standard * standard * standard * standard;
    if (i > 0) neighbour += standard * (z[i - 1] - 1.0) / 2;
  }
  // Five standard errors of each mean.
  CHECK(std::fabs(mean_u / count - 3) < 5 * 0.577 / 1000);
  CHECK(std::fabs(mean_z / count) < 5 * 1.0 / 1000);
  CHECK(std::fabs(square / count - 1) < 5 * 1.42 / 1000);
  CHECK(std::fabs(fourth / count - 3) < 5 * 9.8 / 1000);
  CHECK(std::fabs(neighbour / count) < 5 * 1.0 / 1000);
}

TEST(filling_gives_the_single_draws_for_any_thread_count) {
  for (const int size : {1, 2, 16383, 16384, 16385, 50001}) {
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      std::vector<float> values(size + 1, -7.0f), uniforms(size + 1, -7.0f);
      fill_normal(5, 6, 0, 1, values.data(), size);
      fill_uniform(5, 6, 0, 1, uniforms.data(), size);
      CHECK(values[size] == -7.0f && uniforms[size] == -7.0f);
      for (const int i : {0, size / 2, size - 1}) {
        CHECK(values[i] == static_cast<float>(normal(5, 6, i)));
        CHECK(uniforms[i] == static_cast<float>(uniform(5, 6, i)));
      }
      if (first.empty()) first = values;
      CHECK(values == first);
    }
  }
}

// Recorded once: the same on every machine, or a saved seed would mean another model there.
TEST(the_bits_are_the_recorded_ones) {
  std::vector<float> values(100000);
  fill_normal(2024, 9, 0, 1, values.data(), 100000);
  std::uint64_t hash = 14695981039346656037ULL;
  for (const float value : values) hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 1099511628211ULL;
  CHECK(hash == 0x5b0e9d6ed903ae4dULL);
}
