// What a rule says of itself.
#pragma once

#include <cmath>
#include <cstdint>

namespace petrain::kernels {

enum class Range : std::uint8_t {
  positive,
  divisor,  // positive, and not taken for zero in float32: 0 / 0 would move what has a gradient of zero
  non_negative,
  non_positive,
  unit,         // [0, 1)
  unit_open,    // (0, 1)
  unit_closed,  // [0, 1]
  flag,         // 0 or 1
  natural,      // 1, 2, …
  choice,       // an index into choices
  any
};

struct Hyper {  // NOLINT(clang-analyzer-optin.performance.Padding): in the order in which it is written down
  const char* name;
  double value;  // the default
  Range range;
  const char* choices = nullptr;  // names, with a blank between two
  bool fixed = false;             // once the optimizer has parameters: a state's shape follows it
};

// How a state may be stored in fewer bits than the parameter is computed in.
enum class StateKind : std::uint8_t {
  average,  // of gradients: signed
  square,   // of squares of gradients: not negative
  exact,    // never stored in fewer bits: a copy of the parameter, or what grows without bound
};

struct State {
  const char* name;
  StateKind kind;
  int initial = -1;  // the hyperparameter that every element is before the first step; -1: zero
};

// A number that a rule carries from step to step for each parameter.
struct Memory {
  const char* name;
  double value;  // before the first step
};

constexpr int kMaxStates = 3;
constexpr int kMaxHypers = 12;
constexpr int kMaxMemory = 2;

namespace {

// base^exponent for a whole exponent ≥ 0, by squaring: the same bits on every machine, which the C library's pow does
// not promise.
inline double power(double base, double exponent) {
  double result = 1;
  for (auto n = static_cast<std::uint64_t>(exponent); n > 0; n >>= 1) {
    if (n & 1) result *= base;
    base *= base;
  }
  return result;
}

// e^x, a Taylor series of x / 2^12 squared back. For coefficients that libm would compute differently elsewhere; good
// to 1e-11. Far from zero, where the series would leave it, the result is what double makes of it.
inline double exponential(double x) {
  if (x < -745.2) return 0;
  if (x > 709.8) return HUGE_VAL;
  x *= 0x1p-12;
  double sum = 1, term = 1;
  for (int n = 1; n <= 8; ++n) {
    term *= x / n;
    sum += term;
  }
  for (int n = 0; n < 12; ++n) sum *= sum;
  return sum;
}

// ln x for x > 0: x = m 2^e with m near 1, and 2 artanh((m - 1) / (m + 1)).
inline double logarithm(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double y = (m - 1) / (m + 1);
  double sum = 0, term = y;
  for (int n = 1; n <= 41; n += 2) {
    sum += term / n;
    term *= y * y;
  }
  return exponent * 0.69314718055994531 + 2 * sum;  // NOLINT(modernize-use-std-numbers)
}

// base^exponent for base > 0, and 0 for base 0 where the exponent is not 0.
inline double real_power(double base, double exponent) {
  if (exponent == 0) return 1;
  return base > 0 ? exponential(exponent * logarithm(base)) : 0;
}

}  // namespace
}  // namespace petrain::kernels
