#include "random.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "chunks.hpp"
#include "logarithm.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr double kUlp = 0x1p-53;

struct Bits {
  std::uint64_t even, odd;  // for the indices 2 * pair and 2 * pair + 1
};

Bits draw(std::uint64_t seed, std::uint64_t stream, std::uint64_t pair) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  const auto word = philox({low(pair), high(pair), low(stream), high(stream)}, {low(seed), high(seed)});
  return {word[0] | static_cast<std::uint64_t>(word[1]) << 32, word[2] | static_cast<std::uint64_t>(word[3]) << 32};
}

double to_uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * kUlp; }

struct Direction {
  double cos, sin;
};

// cos and sin of 2πt for t in [0, 1): the nearest quarter turn is taken off exactly, the rest is within π/4, where
// the Taylor series to x¹⁷ reach the last bits.
Direction direction(double turn) {
  const int quarter = (static_cast<int>(8 * turn) + 1) / 2;
  const double x = 2 * std::numbers::pi * (turn - 0.25 * quarter), square = x * x;
  double cos = 1, sin = 1;
  for (int k = 16; k >= 2; k -= 2) cos = 1 - cos * square / (k * (k - 1));
  for (int k = 16; k >= 2; k -= 2) sin = 1 - sin * square / (k * (k + 1));
  sin *= x;
  switch (quarter & 3) {
    case 0:
      return {cos, sin};
    case 1:
      return {-sin, cos};
    case 2:
      return {-cos, -sin};
    default:
      return {sin, -cos};
  }
}

struct Normals {
  double even, odd;
};

Normals to_normals(const Bits& bits) {
  const double radius = std::sqrt(-2 * log_of(to_uniform(bits.even) + kUlp));  // of (0, 1]
  const Direction at = direction(to_uniform(bits.odd));
  return {radius * at.cos, radius * at.sin};
}

// write(pair, i) fills out[i] and, where there is one, out[i + 1].
template <class Write>
void for_each_pair(std::int64_t size, Write&& write) {
  static_assert(kChunk % 2 == 0);
  parallel_for((size + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t end = std::min(size, (chunk + 1) * kChunk);
    for (std::int64_t i = chunk * kChunk; i < end; i += 2) write(static_cast<std::uint64_t>(i / 2), i);
  });
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ULL * counter[0], b = 0xCD9E8D57ULL * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const Bits bits = draw(seed, stream, index / 2);
  return index % 2 == 0 ? bits.even : bits.odd;
}

double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return to_uniform(random_bits(seed, stream, index));
}

double normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const Normals normals = to_normals(draw(seed, stream, index / 2));
  return index % 2 == 0 ? normals.even : normals.odd;
}

void fill_uniform(std::uint64_t seed, std::uint64_t stream, double low, double high, float* out, std::int64_t size) {
  for_each_pair(size, [=](std::uint64_t pair, std::int64_t i) {
    const Bits bits = draw(seed, stream, pair);
    out[i] = static_cast<float>(low + (high - low) * to_uniform(bits.even));
    if (i + 1 < size) out[i + 1] = static_cast<float>(low + (high - low) * to_uniform(bits.odd));
  });
}

void fill_normal(std::uint64_t seed, std::uint64_t stream, double mean, double deviation, float* out,
                 std::int64_t size) {
  for_each_pair(size, [=](std::uint64_t pair, std::int64_t i) {
    const Normals normals = to_normals(draw(seed, stream, pair));
    out[i] = static_cast<float>(mean + deviation * normals.even);
    if (i + 1 < size) out[i + 1] = static_cast<float>(mean + deviation * normals.odd);
  });
}

}  // namespace petrain
