// How the bins of kernels/calibrate.hpp lie: octaves of one exponent, first those of positive numbers.
#pragma once

#include "kernels/calibrate.hpp"

namespace petrain {

constexpr int kOctaveBins = 1 << kernels::kMantissaBits;
constexpr int kOctaves = kernels::kBins / kOctaveBins;
constexpr int kMagnitudes = kOctaves / 2;  // octaves of one sign, of which the last has no finite number

}  // namespace petrain
