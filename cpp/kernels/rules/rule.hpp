// What a rule says of itself.
#pragma once

#include <cmath>
#include <cstdint>

namespace petrain::kernels {

enum class Range : std::uint8_t { positive, non_negative, unit, flag };  // unit: [0, 1); flag: 0 or 1

struct Hyper {
  const char* name;
  double value;  // the default
  Range range;
};

constexpr int kMaxStates = 2;
constexpr int kMaxHypers = 8;

}  // namespace petrain::kernels
