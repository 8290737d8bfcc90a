// Sums of gradients in fewer bits than a float32 has. What rounding a sum cuts is kept beside it in 8 bits and more,
// and is there again when the next gradient is added (error feedback). Since a gradient may be smaller than the last of
// these bits too, that is rounded stochastically: nothing is lost on average, and zero stays zero.
//   SumBf16   16 bits of bfloat16, and 8 and 2 bits of the rest: the upper 26 bits of a float32
//   SumCode8  8 bits of the code for averages in codes.hpp, and 8 bits of the rest: the same code with 16 times 256
//             steps to the octave
#pragma once

#include "codes.hpp"
#include "storage.hpp"

namespace petrain::kernels {
namespace {

// The 2 bits of element i are in last[i % 16], from bit 2 (i / 16) on, so that 16 elements are one vector.
inline void load_sum(const SumBf16& from, float* x) {
  for (std::ptrdiff_t first = 0; first < kGroup; first += 16) {
    const auto shift = static_cast<unsigned>(first / 8);
    const std::uint16_t* sum = from.sum + first;
    const std::uint8_t* rest = from.rest + first;
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < 16; ++i) {
      const std::uint32_t last = (from.last[i] >> shift) & 3u;
      x[first + i] = float_of(std::uint32_t{sum[i]} << 16 | std::uint32_t{rest[i]} << 8 | last << 6);
    }
  }
}

// Infinity and the NaN of inf - inf stay what they are: their lower bits are zero.
inline void store_sum(SumBf16& to, const float* x, std::uint32_t start) {
  std::uint8_t last[16] = {};
  for (std::ptrdiff_t first = 0; first < kGroup; first += 16) {
    const auto shift = static_cast<unsigned>(first / 8);
    std::uint16_t* sum = to.sum + first;
    std::uint8_t* rest = to.rest + first;
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < 16; ++i) {
      const std::uint32_t random = (kSteps.of[first + i] + start) >> 26;
      const std::uint32_t bits = (bits_of(x[first + i]) + random) >> 6;
      sum[i] = static_cast<std::uint16_t>(bits >> 10);
      rest[i] = static_cast<std::uint8_t>(bits >> 2);
      last[i] = static_cast<std::uint8_t>(last[i] | (bits & 3u) << shift);
    }
  }
  for (std::ptrdiff_t i = 0; i < 16; ++i) to.last[i] = last[i];
}

constexpr int kFineShift = kShift - 8;

inline void load_sum(const SumCode8& from, float* x) {
  const float unit = from.scale / kMost<Average>;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const std::int32_t code = static_cast<std::int8_t>(from.sum[i]) * 256 + from.rest[i], sign = code >> 31;
    const auto magnitude = static_cast<std::uint32_t>((code ^ sign) - sign);
    const float size = (float_of((magnitude << kFineShift) + Average::first) - Average::bias) * unit;
    x[i] = float_of(bits_of(size) | (static_cast<std::uint32_t>(sign) & 0x80000000u));
  }
}

// Where the scale is not finite, all of the group becomes NaN.
inline void store_sum(SumCode8& to, const float* x, std::uint32_t start) {
  const float scale = greatest(x);
  const bool usable = scale >= 0x1p-126f;  // the inverse of less is infinite
  const float inverse = usable ? kTop<Average> / scale : 0.0f;
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < kGroup; ++i) {
    const std::uint32_t random = (kSteps.of[i] + start) >> (32 - kFineShift);
    const auto sign = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits_of(x[i])) >> 31);
    const float size = float_of(bits_of(x[i]) & 0x7fffffffu) * inverse;
    const std::uint32_t magnitude = (bits_of(size + Average::bias) + random - Average::first) >> kFineShift;
    const std::uint32_t code = (magnitude ^ sign) - sign;
    to.sum[i] = static_cast<std::uint8_t>(code >> 8);
    to.rest[i] = static_cast<std::uint8_t>(code);
  }
  to.scale = usable || scale != scale ? scale : 0.0f;
}

template <class Group, class T>
void load_sums(const Group* from, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  alignas(64) float x[kGroup];
  for (std::ptrdiff_t done = 0; done < size;) {
    const std::size_t at = static_cast<std::size_t>(begin + done), place = at % kGroup;
    const auto left = static_cast<std::size_t>(size - done), count = left < kGroup - place ? left : kGroup - place;
    load_sum(from[at / kGroup], x);
    for (std::size_t i = 0; i < count; ++i) to[static_cast<std::size_t>(done) + i] = static_cast<T>(x[place + i]);
    done += static_cast<std::ptrdiff_t>(count);
  }
}

}  // namespace
}  // namespace petrain::kernels
