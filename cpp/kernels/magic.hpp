// Rounding to the nearest integer, half to even, by an addition, which rounds so as every addition does.
#pragma once

namespace petrain::kernels {
namespace {

// 1.5 · 2²³ and 1.5 · 2⁵²: from 2²³ to 2²⁴ the distance between floats is 1, likewise that between doubles from 2⁵² to
// 2⁵³. The integer is then in the low bits, and subtracting the number again leaves it as a float.
constexpr float kMagic = 0x1.8p23f;
constexpr double kMagic64 = 0x1.8p52;

}  // namespace
}  // namespace petrain::kernels
