// The storage formats of the update rules, exhaustively: every 8-bit code, every 16-bit float.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/codes.hpp"

using namespace petrain::kernels;

namespace {

constexpr std::uint32_t kMostRandom19 = (1u << kShiftSigned) - 1, kMostRandom18 = (1u << kShiftUnsigned) - 1;

// The value of a 16-bit float by its definition.
double value_of(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

double float16_value(std::uint32_t bits) { return value_of(static_cast<std::uint16_t>(bits), 5, 10); }
double bfloat16_value(std::uint32_t bits) { return value_of(static_cast<std::uint16_t>(bits), 8, 7); }

// Whether `got` is x rounded to the nearest of the format's values, half to even; up is the next greater magnitude.
template <class Value>
bool nearest(double x, std::uint32_t got, std::uint32_t infinity, double next_after_greatest, Value value) {
  const std::uint32_t magnitude = got & 0x7fff;
  const double size = std::abs(x);
  if ((got & 0x8000) != (std::signbit(x) ? 0x8000u : 0u)) return false;
  const auto of = [&](std::uint32_t bits) { return bits == infinity ? next_after_greatest : value(bits); };
  const double here = of(magnitude);
  if (magnitude > infinity) return false;
  if (magnitude < infinity) {
    const double middle = (here + of(magnitude + 1)) / 2;
    if (size > middle || (size == middle && magnitude % 2 != 0)) return false;
  }
  if (magnitude > 0) {
    const double middle = (here + of(magnitude - 1)) / 2;
    if (size < middle || (size == middle && magnitude % 2 != 0)) return false;
  }
  return true;
}

}  // namespace

TEST(every_16_bit_float_is_read_by_its_definition_and_written_back) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto x = static_cast<std::uint16_t>(bits);
    const float half = from_float16(x), brain = from_bfloat16(x);
    CHECK(std::isnan(half) ? std::isnan(float16_value(bits)) : half == float16_value(bits));
    CHECK(std::isnan(brain) ? std::isnan(bfloat16_value(bits)) : brain == bfloat16_value(bits));
    CHECK(std::isnan(half) ? std::isnan(from_float16(to_float16(half))) : to_float16(half) == x);
    CHECK(std::isnan(brain) ? std::isnan(from_bfloat16(to_bfloat16(brain))) : to_bfloat16(brain) == x);
    for (const std::uint32_t random : {0u, 1u, 0x8000u, 0xffffffffu}) {  // what fits is never moved
      CHECK(std::isnan(half) || to_float16(half, random) == x);
      CHECK(std::isnan(brain) || to_bfloat16(brain, random) == x);
    }
  }
}

TEST(float32_is_rounded_to_the_nearest_16_bit_float) {
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4093) {  // a prime: all exponents, all tails
    const float x = float_of(static_cast<std::uint32_t>(bits));
    if (std::isnan(x)) continue;
    if (std::isinf(x)) continue;
    CHECK(nearest(x, to_float16(x), 0x7c00, 65536.0, float16_value));
    CHECK(nearest(x, to_bfloat16(x), 0x7f80, 0x1p128, bfloat16_value));
  }
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {  // and what lies exactly between two
    const auto middle =
        static_cast<float>((float16_value(bits) + (bits == 0x7bff ? 65536.0 : float16_value(bits + 1))) / 2);
    CHECK(nearest(middle, to_float16(middle), 0x7c00, 65536.0, float16_value));
    CHECK(nearest(-middle, to_float16(-middle), 0x7c00, 65536.0, float16_value));
  }
}

TEST(stochastic_rounding_is_right_on_average) {
  for (const float x : {1.0003f, -3.14159f, 2.9e-6f, -5.1e-8f, 60000.7f}) {
    double half = 0, brain = 0;
    constexpr int kDraws = 1 << 16;
    for (std::uint32_t i = 0; i < kDraws; ++i) {
      half += from_float16(to_float16(x, random_of(7, i)));
      brain += from_bfloat16(to_bfloat16(x, random_of(7, i)));
    }
    const double step16 = std::max(std::abs(x) * 0x1p-10, 0x1p-24), step_brain = std::abs(x) * 0x1p-7;
    CHECK(std::abs(half / kDraws - x) < step16 * 0.01);
    CHECK(std::abs(brain / kDraws - x) < step_brain * 0.01);
  }
}

TEST(every_code_is_its_own_value) {
  float before = -1;
  for (std::uint32_t code = 0; code < 128; ++code) {
    const float x = decode<kShiftSigned>(code);
    CHECK(x > before);
    before = x;
    CHECK(encode<kShiftSigned>(x, 0, 127) == code);
    CHECK(encode<kShiftSigned>(x, kMostRandom19, 127) == code);
  }
  CHECK(before == kMostSigned);
  before = -1;
  for (std::uint32_t code = 0; code < 256; ++code) {
    const float x = decode<kShiftUnsigned>(code);
    CHECK(x > before);
    before = x;
    CHECK(encode<kShiftUnsigned>(x, 0, 255) == code);
    CHECK(encode<kShiftUnsigned>(x, kMostRandom18, 255) == code);
  }
  CHECK(before == kMostUnsigned);
  CHECK(decode<kShiftSigned>(0) == 0 && decode<kShiftUnsigned>(0) == 0);
}

TEST(codes_between_two_values_are_drawn_by_their_distance) {
  for (std::uint32_t code = 0; code < 127; ++code) {
    const float low = decode<kShiftSigned>(code), high = decode<kShiftSigned>(code + 1), x = low + 0.25f * (high - low);
    int up = 0;
    constexpr int kDraws = 4096;
    for (std::uint32_t i = 0; i < kDraws; ++i) {
      const std::uint32_t drawn = encode<kShiftSigned>(x, i << (kShiftSigned - 12), 127);
      CHECK(drawn == code || drawn == code + 1);
      up += drawn == code + 1;
    }
    CHECK(std::abs(up - kDraws / 4) <= 2);
  }
}

TEST(groups_keep_zeros_signs_and_their_greatest) {
  std::vector<float> x(kGroup), back(kGroup);
  std::vector<std::int8_t> averages(kGroup);
  std::vector<std::uint8_t> squares(kGroup);
  for (int trial = 0; trial < 200; ++trial) {
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      const auto random = random_of(static_cast<std::uint32_t>(trial), static_cast<std::uint32_t>(i));
      x[i] = i % 7 == 0 ? 0.0f
                        : std::ldexp(static_cast<float>(random % 2001) - 1000.0f, static_cast<int>(random >> 27) - 40);
    }
    const float scale = store_average(averages.data(), x.data(), kGroup, 5, 0);
    load_average(averages.data(), scale, back.data(), kGroup);
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      CHECK(x[i] != 0 || back[i] == 0);
      CHECK(back[i] == 0 || std::signbit(back[i]) == std::signbit(x[i]));
      CHECK(std::abs(back[i] - x[i]) <= std::abs(x[i]) / 16 * 1.0001 + scale / 3900);
      if (std::abs(x[i]) == scale) CHECK(std::abs(back[i]) >= scale * 0.9999f && std::abs(back[i]) <= scale * 1.0001f);
      x[i] = x[i] * x[i];
    }
    const float root = store_square(squares.data(), x.data(), kGroup, 6, 0);
    load_square(squares.data(), root, back.data(), kGroup);
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      CHECK((x[i] == 0) == (back[i] == 0));  // small ones survive, zero stays zero
      const double got = std::sqrt(back[i]), want = std::sqrt(x[i]);
      CHECK(std::abs(got - want) <= want / 32 * 1.0001 + root / 8000);
    }
  }
}
