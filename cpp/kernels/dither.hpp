// Random numbers to round by: a function of a key and an element's index alone, so that threads and their number do not
// matter. Those of 64 neighbours are multiples of the golden ratio from a point that is drawn for each 64 and key. Each
// is uniform; together they are spread more evenly than if each were drawn.
#pragma once

#include <cstddef>
#include <cstdint>

namespace petrain::kernels {
namespace {

constexpr std::ptrdiff_t kGroup = 64;

struct Steps {
  std::uint32_t of[kGroup] = {};
  constexpr Steps() {
    for (std::ptrdiff_t i = 0; i < kGroup; ++i) of[i] = static_cast<std::uint32_t>(i) * 0x9e3779b9u;
  }
};
alignas(64) constexpr Steps kSteps;

// The start of a group; the number of its element i is kSteps.of[i] + start, good in all of its bits.
inline std::uint32_t dither_start(std::uint32_t key, std::ptrdiff_t group) {
  std::uint32_t h = static_cast<std::uint32_t>(group) * 0x9e3779b9u ^ key;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

}  // namespace
}  // namespace petrain::kernels
