// The storage formats of the update rules, exhaustively: every 8-bit code, every 16-bit float.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/codes.hpp"

using namespace petrain::kernels;

namespace {

constexpr std::uint32_t kMostRandom = (1u << kShift) - 1;

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
  for (const float x : {1.0003f, -3.3f, 2.9e-6f, -5.1e-8f, 60000.7f}) {
    double half = 0, brain = 0;
    constexpr int kDraws = 1 << 16;
    for (std::uint32_t i = 0; i < kDraws; ++i) {
      half += from_float16(to_float16(x, kSteps.of[i % kGroup] + dither_start(7, i / kGroup)));
      brain += from_bfloat16(to_bfloat16(x, kSteps.of[i % kGroup] + dither_start(7, i / kGroup)));
    }
    const double step16 = std::max(std::abs(x) * 0x1p-10, 0x1p-24), step_brain = std::abs(x) * 0x1p-7;
    CHECK(std::abs(half / kDraws - x) < step16 * 0.01);
    CHECK(std::abs(brain / kDraws - x) < step_brain * 0.01);
  }
}

template <class Kind>
void check_codes() {
  float before = -1;
  for (std::uint32_t code = 0; code <= Kind::last; ++code) {
    const float x = decode<Kind>(code);
    CHECK(x > before);
    before = x;
    CHECK(encode<Kind>(x, 0) == code);
    CHECK(encode<Kind>(x, kMostRandom) == code);
  }
  CHECK(before == kMost<Kind>);
  CHECK(decode<Kind>(0) == 0);
  for (std::uint32_t code = 0; code < Kind::last; ++code) {  // between two codes, drawn by the distance
    const float low = decode<Kind>(code), high = decode<Kind>(code + 1), x = low + 0.25f * (high - low);
    int up = 0;
    constexpr int kDraws = 4096;
    for (std::uint32_t i = 0; i < kDraws; ++i) {
      const std::uint32_t drawn = encode<Kind>(x, i << (kShift - 12));
      CHECK(drawn == code || drawn == code + 1);
      up += drawn == code + 1;
    }
    CHECK(std::abs(up - kDraws / 4) <= 2);
  }
}

// No random number carries over the last code, for any scale.
template <class Kind>
void check_greatest() {
  for (std::uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 65521) {
    const float scale = float_of(bits), inverse = kTop<Kind> / scale;
    if (std::isinf(inverse)) continue;
    CHECK(encode<Kind>(scale * inverse, kMostRandom) <= Kind::last);
    CHECK(encode<Kind>(scale * inverse, 0) >= Kind::last - 1);
  }
}

TEST(every_code_is_its_own_value) {
  check_codes<Average>();
  check_codes<Square>();
}

TEST(the_greatest_has_the_last_code) {
  check_greatest<Average>();
  check_greatest<Square>();
}

TEST(groups_keep_zeros_signs_and_their_greatest) {
  std::vector<float> x(kGroup), back(kGroup);
  std::vector<std::uint8_t> codes(kGroup);
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      const auto random = dither_start(trial, i);
      const int exponent = static_cast<int>(random >> 27) - 40;
      x[i] = i % 7 == 0 ? 0.0f : std::ldexp(static_cast<float>((random >> 8) % 2001) - 1000.0f, exponent);
    }
    const float scale = greatest(x.data());
    store_group(Average{}, codes.data(), scale, x.data(), dither_start(5, 0));
    load_group(Average{}, codes.data(), scale, back.data());
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      CHECK(x[i] != 0 || back[i] == 0);
      CHECK(back[i] == 0 || std::signbit(back[i]) == std::signbit(x[i]));
      CHECK(std::abs(back[i] - x[i]) <= std::abs(x[i]) / 16 * 1.0001 + scale / 3900);
      x[i] = x[i] * x[i];
    }
    const float most = greatest(x.data());
    store_group(Square{}, codes.data(), most, x.data(), dither_start(6, 0));
    load_group(Square{}, codes.data(), most, back.data());
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
      CHECK((x[i] == 0) == (back[i] == 0));  // small ones survive, zero stays zero
      CHECK(std::abs(back[i] - x[i]) <= x[i] / 16 * 1.0001 + most * 0x1p-20 * 1.1);
    }
  }
}
