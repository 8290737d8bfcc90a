// Sums in a fixed number of lanes, so that their order does not follow the vector width.
#pragma once

namespace petrain::kernels {
namespace {

constexpr int kLanes = 16;

inline double sum_lanes(double (&lanes)[kLanes]) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

}  // namespace
}  // namespace petrain::kernels
